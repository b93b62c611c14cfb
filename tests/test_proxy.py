"""An HTTP proxy on the way: tinyproxy and Squid, and one that does what no
proxy should (row N12). curl is the judge of what NO_PROXY excepts."""

import base64
import contextlib
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import pytest

from conftest import ROOT, clean_environment, stats
from peer import KEYS, Server, Validator, response, scripted, tls_context
from test_rows import seen_from_outside
from test_stream import (BYE, BYE_LINE, bind_when_free, joined, stream, tweets,
                         wait_until, waits)

VARIABLES = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
USER = "meandmyself"
PASSWORD = {"tinyproxy": "pass.word-1", "squid": "p@ss:w/rd+%a"}


def quoted(text):
    return urllib.parse.quote(text, safe="+")


def found(raw, kind="squid"):
    """What is there of the credentials, in any form."""
    pair = base64.b64encode(f"{USER}:{PASSWORD[kind]}".encode())
    texts = [USER, PASSWORD[kind], quoted(PASSWORD[kind])]
    return [s for s in [*(x.encode() for x in texts), pair] if s in raw]


# Proxies of others ------------------------------------------------------------

TINYPROXY = """Port {port}
Listen {host}
Timeout 600
{auth}
"""
TINYPROXY_AUTH = f"BasicAuth {USER} {PASSWORD['tinyproxy']}"

# sed judges users.
SQUID = """http_port {at}:{port}
hosts_file {hosts}
{auth}
http_access deny all
access_log none
cache_log /dev/null
pid_filename none
shutdown_lifetime 0 seconds
pinger_enable off
"""
SQUID_AUTH = (f"auth_param basic program /bin/sed -u -e "
              f"s,^{USER}.{PASSWORD['squid'].replace('%', '%25')}$,OK, -e t -e s,.*,ERR,\n"
              "auth_param basic children 1 startup=1\n"
              "auth_param basic realm tstream\n"
              "acl known proxy_auth REQUIRED\nhttp_access allow known")


class Proxy:
    """tinyproxy or squid in the foreground, while the with lasts."""

    def __init__(self, kind, folder, host="127.0.0.1", auth=False):
        with socket.socket(socket.AF_INET6 if ":" in host else
                           socket.AF_INET) as s:
            bind_when_free(s, (host, 0))
            self.host, self.port = s.getsockname()[:2]
        file = folder / f"{kind}.conf"
        at = f"[{host}]" if ":" in host else host
        self.url = f"{at}:{self.port}"
        if kind == "tinyproxy":
            file.write_text(TINYPROXY.format(
                port=self.port, host=host, auth=TINYPROXY_AUTH if auth else ""))
            self.words = ["tinyproxy", "-d", "-c", file]
        else:
            # of the machine's it might take ::1 alone for localhost
            self.hosts = tempfile.NamedTemporaryFile()  # it is read as nobody
            self.hosts.write(b"127.0.0.1 localhost\n")
            self.hosts.flush()
            os.chmod(self.hosts.name, 0o644)
            file.write_text(SQUID.format(
                port=self.port, at=at, hosts=self.hosts.name,
                auth=SQUID_AUTH if auth else "http_access allow all"))
            self.words = ["squid", "-N", "-n", f"t{self.port}", "-f", file]

    def answers(self):
        assert self.process.poll() is None
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port)).close()
            return True

    def __enter__(self):
        self.process = subprocess.Popen(
            self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_until(self.answers, 30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)


both = pytest.mark.parametrize("kind", ["tinyproxy", "squid"])


@both
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_stream_through_a_proxy(tstream, context, tmp_path, kind, host):
    messages = tweets(50)
    with Server(scripted(stream(messages) + BYE), context) as server, \
            Proxy(kind, tmp_path, host) as proxy:
        p = tstream("-u", server.url(), "--proxy", f"http://{proxy.url}/")
    assert p.returncode == 0, p.stderr
    assert p.stdout == joined(messages) + BYE_LINE
    assert f"by proxy {host} port {proxy.port}, TLS" in p.stderr


@both
@pytest.mark.parametrize("level", ["-v", "-q"])
def test_user_and_password(tstream, context, tmp_path, kind, level):
    """From the environment, right and wrong. Nobody sees them."""
    def send(c, request):
        c.send(stream(tweets(1)))
        c.wait_closed()

    login = f"{USER}:{quoted(PASSWORD[kind])}"
    with Server(scripted(send), context) as server, \
            Proxy(kind, tmp_path, auth=True) as proxy:
        env = {"HTTPS_PROXY": f"http://{login}@{proxy.url}",
               "http_proxy": f"http://{login}@{proxy.url}"}
        assert len(found(repr(env).encode(), kind)) >= 2, "the test is blind"
        p = tstream.start("-u", server.url(), level, "--report", "report",
                          env=env)
        assert p.stdout.readline(), p.stderr.read()
        assert found(seen_from_outside(p.pid), kind) == []
        p.terminate()
        _, seen = p.communicate(timeout=10)
        shown = b"Proxy-Authorization: (left out)"
        assert (shown in seen) == (level == "-v")
        p = tstream("-u", server.url(), "--dry-run", env=env)
        assert shown in p.stdout
        seen += (tmp_path / "report").read_bytes() + p.stdout
        for way, advice in ((f"x{login}@{proxy.url}", "check its user"),
                            (proxy.url, "user and password go")):
            p = tstream("-u", server.url(), level, env={"https_proxy": way})
            seen += p.stdout + p.stderr.encode()
            assert p.returncode == 1
            assert re.search(f"HTTP status 40[17]; {advice}", p.stderr)
    assert found(seen, kind) == [], seen
    assert server.accepted == 1


@both
def test_a_proxy_that_is_started_anew(tstream, context, tmp_path, kind):
    """Its end is a gap, which is taken up again."""
    messages = tweets(20)
    served = threading.Event()

    def hold(c, request):
        c.send(stream(messages))
        served.set()
        c.wait_closed()

    with Server(scripted(hold, stream(messages) + BYE), context) as server:
        with Proxy(kind, tmp_path) as proxy:
            p = tstream.start("-u", server.url(), env={"all_proxy": proxy.url})
            assert served.wait(10)
            out = p.stdout.read(len(joined(messages)))
        with proxy:
            rest, err = p.communicate(timeout=30)
    err = err.decode()
    assert p.returncode == 0, err
    assert out + rest == 2 * joined(messages) + BYE_LINE
    assert stats(err)["connects"] == 2 and stats(err)["gaps"] == 1


# Row N12: a proxy of our own ----------------------------------------------------

def copy(a, b):
    with contextlib.suppress(OSError):
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)


