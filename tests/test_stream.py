"""The binary as its users run it, against a server in Python with OpenSSL."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import termios
import threading
import time

import pytest

import peer
from conftest import BINARY, DATA, ROOT, clean_environment, stats
from peer import HEAD, Server, chunk, response, scripted

BYE = chunk(b'{"disconnect":{"code":9}}\r\n')
BYE_LINE = b'{"disconnect":{"code":9}}\n'


def tweets(n, size=20):
    return [b'{"text":"%s","id":%d}' % (b"x" * size, i) for i in range(n)]


def stream(messages):
    return HEAD + b"".join(chunk(m + b"\r\n") for m in messages)


def joined(messages):
    return b"".join(m + b"\n" for m in messages)


@pytest.fixture(params=["tls", "plain"])
def any_context(request, context):
    return context if request.param == "tls" else None


# The binary -------------------------------------------------------------------

def test_static_and_small():
    headers = subprocess.run(["readelf", "-lW", BINARY], text=True,
                             capture_output=True, check=True).stdout
    assert "INTERP" not in headers
    assert "GNU_RELRO" in headers
    assert "DYN (Position-Independent" in headers
    assert BINARY.stat().st_size < 512 * 1024


def calls_made(trace):
    """The system calls of a trace by strace -f after the filter was set: those
    of the streaming process, and those of look-ups."""
    seen, shut, lines = {True: set(), False: set()}, set(), []
    lines = trace.read_text().splitlines()
    for line in lines:
        pid, _, rest = line.partition(" ")
        m = re.match(r" *([a-z0-9_]+)\(", rest)
        if m and pid in shut:
            seen[pid == lines[0].split()[0]].add(m[1])
        if "PR_SET_SECCOMP" in line:
            shut.add(pid)
    return seen[True], seen[False]


def calls_listed(*lists):
    """The calls that these lists of sandbox.c allow."""
    text = (ROOT / "sandbox.c").read_text()
    found = set()
    for name in lists:
        body = re.search(rf"\b{name}\[\] = \{{(.*?)^\}};", text, re.M | re.S)[1]
        found |= set(re.findall(r"\bSYS_([a-z0-9_]+)", body))
    return found


def test_census_of_system_calls(tstream, context, tmp_path):
    """Whatever it does, it needs no call outside the list."""
    rules = calls_listed("rules")
    listed = [calls_listed("always", "streaming", "writing") | rules,
              calls_listed("always", "looking_up") | rules]
    seen, n = [set(), set()], 0

    def add(trace):
        for all_, now in zip(seen, calls_made(trace)):
            all_ |= now

    def traced(*args, url):
        nonlocal n
        n += 1
        trace = tmp_path / f"trace{n}"
        p = subprocess.Popen(["strace", "-f", "-qq", "-o", trace,
                              *tstream.command("-u", url, *args)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=clean_environment())
        return p, trace

    script = scripted(HEAD + b"4\r\n{\"te", response(b"503 x", b"no"),
                      stream(tweets(50)) + BYE)
    with Server(script, context) as server:
        p, trace = traced("-s", "1", "--report", tmp_path / "r", "-n",
                          tmp_path / "n", url=server.url())
        p.communicate(timeout=60)
        assert p.returncode == 0
        add(trace)
        with open(tmp_path / "full", "wb") as f:  # as a file, and ended
            p, trace = traced("-c", "5", url=server.url())
            p.communicate(timeout=60)
            add(trace)
    p, trace = traced("-d", "1", url="http://no-such-host.invalid/")
    p.communicate(timeout=60)
    add(trace)
    assert {"recvfrom", "sendto", "ppoll", "connect"} <= seen[0]
    assert {"sendto", "brk"} <= seen[1]
    assert seen[0] - listed[0] == set() and seen[1] - listed[1] == set()


def test_D8_empty_root(tstream, context, tmp_path):
    """In a root folder with nothing but the binary: no /etc, /dev, /proc."""
    root = tmp_path / "root"
    root.mkdir()
    for src, name in ((BINARY, "tstream"), (tstream.keys_file, "k"),
                      (tstream.authority.file, "ca")):
        (root / name).write_bytes(src.read_bytes())
    (root / "tstream").chmod(0o755)
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    with Server(scripted(stream(tweets(3)) + BYE), context) as server:
        def into():
            os.chroot(root)
            os.chdir("/")

        # without /etc/hosts the name is asked for at 127.0.0.1, in vain
        url = server.url().replace("https://localhost", "http://127.0.0.1")
        plain = subprocess.run(["/tstream", "-k", "/k", "-d", "1", "-u", url],
                               preexec_fn=into, capture_output=True, env={},
                               timeout=30)
        assert plain.returncode == 1, plain.stderr
        assert b"stats" in plain.stderr
        (root / "etc").mkdir()
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
        tls = subprocess.run(["/tstream", "-k", "/k", "--cafile", "/ca", "-u",
                              server.url()], preexec_fn=into, env={},
                             capture_output=True, timeout=30)
        assert tls.returncode == 0, tls.stderr
        assert tls.stdout == joined(tweets(3)) + BYE_LINE


def test_help_and_version():
    for option in ("-h", "--help", "-V", "--version"):
        p = subprocess.run([BINARY, option], capture_output=True, text=True)
        assert p.returncode == 0 and p.stdout and not p.stderr
    assert "BearSSL 0.6" in p.stdout


# Messages ---------------------------------------------------------------------

def test_H1_S11_messages_in_order(tstream, any_context):
    messages = [b'{"text":"a"}', b'{"limit":{"track":7}}', b'{"x":1}',
                b'{"delete":{}}', b'{"warning":{"code":"FALLING_BEHIND",'
                b'"percent_full":80}}', b'{"text":"\xc3\xa4"}']
    body = stream(messages[:3]) + chunk(b"\r\n") + b"".join(
        chunk(m + b"\r\n") for m in messages[3:]) + BYE
    with Server(scripted(body), any_context) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 0
    assert p.stdout == joined(messages) + BYE_LINE
    s = stats(p.stderr)
    assert (s["tweets"], s["notices"], s["withheld"], s["keepalives"]) == \
        (2, 5, 7, 1)
    assert "FALLING_BEHIND" in p.stderr and "80%" in p.stderr


@pytest.mark.parametrize("size", [1, 100, 16384, 70000])
def test_real_tweets(tstream, any_context, size):
    if not DATA.exists():
        pytest.skip("no folder with real tweets beside the project")
    body = (DATA / "tweets.ndjson").read_bytes()
    if size == 1:
        body = b"\n".join(body.split(b"\n")[:12]) + b"\n"
    wire = body.replace(b"\n", b"\r\n")

    def send(c, request):
        c.send(HEAD)
        for i in range(0, len(wire), size):
            c.send(chunk(wire[i:i + size]))
        c.send(BYE)
        c.wait_closed()

    with Server(scripted(send), any_context) as server:
        p = tstream("-u", server.url())
    assert p.stdout == body + BYE_LINE


def test_C9_one_byte_segments(tstream):
    """each byte a segment and a read of its own."""
    wire = stream(tweets(2)) + BYE

    def send(c, request):
        for i in range(len(wire)):
            c.send(wire[i:i + 1])
            time.sleep(0.002)  # so that segments are not joined
        c.wait_closed()

    with Server(scripted(send)) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(tweets(2)) + BYE_LINE


def test_H11_H12_H13_bodies_without_chunks(tstream):
    lines = b"".join(t + b"\r\n" for t in tweets(3))
    until_close = b"HTTP/1.1 200 OK\r\n\r\n" + lines
    old = b"HTTP/1.0 200 OK\r\n\r\n" + lines
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(lines) + lines
    bye = stream([]) + BYE
    with Server(scripted(until_close, old, sized, bye)) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(tweets(3)) * 3 + BYE_LINE
    assert p.stderr.count("ended the stream; next") == 3


def test_notices_file(tstream, tmp_path):
    messages = [b'{"text":"a"}', b'{"delete":{}}', b'{"text":"b"}', b'{"x":1}']
    notices = tmp_path / "notices"
    notices.write_bytes(b"before\n")
    with Server(scripted(stream(messages) + BYE)) as server:
        p = tstream("-u", server.url(), "-n", notices)
    assert p.stdout == joined([messages[0], messages[2]])
    assert notices.read_bytes() == b"before\n" + joined(
        [messages[1], messages[3]]) + BYE_LINE


def test_S4_S5_S6_S10_malformed_lines_cost_only_themselves(tstream):
    good = tweets(2)
    bad = [b'{"text":"a}', b"not json", b'{"text":"\xff"}', b"[1,2]",
           b'{"text":"' + b"y" * (1 << 20) + b'"}', b"\x1b[31mred"]
    with Server(scripted(stream([good[0], *bad, good[1]]) + BYE)) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(good) + BYE_LINE
    assert stats(p.stderr)["malformed"] == len(bad)
    assert "\x1b" not in p.stderr and "\\x1b[31mred" in p.stderr
    assert "1048587 bytes, not written: too long at byte 1048576: " in p.stderr
    assert "malformed line of 8 bytes, not written: not an object at byte 0: " \
        "not json" in p.stderr


def test_a_line_goes_out_at_once(tstream, context):
    """Each tweet is read from stdout before the server sends the next."""
    seen = threading.Semaphore(0)

    def send(c, request):
        c.send(HEAD)
        for t in tweets(20):
            c.send(chunk(t + b"\r\n"))
            assert seen.acquire(timeout=10)
        c.send(BYE)
        c.wait_closed()

    with Server(scripted(send), context) as server:
        p = tstream.start("-u", server.url())
        for t in tweets(20):
            assert p.stdout.readline() == t + b"\n"
            seen.release()
        p.communicate(timeout=10)


# Requests ---------------------------------------------------------------------

TRACK = "a b,ümläut,🎈,!*'()~-._&=+%/,#cdu"


def request_of(tstream, *args, path="/1.1/x.json", n=1):
    handler = scripted(*[response(b"503 x", b"", [b"Retry-After: 0"])] * (n - 1)
                       + [stream([]) + BYE])
    with Server(handler) as server:
        p = tstream("-u", server.url(path), *args)
        assert p.returncode == 0, p.stderr
    return handler.requests, p


def test_signature_is_valid_and_fresh(tstream):
    handler = scripted(HEAD, HEAD, stream([]) + BYE)  # two short streams
    with Server(handler) as server:
        p = tstream("-u", server.url("/x.json?a=b%20c&d=%C3%A4"), "-t", TRACK,
                    "-f", "1,2", "-l", "-122.75,36.8,-121.75,37.8", "-p",
                    "language=de,en", "-p", "filter_level=low")
    assert p.returncode == 0
    validator = peer.Validator(peer.KEYS)
    assert len(handler.requests) == 3
    for r in handler.requests:
        assert r.is_signed(validator)
        assert r.method == "POST" and r.version == "HTTP/1.1"
        assert r.target == "/x.json?a=b%20c&d=%C3%A4"
        assert r.headers["Accept-Encoding"] == "identity"
        assert re.fullmatch(r"tstream/[0-9.]+", r.headers["User-Agent"])
    from urllib.parse import parse_qs
    assert parse_qs(r.body.decode(), strict_parsing=True) == {
        "stall_warnings": ["true"], "filter_level": ["low"],
        "track": [TRACK], "follow": ["1,2"], "language": ["de,en"],
        "locations": ["-122.75,36.8,-121.75,37.8"]}
    # a wrong secret is noticed, or this test could not fail
    wrong = dict(peer.KEYS, client_secret="other")
    assert not r.is_signed(peer.Validator(wrong))


def test_default_parameters(tstream):
    (r,), _ = request_of(tstream)
    assert r.body == b"stall_warnings=true&filter_level=none"


def test_A6_largest_request(tstream):
    follow = ",".join(str(10**18 + i) for i in range(5000))
    track = ",".join("ü" * 29 + "%02d" % (i % 100) for i in range(400))
    (r,), p = request_of(tstream, "-f", follow, "-t", track)
    assert r.is_signed(peer.Validator(peer.KEYS))
    assert "makes sampling easier" in p.stderr


@pytest.mark.parametrize("args, says", [
    (["-t", ""], "empty"), (["-t", "a,,b"], "empty"), (["-t", "x" * 61], "60"),
    (["-t", "a\nb"], "control"), (["-t", ",".join("x" * 401)], "400"),
    (["-f", "jack"], "numeric"), (["-f", "1,2,"], "empty"),
    (["-f", ",".join("1" * 5001)], "5000"), (["-l", "1,2,3"], "four"),
    (["-l", "200,0,1,1"], "longitude"), (["-l", "0,91,1,92"], "latitude"),
    (["-l", "1,1,0,0"], "south-west"), (["-l", "a,b,c,d"], "degrees"),
    (["-l", ",".join(["0,0,1,1"] * 26)], "25"),
    (["-u", "https://h/?a=b&%64elimited=length"], "delimited"),
    (["-u", "https://h/?oauth_token=1"], "signature"),
    (["-p", "delimited=length"], "delimited"), (["-p", "x"], "NAME=VALUE"),
    (["-p", "=x"], "NAME=VALUE"), (["-p", "a=b\r\nc"], "NAME=VALUE"),
    (["-p", "oauth_nonce=1"], "signature"), (["-p", "track=x"], "-t"),
    (["-u", "ftp://x"], "https://"), (["-u", "https://127.0.0.1/"], "address"),
    (["-u", "https://[::1]/"], "address"), (["-u", "https://u:p@h/"], "user"),
    (["-u", "http://h/\r\nX: y"], "%XX"), (["-c", "0"], "-c"),
    (["-c", "1x"], "-c"), (["-d", "-1"], "-d"), (["--buffer", "1T"], "--buffer"),
    (["--stall", ""], "--stall"), (["-s", "x"], "-s"), (["--nonsense"], "--"),
    (["word"], "word"), (["-n", "/nonexistent/x"], "-n"),
    (["--cafile", "/nonexistent"], "No such file"), (["-c"], "-c"),
])
def test_A4_usage_errors_send_nothing(tstream, args, says):
    def fail(connection):
        raise AssertionError("a connection was made")

    with Server(fail) as server:
        p = tstream("-u", server.url(), *args)
        assert p.returncode == 2 and server.accepted == 0
    assert says in p.stderr and p.stdout == b""


# Credentials ------------------------------------------------------------------

ENV = {"CONSUMER_KEY": peer.KEYS["client_key"],
       "CONSUMER_SECRET": peer.KEYS["client_secret"],
       "ACCESS_TOKEN": peer.KEYS["resource_owner_key"],
       "ACCESS_TOKEN_SECRET": peer.KEYS["resource_owner_secret"]}


@pytest.mark.parametrize("source", ["keys", "twarc", "environment", "default"])
def test_A2_credentials(tstream, tmp_path, source):
    args, how = [], {"keys": False}
    if source == "twarc":
        path = tmp_path / "twarc"
        path.write_text("[main]\nconsumer_key = {client_key}\nconsumer_secret ="
                        " {client_secret}\naccess_token = {resource_owner_key}\n"
                        "access_token_secret = {resource_owner_secret}\n".format(
                            **peer.KEYS))
        path.chmod(0o600)
        args = ["-k", path]
    elif source == "keys":
        args = ["-k", tstream.keys_file]
    elif source == "environment":
        how["env"] = ENV
    else:
        (tmp_path / "keys.yaml").write_text(peer.keys_text())
    handler = scripted(stream([]) + BYE)
    with Server(handler) as server:
        p = tstream("-u", server.url(), *args, **how)
    assert p.returncode == 0
    assert handler.requests[0].is_signed(peer.Validator(peer.KEYS))
    assert ("can be read by others" in p.stderr) == (source == "default")


def test_credentials_missing(tstream):
    p = tstream(keys=False, env={k: v for k, v in ENV.items()
                                 if k != "ACCESS_TOKEN"})
    assert p.returncode == 2
    assert "ACCESS_TOKEN" in p.stderr
    assert peer.KEYS["client_secret"] not in p.stderr


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "huge", "mode"])
def test_A1_keys_file_of_another_kind(tstream, tmp_path, kind):
    path = tmp_path / "k"
    if kind == "empty":
        path.write_text("")
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with open(path, "wb") as f:
            f.truncate(1 << 30)
    elif kind == "mode":
        path = pathlib.Path("/proc/self/mem")
    p = tstream("-k", path, keys=False)
    assert p.returncode == 2 and str(path) in p.stderr


def find_secrets(raw):
    """Which secrets stand in these bytes, in any common form."""
    import base64
    from urllib.parse import quote
    found = []
    for name in ("client_secret", "resource_owner_secret"):
        value = peer.KEYS[name].encode()
        for form in (value, quote(value, safe="").encode(),
                     base64.b64encode(value)):
            if form in raw:
                found.append(name)
    return found


def test_A7_A8_secrets_are_nowhere(tstream, context):
    """not in the log at -v, the environment, argv or memory."""
    opened = threading.Event()

    def send(c, request):
        c.send(stream(tweets(1)))
        opened.set()
        c.wait_closed()

    with Server(scripted(send), context) as server:
        p = tstream.start("-v", "-u", server.url(), keys=False, env=ENV)
        assert opened.wait(10)
        assert p.stdout.readline()
        seen = b""
        for name in ("environ", "cmdline"):
            seen += pathlib.Path(f"/proc/{p.pid}/{name}").read_bytes()
        memory = 0
        if os.geteuid() == 0:
            with open(f"/proc/{p.pid}/mem", "rb", 0) as mem:
                for line in open(f"/proc/{p.pid}/maps"):
                    m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
                    if m and "[v" not in line:
                        a, b = (int(x, 16) for x in m.groups())
                        mem.seek(a)
                        part = mem.read(b - a)
                        memory += len(part)
                        seen += part
            assert memory > 100000
        p.terminate()
        _, err = p.communicate(timeout=10)
    assert find_secrets(seen + err) == []
    assert b"Authorization" in err and b"oauth_signature" not in err
    assert find_secrets(peer.KEYS["client_secret"].encode()), "the test is blind"


def test_A9_credentials_in_an_error_body_are_left_out(tstream):
    signatures = []

    def echo(c, request):
        header = request.headers["Authorization"]
        signatures.append(re.search('oauth_signature="([^"]*)%3D"', header)[1])
        c.send(response(b"401 Unauthorized", b"Bad signature in: " +
                        header.encode()))

    with Server(scripted(echo)) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 1 and "Bad signature in:" in p.stderr
    for value in peer.KEYS.values():
        assert value not in p.stderr
    assert 'oauth_signature="(secret)' in p.stderr
    assert signatures[0] not in p.stderr


# TLS ----------------------------------------------------------------------------

def refused(tstream, pem, *args, ciphers=None, handler=None):
    """Run against a server with this certificate; no request may come."""
    def fail(connection):
        if connection.request() is not None:
            raise AssertionError("a request was sent")

    with Server(handler or fail, peer.tls_context(pem, ciphers)) as server:
        return tstream("-u", server.url(), *args)


CASES = {
    "wrong host": (dict(names=["other.example"]), "another host name"),
    "common name alone": (dict(names=None), "no subjectAltName"),
    "address alone": (dict(names=["IP:127.0.0.1"]), "another host name"),
    "wildcard": (dict(names=["*.localhost"]), "another host name"),
    "expired": (dict(days=(-9, -2)), "expired or not yet valid"),
    "not yet valid": (dict(days=(2, 9)), "expired or not yet valid"),
    "self-signed": (dict(self_signed=True), "not trusted"),
    "small RSA": (dict(kind=1024), "less than 2,048 bits"),
}


@pytest.mark.parametrize("case", CASES)
def test_T1_T2_T3_T5_T6_T9_bad_certificates(tstream, authority, case):
    """refused with a message of its own, no request sent."""
    how, says = CASES[case]
    context = "DEFAULT@SECLEVEL=0" if case == "small RSA" else None
    p = refused(tstream, authority.server(**how), ciphers=context)
    assert p.returncode == 1
    assert says in p.stderr and "localhost" in p.stderr
    if "valid" in case or case == "expired":
        assert time.strftime("the clock here says %Y-") in p.stderr


def test_T4_unknown_authority(tstream, tmp_path):
    p = refused(tstream, peer.Authority(tmp_path, "other CA").server())
    assert p.returncode == 1 and "not trusted" in p.stderr


def test_T5_authority_with_a_small_key(tstream, tmp_path, authority):
    """It is not trusted, whoever names it; those beside it are."""
    small = peer.Authority(tmp_path, "small CA", peer.make_key(1024))
    p = tstream("--dry-run", "--cafile", small.file)
    assert p.returncode == 2 and "no certificate that is of use" in p.stderr
    both = tmp_path / "both"
    both.write_bytes(small.file.read_bytes() + authority.file.read_bytes())
    p = refused(tstream, small.server(), "--cafile", both)
    assert p.returncode == 1 and "not trusted" in p.stderr
    assert "0 expired certificates and 1 with keys that are not" in p.stderr


def test_good_certificates(tstream, authority, context):
    handler = scripted(stream(tweets(1)) + BYE)
    for how in (dict(kind="ec"), dict(kind=2048), dict(kind=4096),
                dict(names=["a.example", "localhost"]),
                dict(name="other", names=["LOCALHOST"])):
        with Server(handler, peer.tls_context(authority.server(**how))) as s:
            assert tstream("-u", s.url()).stdout == joined(tweets(1)) + BYE_LINE


@pytest.mark.parametrize("suite", [
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"])
def test_suites(tstream, authority, suite):
    kind = 2048 if "RSA" in suite else "ec"
    context = peer.tls_context(authority.server(kind=kind), suite)
    with Server(scripted(stream(tweets(500, 900)) + BYE), context) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(tweets(500, 900)) + BYE_LINE
    assert suite.replace("-SHA256", "").replace("-SHA384", "") in p.stderr


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-"
                                   "SHA256", "ECDHE-RSA-AES128-SHA"])
def test_other_suites_are_not_offered(tstream, authority, suite):
    p = refused(tstream, authority.server(kind=2048), "-d", "1", ciphers=suite)
    assert "protocol mismatch" in p.stderr


def test_verbose_explains_a_handshake(tstream, authority):
    p = refused(tstream, authority.server(names=["other"]), "-v")
    assert re.search(r"TLS 1.2 was offered with .*; [0-9]+ bytes of handshake "
                     "came; 1 authorities are trusted", p.stderr)


def test_T13_tls13_only(tstream, authority):
    import ssl
    context = peer.tls_context(authority.server())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with Server(lambda c: None, context) as server:
        p = tstream("-u", server.url(), "-d", "1")
    assert "does not speak TLS 1.2" in p.stderr


def test_built_in_roots_do_not_trust_the_test(tstream, context):
    with Server(lambda c: c.request(), context) as server:
        p = subprocess.run([*tstream.binary, "-k", tstream.keys_file, "-u", server.url()],
                           env=clean_environment(), capture_output=True,
                           text=True, timeout=30)
    assert p.returncode == 1 and "not trusted" in p.stderr


def test_ssl_cert_file(tstream, authority, context):
    with Server(scripted(stream([]) + BYE), context) as server:
        p = subprocess.run([*tstream.binary, "-k", tstream.keys_file, "-u", server.url()],
                           env=clean_environment(
                               {"SSL_CERT_FILE": str(authority.file)}),
                           capture_output=True, timeout=30)
    assert p.returncode == 0


@pytest.mark.parametrize("text, says", [
    (b"", "no certificate"), (b"\0\xff garbage" * 1000, "no certificate"),
    (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "PEM"),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "cut off"),
    (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
     "no certificate"),
    # it goes on long behind the place where it stops to be a certificate
    (b"-----BEGIN CERTIFICATE-----\n" + b"MIIIADCC" * 3000
     + b"\n-----END CERTIFICATE-----\n", "no certificate"), (None, "larger|more than 512|no room|room for")], ids=range(7))
def test_T26_ca_files(tstream, authority, tmp_path, text, says):
    path = tmp_path / "ca"
    path.write_bytes(authority.file.read_bytes() * 3000 if text is None else text)
    p = tstream("--cafile", path)
    assert p.returncode == 2 and re.search(says, p.stderr), p.stderr


def test_T26_ca_file_with_crlf(tstream, authority, context, tmp_path):
    path = tmp_path / "ca"
    path.write_bytes(authority.file.read_bytes().replace(b"\n", b"\r\n"))
    with Server(scripted(stream([]) + BYE), context) as server:
        assert tstream("-u", server.url(), "--cafile", path).returncode == 0


def test_T26_expired_anchor_is_left_out(tstream, authority, context, tmp_path):
    old = peer.Authority(tmp_path, "old CA", days=(-9, -1))
    both = tmp_path / "both"
    both.write_bytes(old.file.read_bytes() + authority.file.read_bytes())
    with Server(scripted(stream([]) + BYE), context) as server:
        p = tstream("-u", server.url(), "--cafile", both)
    assert p.returncode == 0 and "1 expired" in p.stderr


def test_T20_truncation_is_seen(tstream, context):
    """FIN in a chunk is a cut, whatever TLS says."""
    def cut(c, request):
        c.send(HEAD + b"100\r\n" + tweets(1)[0] + b"\r\n{\"text")

    with Server(scripted(cut, stream([]) + BYE), context) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(tweets(1)) + BYE_LINE
    assert "the stream was cut" in p.stderr


# Statuses and reconnecting ------------------------------------------------------

def test_H2_H3_H4_irrecoverable_statuses(tstream):
    for status in (201, 204, 301, 302, 307, 400, 401, 403, 404, 406, 410, 413,
                   416, 418, 422):
        with Server(scripted(response(b"%d Why" % status, b"because\x1b \xff",
                                      [b"Location: http://other/"]))) as s:
            p = tstream("-u", s.url())
            assert s.accepted == 1
        assert p.returncode == 1 and p.stdout == b""
        assert f"HTTP status {status}" in p.stderr
        if status != 204:
            assert "because\\x1b \\xff" in p.stderr
        if 300 <= status < 400:
            assert "http://other/" in p.stderr and "not followed" in p.stderr


def test_error_without_a_body_on_an_open_connection(tstream):
    """The server keeps the connection open; there is nothing to wait for."""
    for status in (b"401 Unauthorized", b"204 No Content"):
        def refuse(c, request, status=status):
            c.send(response(status))
            c.wait_closed()

        with Server(scripted(refuse)) as server:
            p = tstream("-u", server.url(), timeout=5)
        assert p.returncode == 1


def test_C8_server_that_is_slow_to_read_the_request(tstream, any_context):
    """a window of next to nothing; the request goes out as it opens."""
    validator, signed = peer.Validator(peer.KEYS), []

    def slow(c):
        time.sleep(1)  # the window is closed meanwhile
        request = c.request()
        signed.append(request.is_signed(validator))
        c.send(stream([]) + BYE)
        c.wait_closed()

    follow = ",".join(str(10**19 + i) for i in range(5000))
    with Server(slow, any_context) as server:
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        p = tstream("-u", server.url(), "-f", follow)
    assert p.returncode == 0 and signed == [True]


def test_H20_error_body_of_any_size(tstream):
    def flood(c, request):
        c.send(b"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            c.send(chunk(b"no " * 1000))

    with Server(scripted(flood)) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 1 and 1000 < p.stderr.index(" - ") < 1300


def test_H5_L3_clock_hint(tstream):
    for skew, said in ((-4000, True), (4000, True), (100, False)):
        date = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT",
                             time.gmtime(time.time() + skew)).encode()
        with Server(scripted(response(b"401 x", b"no", [date]))) as s:
            p = tstream("-u", s.url())
        assert ("the clock here" in p.stderr) == said
        if said:
            assert re.search("(3999|400[01]) seconds "
                             + ("ahead of" if skew < 0 else "behind")
                             + " the server's: set it, signatures need it", p.stderr)
        with Server(scripted(response(b"401 x", b"no", [date]))) as s:
            p = tstream("-u", s.url(), "--auth", "none")
        assert bool(re.search(r"(ahead of|behind) the server's$", p.stderr, re.M)) == said


def waits(stderr):
    return [float(x) for x in re.findall(r"next attempt in ([0-9.]+) s", stderr)]


def test_C12_accepts_and_closes(tstream):
    """accepts and closes at once."""
    with Server(lambda c: None) as server:
        p = tstream("-u", server.url(), "-d", "3")
        assert server.accepted == 5  # at 0, 0.25, 0.75, 1.5, 2.5
    assert waits(p.stderr) == [0.25, 0.5, 0.75, 1, 1.25]


@pytest.mark.parametrize("status, first", [(420, 60), (429, 60), (503, 5),
                                           (500, 5), (599, 5)])
def test_H7_H8_waiting_rows(tstream, status, first):
    with Server(scripted(response(b"%d x" % status))) as server:
        p = tstream("-u", server.url(), "-d", "1")
        assert server.accepted == 1
    assert waits(p.stderr) == [first] and p.returncode == 1


def test_H14_H15_H17_K3_protocol_errors_are_named(tstream):
    wire = [HEAD + b"5\r\nhello\n", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
            b"SSH-2.0-x\r\n", stream([]) + BYE]
    with Server(scripted(*wire)) as server:
        p = tstream("-u", server.url())
    for text in ("no CRLF where a chunk", "without a proper name",
                 "a Content-Encoding nobody", "not an HTTP/1.0"):
        assert text in p.stderr
    assert p.stdout == BYE_LINE


def test_K5_every_message_once_over_reconnects(tstream, context):
    parts = [stream(tweets(5)) + b"99\r\n{\"text\":\"half", stream(tweets(3)),
             stream(tweets(2)) + b"0\r\n\r\nextra", stream([]) + BYE]
    with Server(scripted(*parts), context) as server:
        p = tstream("-u", server.url())
    assert p.stdout == joined(tweets(5) + tweets(3) + tweets(2)) + BYE_LINE
    s = stats(p.stderr)
    assert s["connects"] == 4 and s["gaps"] == 3 and s["tweets"] == 10
    assert len(re.findall(r"tstream: gap of [0-9.]+ s since 20", p.stderr)) == 3


def test_C6_stall(tstream):
    """the peer falls silent."""
    def silent(c, request):
        c.send(stream(tweets(1)))
        c.wait_closed()

    with Server(scripted(silent, stream([]) + BYE)) as server:
        begin = time.monotonic()
        p = tstream("-u", server.url(), "--stall", "1")
        assert 1.2 <= time.monotonic() - begin < 5
    assert "the stream stalled" in p.stderr and waits(p.stderr) == [0.25]


def test_D1_no_such_host(tstream):
    p = tstream("-u", "http://no-such-host.invalid/", "-d", "1")
    assert "no such host" in p.stderr or "no name server" in p.stderr
    assert len(waits(p.stderr)) <= 3


def test_D5_second_address(tstream):
    """::1 refuses, 127.0.0.1 listens."""
    if "::1" not in pathlib.Path("/etc/hosts").read_text():
        pytest.skip("localhost has no IPv6 address here")
    with Server(scripted(stream([]) + BYE)) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 0 and waits(p.stderr) == []


def test_D6_ipv6(tstream):
    try:
        server = Server(scripted(stream([]) + BYE), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        p = tstream("-u", server.url(host="[::1]"))
    assert p.returncode == 0


# Ends ---------------------------------------------------------------------------

def test_count(tstream):
    with Server(scripted(stream(tweets(10)) + BYE)) as server:
        p = tstream("-u", server.url(), "-c", "3")
    assert p.returncode == 0 and p.stdout == joined(tweets(3))


def test_test(tstream):
    def send(c, request):
        assert b"track=if" in request.body
        c.send(stream(tweets(7)))
        c.wait_closed()

    with Server(scripted(send)) as server:
        begin = time.monotonic()
        p = tstream("--test", "-u", server.url())
        assert 9 < time.monotonic() - begin < 13
    assert (p.returncode, p.stdout) == (0, b"works: 7 tweets in 10 s\n")
    with Server(scripted(response(b"401 no"))) as server:
        p = tstream("--test", "-u", server.url())
    assert p.returncode == 1
    assert p.stdout == (b"does not work: HTTP status 401 - check the four "
                        b"credentials and the clock\n")


def holding(c, request):
    c.send(stream(tweets(1)))
    c.wait_closed()


STATES = {
    "streaming": (scripted(holding), None),
    "head": (lambda c: c.wait_closed(), None),
    "waiting": (scripted(response(b"420 x")), "next attempt"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGHUP])
@pytest.mark.parametrize("state", STATES)
def test_O11_signals_end_within_100_ms(tstream, state, number):
    """O11; measured ends take some 5 ms, the limit allows for a busy machine."""
    handler, sign = STATES[state]
    with Server(handler) as server:
        p = tstream.start("-u", server.url())
        if sign:
            while sign not in (line := p.stderr.readline().decode()):
                assert line
        elif state == "streaming":
            assert p.stdout.readline()
        else:
            wait_until(lambda: server.accepted)
            time.sleep(0.2)  # let it settle in the state
        ends_by(p, number)


def ends_by(p, number):
    begin = time.monotonic()
    p.send_signal(number)
    out, err = p.communicate(timeout=5)
    assert time.monotonic() - begin < 0.1
    assert p.returncode == -number and b"stats" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="a private name server needs root")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGHUP])
def test_D2_signals_while_a_name_is_looked_up(tstream, number):
    with silent_resolver(tstream) as start:
        p = start("http://silent.example/")
        children = "/proc/{0}/task/{0}/children".format
        wait_until(lambda: pathlib.Path(children(p.pid)).read_text())
        supervisor = pathlib.Path(children(p.pid)).read_text().split()[0]
        wait_until(lambda: pathlib.Path(children(supervisor)).read_text())
        ends_by(p, number)


@contextlib.contextmanager
def silent_resolver(tstream):
    """A root folder whose name server takes questions and never answers; gives
    what starts tstream in it."""
    root = tstream.cwd / "silent"
    (root / "etc").mkdir(parents=True)
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.77\n")
    for src, name in ((BINARY, "tstream"), (tstream.keys_file, "keys"),
                      (tstream.authority.file, "ca")):
        (root / name).write_bytes(src.read_bytes())
    (root / "tstream").chmod(0o755)

    def into():
        os.chroot(root)
        os.chdir("/")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        bind_when_free(quiet, ("127.0.0.77", 53))
        yield lambda url: subprocess.Popen(
            ["/tstream", "-k", "/keys", "--cafile", "/ca", "-u", url],
            preexec_fn=into, env={}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def bind_when_free(sock, address):
    """Another test may use this address at the same time."""
    def bind():
        try:
            sock.bind(address)
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    wait_until(bind, 60)


def wait_until(check, timeout=10):
    end = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_O12_usr1_prints_statistics(tstream):
    with Server(scripted(holding)) as server:
        p = tstream.start("-u", server.url())
        assert p.stdout.readline()
        p.send_signal(signal.SIGUSR1)
        line = ""
        while " stats " not in line:
            line = p.stderr.readline().decode()
        assert " tweets=1 " in line
        assert p.poll() is None
        p.terminate()
        p.communicate(timeout=5)


def test_stats_interval_and_quiet(tstream):
    with Server(scripted(holding)) as server:
        p = tstream("-u", server.url(), "-s", "1", "-d", "4")
        assert 3 <= p.stderr.count(" stats ") <= 5
        p = tstream("-u", server.url(), "-q", "-d", "1")
        assert p.stderr == ""


# Output ---------------------------------------------------------------------------

def test_slow_reader_loses_nothing(tstream, context):
    """A reader that sleeps while 12 MB arrive: the server is never blocked."""
    messages = tweets(1200, 10000)
    sent = threading.Event()

    def send(c, request):
        c.send(stream(messages))
        sent.set()
        c.send(BYE)
        c.wait_closed()

    with Server(scripted(send), context) as server:
        p = tstream.start("-u", server.url())
        assert sent.wait(10), "the server was blocked"
        out, err = p.communicate(timeout=20)
    assert out == joined(messages) + BYE_LINE
    assert b"reading from the server pauses" not in err


@pytest.mark.parametrize("buffer", ["1M", "16M"])
def test_late_reader_gets_all(tstream, context, buffer):
    """A reader that is always late by some hundred KB, and at times by more:
    what is held is moved within the ring and goes around its end."""
    messages = tweets(6000, 5000)

    def send(c, request):
        c.send(stream(messages) + BYE)
        c.wait_closed()

    with Server(scripted(send), context) as server:
        p = tstream.start("-u", server.url(), "--buffer", buffer)
        out = []
        while part := os.read(p.stdout.fileno(), 150000):
            out.append(part)
            time.sleep(0.0005 if len(out) % 16 else 0.03)  # it is late
        p.communicate(timeout=20)
    assert b"".join(out) == joined(messages) + BYE_LINE


def test_O1_O2_full_buffer_pauses_reading(tstream):
    """back-pressure, no stall, nothing lost."""
    messages = tweets(3000, 10000)
    sent = threading.Event()

    def send(c, request):
        c.send(stream(messages) + BYE)
        sent.set()
        c.wait_closed()

    with Server(scripted(send)) as server:
        p = tstream.start("-u", server.url(), "--buffer", "1M", "--stall", "1")
        assert not sent.wait(3), "the server was not held back"
        out, err = p.communicate(timeout=20)
    assert out == joined(messages) + BYE_LINE
    assert err.count(b"reading from the server pauses") == 1
    assert b"stalled" not in err


def test_M1_memory_is_fixed(tstream, context):
    """under 2 MiB resident, and the same after 30 MB, when all buffers have
    been full once, as after 60."""
    block = b"".join(chunk(t + b"\r\n") for t in tweets(2000, 1000))
    sizes = []

    def send(c, request):
        c.send(HEAD)
        for rounds in (15, 14):
            for _ in range(rounds):
                c.send(block)
            c.send(chunk(b'{"mark":%d}\r\n' % rounds))
            wait_until(lambda: b'{"mark":%d}' % rounds in tail())
            status = pathlib.Path(f"/proc/{p.pid}/status").read_text()
            sizes.append(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]))
        c.send(BYE)
        c.wait_closed()

    path = tstream.cwd / "out"

    def tail():
        raw = path.read_bytes()
        return raw[-100:]

    with Server(scripted(send), context) as server:
        with open(path, "wb") as out:
            p = tstream.start("-u", server.url(), stdout=out)
            p.communicate(timeout=60)
    assert p.returncode == 0
    assert max(sizes) < 2048 and sizes[1] - sizes[0] < 32, sizes


def test_O3_reader_goes_away(tstream):
    """ends by SIGPIPE, quietly, even while the stream is silent."""
    with Server(scripted(holding)) as server:
        p = tstream.start("-q", "-u", server.url())
        assert p.stdout.readline()
        begin = time.monotonic()
        p.stdout.close()
        p.stdout = None
        _, err = p.communicate(timeout=5)
        assert time.monotonic() - begin < 1
    assert p.returncode == -signal.SIGPIPE and err == b""


def test_O4_no_space(tstream):
    with Server(scripted(stream(tweets(5)) + BYE)) as server:
        with open("/dev/full", "wb") as full:
            p = tstream("-u", server.url(), stdout=full)
    assert p.returncode == 3
    assert "No space left on device; 6 messages are lost" in p.stderr


def test_O4_file_size_limit(tstream, tmp_path):
    """EFBIG; the file ends at a line's end."""
    import resource
    path = tmp_path / "out"
    with Server(scripted(stream(tweets(100, 100)) + BYE)) as server:
        with open(path, "wb") as out:
            p = tstream("-u", server.url(), stdout=out,
                        preexec_fn=lambda: resource.setrlimit(
                            resource.RLIMIT_FSIZE, (5000, 5000)))
    assert p.returncode == 3 and "File too large" in p.stderr
    lines = path.read_bytes()
    assert lines.endswith(b"\n") and joined(tweets(100, 100)).startswith(lines)
    lost = int(re.search(r"(\d+) messages are lost", p.stderr)[1])
    assert lines.count(b"\n") + lost == 101