def tunnel(answer=b"HTTP/1.1 200 x\r\n\r\n"):
    """A script: it opens a tunnel to that port of this machine, whatever the
    host's name."""
    def handle(c, request):
        assert request.method == "CONNECT"
        port = int(request.target.split(":")[1])
        with socket.create_connection(("127.0.0.1", port)) as to:
            c.send(answer)
            back = threading.Thread(target=copy, args=(to, c.sock))
            back.start()
            copy(c.sock, to)
            back.join()

    return handle


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 Connection established\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.0 299\r\n\r\n", b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n"])
def test_N12_any_2xx_opens(tstream, authority, answer):
    """Its length means nothing. The server's name is not looked up, but what
    it proves; what is signed is the server's URL."""
    server_handler = scripted(stream(tweets(3)) + BYE)
    handler = scripted(tunnel(answer))
    pem = authority.server(names=["x.example.invalid"])
    with Server(server_handler, tls_context(pem)) as server, \
            Server(handler) as proxy:
        url = server.url(host="x.example.invalid")
        p = tstream("-u", url, "--proxy", f"localhost:{proxy.port}")
        assert p.returncode == 0, p.stderr
        assert p.stdout == joined(tweets(3)) + BYE_LINE
        p = tstream("-u", url.replace("x.", "y."), "--proxy",
                    f"localhost:{proxy.port}")
        assert p.returncode == 1 and "(y.example.invalid" in p.stderr, p.stderr
    request = handler.requests[0]
    there = f"x.example.invalid:{server.port}"
    assert request.target == there and request.version == "HTTP/1.1"
    assert request.headers.keys() == {"Host", "User-Agent"}
    assert request.headers["Host"] == there
    assert server_handler.requests[0].url == url
    assert server_handler.requests[0].is_signed(Validator(KEYS))


LATER = {
    "502": response(b"502 x", b"", [b"Retry-After: 900"]),
    "503": response(b"503 x", b"", [b"Retry-After: 900"]),
    "420": response(b"420 x"),
    "301": response(b"301 x", b"", [b"Location: http://localhost/"]),
    "404": response(b"404 x"),
    "bytes behind the head": b"HTTP/1.1 200 x\r\n\r\nHTTP/1.1 200 x\r\n\r\n",
    "SSH": b"SSH-2.0-x\r\n",
    "closes": b"",
    "closes in the head": b"HTTP/1.1 200 x\r\nA: b\r\n",
}


@pytest.mark.parametrize("case", LATER)
def test_N12_what_may_change(tstream, context, case):
    """The network's waits; then a tunnel, and all is well."""
    bad = LATER[case]
    with Server(scripted(stream([]) + BYE), context) as server, \
            Server(scripted(bad, bad, tunnel())) as proxy:
        p = tstream("-u", server.url(), "--proxy", f"127.0.0.1:{proxy.port}")
    assert p.returncode == 0 and server.accepted == 1, p.stderr
    assert waits(p.stderr) == [0.25, 0.5], p.stderr
    said = re.findall(rf"by proxy 127.0.0.1 port {proxy.port}: the proxy('s "
                      "answer:| closed) .*", p.stderr)
    assert len(said) == 2, p.stderr


@pytest.mark.parametrize("status", [401, 403, 407])
def test_N12_what_will_not_change(tstream, context, status):
    """Irrecoverable, but once the server itself has said 200."""
    bad = response(b"%d x" % status, b"no", [b"Retry-After: 9"])
    with Server(scripted(stream(tweets(1)), stream([]) + BYE),
                context) as server:
        with Server(scripted(bad, tunnel())) as proxy:
            way = {"all_proxy": f"u:p@127.0.0.1:{proxy.port}"}
            p = tstream("-u", server.url(), "-q", env=way)
            assert p.returncode == 1 and proxy.accepted == 1
            assert f"the proxy's answer: HTTP status {status}" in p.stderr
            assert server.accepted == 0
        with Server(scripted(tunnel(), bad, tunnel())) as proxy:
            way = {"all_proxy": f"u:p@127.0.0.1:{proxy.port}"}
            p = tstream("-u", server.url(), env=way)
    assert p.returncode == 0 and waits(p.stderr) == [0.25, 0.5], p.stderr
    assert f"the proxy's answer: HTTP status {status}" in p.stderr


def test_N12_a_head_of_a_byte_a_second(tstream, context):
    """The attempt has 30 seconds in all: here on a clock of 20 times that."""
    def slowly(c, request):
        for byte in b"HTTP/1.1 200 x\r\n" + 99 * b"A: b\r\n":
            c.send(bytes([byte]))
            time.sleep(0.05)

    with Server(scripted(slowly, tunnel())) as proxy, \
            Server(scripted(stream([]) + BYE), context) as server:
        words = tstream.command("-u", server.url(), "--proxy",
                                f"127.0.0.1:{proxy.port}")
        p = subprocess.run([ROOT / "build/tests/tstream-fast", *words[1:]],
                           env=clean_environment({"FAST": "20"}), text=True,
                           capture_output=True, timeout=30)
    assert p.returncode == 0, p.stderr
    assert "within 30 seconds (while the proxy's answer was awaited)" in p.stderr


def test_N12_an_answer_that_tells_secrets(tstream):
    pair = base64.b64encode(f"{USER}:{PASSWORD['squid']}".encode())
    echo = response(b"407 %s" % pair, b"", [
        b"X-Echo: %s" % quoted(PASSWORD["squid"]).encode(), b"X-User: Basic "
        + USER.encode() + b":" + PASSWORD["squid"].encode()])
    with Server(scripted(echo)) as proxy:
        way = f"http://{USER}:{quoted(PASSWORD['squid'])}@127.0.0.1:{proxy.port}"
        p = tstream("-v", "-u", "https://localhost/", env={"all_proxy": way})
    assert p.returncode == 1 and "X-Echo: (secret)" in p.stderr
    assert found(p.stderr.encode()) == [], p.stderr


# What is asked for --------------------------------------------------------------

def way(tstream, *args, url="https://localhost/", **env):
    """The proxy that --dry-run shows, None if it goes direct; and the log."""
    p = tstream("-u", url, "--dry-run", *args, env=env)
    assert p.returncode == 0, p.stderr
    line = p.stdout.decode().splitlines()[0]
    return line.partition(", by proxy ")[2] or None, p.stderr


@pytest.mark.parametrize("kind", ["https", "socks5", "socks5h", "ftp", ""])
def test_N12_wrong_scheme(tstream, kind):
    p = tstream("-u", "https://localhost/", "--proxy", f"{kind}://localhost:1")
    assert p.returncode == 2 and "its scheme is not http" in p.stderr
    named, log = way(tstream, https_proxy=f"{kind}://h:1")
    assert named is None and "https_proxy is left out" in log
    named, log = way(tstream, https_proxy=f"{kind}://h:1", ALL_PROXY="b:2")
    assert named == "b port 2" and "https_proxy is left out" in log