def test_O5_non_blocking_stdout_of_the_parent(tstream):
    """EAGAIN is waited out; the flag stays as it was."""
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
    messages = tweets(300, 2000)
    with Server(scripted(stream(messages) + BYE)) as server:
        p = tstream.start("-u", server.url(), stdout=w)
        time.sleep(0.3)  # let the pipe fill
        flags = fcntl.fcntl(w, fcntl.F_GETFL)
        os.close(w)
        with open(r, "rb") as out:
            assert out.read() == joined(messages) + BYE_LINE
        assert p.wait(10) == 0
    assert flags & os.O_NONBLOCK


def test_O6_blocking_flag_is_left_alone(tstream):
    r, w = os.pipe()
    with Server(scripted(stream(tweets(1)) + BYE)) as server:
        assert tstream("-u", server.url(), stdout=w).returncode == 0
    assert not fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(r), os.close(w)


def test_second_signal_ends_at_once(tstream):
    messages = tweets(500, 10000)
    with Server(scripted(stream(messages))) as server:
        p = tstream.start("-u", server.url())
        select.select([p.stdout], [], [], 10)
        time.sleep(0.5)  # let the pipe fill, nobody reads
        p.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert p.poll() is None, "held output was given up"
        p.send_signal(signal.SIGTERM)
        assert p.wait(5) == -signal.SIGTERM  # before anybody reads
        out, err = p.communicate()
    lost = int(re.search(rb"(\d+) messages are lost", err)[1])
    assert out.count(b"\n") + lost == stats(err.decode())["tweets"]


def test_O9_closed_descriptors(tstream, tmp_path):
    want = joined(tweets(1)) + BYE_LINE
    with Server(scripted(stream(tweets(1)) + BYE)) as server:
        words = tstream.command("-u", server.url())

        def run(redirection):
            return subprocess.run(
                ["sh", "-c", f'exec "$@" {redirection}', "sh", *words],
                capture_output=True, timeout=20, cwd=tstream.cwd,
                env=clean_environment())

        assert run(">&-").returncode == 2
        p = run(f">&- -o {tmp_path}/out")
        assert p.returncode == 0, p.stderr
        assert (tmp_path / "out").read_bytes() == want
        p = run(">&- -o /dev/stdout")
        assert p.returncode == 2 and b"Is a directory" in p.stderr
        for closed in ("<&-", "2>&-", "<&- 2>&-"):
            p = run(closed)
            assert p.stdout == want, closed


def test_O10_stderr_that_is_full_does_not_block(tstream):
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
    try:
        while True:
            os.write(w, b"x" * 4096)
    except BlockingIOError:
        fcntl.fcntl(w, fcntl.F_SETFL, 0)
    with Server(scripted(stream(tweets(3)) + BYE)) as server:
        p = tstream("-v", "-u", server.url(), stderr=w)
    assert p.stdout == joined(tweets(3)) + BYE_LINE
    os.close(r), os.close(w)