def test_which_variable_counts(tstream):
    """The first that is not empty; --proxy before them all."""
    env = {name: f"h{i}" for i, name in enumerate(VARIABLES)}
    assert way(tstream, "--proxy", "h", **env)[0] == "h port 1080"
    assert way(tstream, "--proxy", "", **env)[0] is None
    for i, name in enumerate(VARIABLES):
        assert way(tstream, **env)[0] == f"h{i} port 1080"
        env[name] = ""
    assert way(tstream, **env)[0] is None
    assert way(tstream, http_proxy="h", HTTP_PROXY="h")[0] is None


@pytest.mark.parametrize("url", ["h:0", "h:x", "[::1", "[1]", "a b", ""])
def test_a_proxy_that_cannot_be(tstream, url):
    """Refused, and not shown: there may be a password in it."""
    p = tstream("-u", "https://localhost/", env={"ALL_PROXY": f"me:secret%41@{url}"})
    assert p.returncode == 2 and "ALL_PROXY: the proxy's URL: " in p.stderr
    assert "secret" not in p.stderr


def test_no_password_in_an_argument(tstream):
    p = tstream("-u", "https://localhost/", "--proxy", "http://me:secret@h:1")
    assert p.returncode == 2 and "https_proxy" in p.stderr
    assert "secret" not in p.stderr


def test_plain_http_goes_direct(tstream):
    with Server(scripted(stream([]) + BYE)) as server:
        for args, env in ((["--proxy", "h:1"], {}), ([], {"all_proxy": "h:1"})):
            p = tstream("-u", server.url(), *args, env=env)
            assert p.returncode == 0, p.stderr
            assert "goes direct, not by the proxy" in p.stderr
        p = tstream("-u", server.url())
    assert p.returncode == 0 and "proxy" not in p.stderr


# What NO_PROXY excepts: curl judges --------------------------------------------

LISTS = ["", "*", "**", "*,x", "x *", "localhost", ".localhost", "LocalHost",
         "host", "ocalhost", "localhost:1", "localhost.", "..localhost", ".",
         ",", " , ,", "example.com", ".example.com", "EXAMPLE.com.",
         "x,example.com", "x example.com", "x\texample.com y", "x;example.com",
         "com", ".com.", "com..", "*.example.com", "https://example.com",
         "127.0.0.1", "[::1]", "example.com,", ",,www.example.com"]
HOSTS = ["localhost", "LocalHost", "example.com", "www.Example.com",
         "a.b.example.com.", "nonexample.com", "com"]
EXCEPTIONS = [{"no_proxy": x} for x in LISTS] + [
    {"NO_PROXY": "example.com"}, {"no_proxy": "", "NO_PROXY": "example.com"},
    {"no_proxy": "x", "NO_PROXY": "example.com"}]


@pytest.mark.parametrize("args, hosts", [(["--proxy"], HOSTS[2:4]), ([], HOSTS)],
                         ids=["option", "variable"])
def test_N12_no_proxy(tstream, args, hosts):
    """curl says by which way it went: a proxy that answers 403, or to a port
    where nobody is. From 8.9.0 on it splits at commas alone: for it they stand
    where ours has blanks then."""
    version = subprocess.run(["curl", "--version"], text=True, check=True,
                             capture_output=True).stdout.split()[1]
    is_new = [*map(int, version.split(".")[:2])] >= [8, 9]
    commas = str.maketrans(" \t", ",," if is_new else " \t")
    differ, ways = [], set()
    with Server(scripted(response(b"403 x"))) as proxy:
        at = f"127.0.0.1:{proxy.port}"
        for host in hosts:
            for env in EXCEPTIONS:
                words = [*args, at] if args else []
                env = env if args else dict(env, all_proxy=at)
                p = subprocess.run(
                    ["curl", "-sq", "--resolve", "*:1:127.0.0.1", *words, "-w",
                     "%{http_connect}", f"https://{host}:1/"], text=True,
                    env=clean_environment({name: value.translate(commas)
                                           for name, value in env.items()}),
                    capture_output=True)
                direct = {"000": True, "403": False}[p.stdout]
                ours = way(tstream, *words, url=f"https://{host}:1/", **env)[0]
                ways.add(direct)
                if direct != (ours is None):
                    differ.append((host, env, p.stdout, ours))
    assert len(hosts) * len(EXCEPTIONS) > 60 and ways == {True, False}
    assert differ == []