def test_M3_limits_of_the_system(tstream, context):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (16 << 20, 16 << 20))
        resource.setrlimit(resource.RLIMIT_NOFILE, (6, 6))
        resource.setrlimit(resource.RLIMIT_STACK, (65536, 65536))

    with Server(scripted(stream(tweets(3)) + BYE), context) as server:
        p = tstream("-u", server.url(), preexec_fn=limit)
    assert p.stdout == joined(tweets(3)) + BYE_LINE, p.stderr
    assert "memory is short" in p.stderr


def switches(p):
    """How often the process has waited or was interrupted so far."""
    text = pathlib.Path(f"/proc/{p.pid}/status").read_text()
    return sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", text)))


def test_few_descriptors_and_no_busy_loop(tstream, context):
    with Server(scripted(holding), context) as server:
        p = tstream.start("-u", server.url())
        assert p.stdout.readline()
        assert len(os.listdir(f"/proc/{p.pid}/fd")) <= 8
        before = switches(p)
        time.sleep(2)
        assert switches(p) - before <= 100
        p.terminate()
        p.communicate(timeout=5)


@pytest.mark.parametrize("buffer", ["1M", "16M"])
def test_no_busy_loop_while_the_reader_stalls(tstream, context, buffer):
    """Neither with the buffer full nor with room left."""
    messages = tweets(400, 10000)

    def send(c, request):
        c.send(stream(messages))
        c.wait_closed()

    def is_full():
        size = fcntl.fcntl(p.stdout, fcntl.F_GETPIPE_SZ)
        waiting = fcntl.ioctl(p.stdout, termios.FIONREAD, bytes(4))
        return int.from_bytes(waiting, sys.byteorder) > size // 2

    with Server(scripted(send), context) as server:
        p = tstream.start("-u", server.url(), "--buffer", buffer)
        wait_until(is_full)
        time.sleep(1)
        before = switches(p)
        time.sleep(1)
        assert switches(p) - before <= 20
        assert p.stdout.read(len(joined(messages))) == joined(messages)
        p.terminate()
        p.communicate(timeout=5)


def test_live_line_on_a_terminal(tstream):
    """stderr is a terminal and stdout a file: one line, redrawn."""
    import pty
    a, b = pty.openpty()
    with Server(scripted(holding)) as server, \
            open(tstream.cwd / "out", "wb") as out:
        p = tstream.start("-u", server.url(), "-d", "3", stderr=b, stdout=out)
        os.close(b)
        text = b""
        while True:
            try:
                more = os.read(a, 4096)
            except OSError:
                break
            text += more
        p.wait(10)
    os.close(a)
    assert text.count(b"1 tweets") >= 2 and b"\r\x1b[K" in text
    for line in re.split(rb"\r\x1b\[K|\r?\n", text):
        if b"notices" in line and b"stats" not in line:
            assert len(line) <= 80


def test_readme_counts_the_lines():
    """The table of files to audit is complete and true, its sum too."""
    readme = (ROOT / "README").read_text()
    table = dict(re.findall(r"^    (\w+) +(\d+)  \S", readme, re.M))
    counts = {}
    for f in ROOT.glob("*.[ch]"):
        counts[f.stem] = counts.get(f.stem, 0) + len(f.read_bytes().splitlines())
    assert {k: int(v) for k, v in table.items() if k in counts} == counts
    assert int(re.search(r"^    in all +(\d+)$", readme, re.M)[1]) == sum(
        counts.values())


def test_manual_is_clean():
    p = subprocess.run(["mandoc", "-T", "lint", "-W", "warning",
                        ROOT / "tstream.1"], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout


def test_S1_S12_L5_M5_unit():
    """The session on a virtual clock: tests/unit.c, by cmocka."""
    p = subprocess.run([ROOT / "build/tests/unit"], capture_output=True,
                       text=True)
    assert p.returncode == 0, p.stdout + p.stderr


def test_L1_L2_simulated_days():
    """The loop on simulated system calls: tests/sim.c; 10,000 days and ten
    years in make torture."""
    p = subprocess.run([ROOT / "build/tests/sim", "1", "500"],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr


@pytest.mark.torture
@pytest.mark.parametrize("seed, runs, days", [
    (10000, 5000, 1), (20000, 5000, 1), (1, 1, 3650)])
def test_L1_L2_ten_thousand_simulated_days(seed, runs, days):
    p = subprocess.run([ROOT / "build/tests/sim", *map(str, (seed, runs, days))],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr


def test_output_is_json(tstream):
    """jq reads every line."""
    if not DATA.exists():
        pytest.skip("no folder with real tweets beside the project")
    lines = (DATA / "tweets.ndjson").read_bytes().splitlines()
    with Server(scripted(stream(lines) + BYE)) as server:
        p = tstream("-u", server.url())
    jq = subprocess.run(["jq", "-c", "keys"], input=p.stdout,
                        capture_output=True)
    assert jq.returncode == 0 and jq.stdout.count(b"\n") == len(lines) + 1
    assert json.loads(p.stdout.splitlines()[0])["text"]
