"""Servers and clients that others wrote; `make interop` installs them by
scripts/interop and runs this. Theirs are run as nobody where we are root."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest

from conftest import ROOT, clean_environment, stats
from peer import Server
from test_judges import any_text
from test_rooms import Probe, oauth, signature
from test_stream import wait_until

pytestmark = pytest.mark.interop

MODULES = ROOT / "build/interop/node_modules"
FAST = ROOT / "build/tests/tstream-fast"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
          "--no-new-privs"] if os.geteuid() == 0 else []


@pytest.fixture
def folder():
    """A folder of nobody's, for what the servers write."""
    with tempfile.TemporaryDirectory() as name:
        if NOBODY:
            os.chown(name, 65534, 65534)
        yield pathlib.Path(name)


@pytest.fixture
def modules():
    can = subprocess.run([*NOBODY, "test", "-r", MODULES / "twit/package.json"])
    assert can.returncode == 0, "nobody must be able to enter this folder"
    return MODULES


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def running(command, port, **how):
    p = subprocess.Popen([*NOBODY, *command], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True, **how)

    def listens():
        assert p.poll() is None, p.stdout.read().decode()[-2000:]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    try:
        wait_until(listens, 30)
        yield p
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)  # its workers too
        p.wait()
        p.stdout.close()


def http(method, url, body=None, user=None):
    request = urllib.request.Request(
        url, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"})
    if user:
        import base64
        request.add_header("Authorization", "Basic " + base64.b64encode(
            user.encode()).decode())
    with urllib.request.urlopen(request) as r:
        return r.read()


def test_couchdb_changes(tstream, tmp_path, folder, modules):
    """pouchdb-server: bare LF, heartbeats, Basic credentials."""
    keys = tmp_path / "keys"
    keys.write_text("user: admin\npassword: s3cret\n")
    keys.chmod(0o600)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running([modules / ".bin/pouchdb-server", "--in-memory", "--port",
                  str(port), "--dir", folder], port, cwd=folder):
        http("PUT", base + "/db")
        http("PUT", base + "/_config/admins/admin", "s3cret")
        http("PUT", base + "/db/a", {"text": "ä"}, "admin:s3cret")
        p = tstream.start(
            "--get", "--auth", "basic", "-k", keys, "--tweet-key", "seq", "-c",
            "3", "--stall", "5", "-u",
            base + "/db/_changes?feed=continuous&heartbeat=500", keys=False)
        assert json.loads(p.stdout.readline())["id"] == "a"
        time.sleep(2)  # heartbeats alone, some of them
        http("PUT", base + "/db/b", {}, "admin:s3cret")
        assert json.loads(p.stdout.readline())["id"] == "b"
        http("PUT", base + "/db/c", {}, "admin:s3cret")
        out, err = p.communicate(timeout=10)
    assert p.returncode == 0 and json.loads(out)["id"] == "c"
    s = stats(err.decode())
    assert s["keepalives"] >= 2 and s["connects"] == 1 and s["malformed"] == 0


class Cutter(Server):
    """A relay that closes each connection behind so many bytes of answer."""

    def __init__(self, port, sizes):
        super().__init__(self._relay)
        self.target, self.sizes = port, iter(sizes)

    def _relay(self, connection):
        with socket.create_connection(("127.0.0.1", self.target)) as s:
            s.sendall(connection.sock.recv(65536))
            left = next(self.sizes, None)
            while left is None or left > 0:
                data = s.recv(65536 if left is None else left)
                if not data:
                    return
                connection.send(data)
                left = None if left is None else left - len(data)


def test_resume_couchdb(tstream, folder, modules):
    """A feed that is cut 50 times, anywhere: no change is missed. Waits are
    those of a faster clock."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running([modules / ".bin/pouchdb-server", "--in-memory", "--port",
                  str(port), "--dir", folder], port, cwd=folder):
        http("PUT", base + "/db")
        for i in range(400):
            http("PUT", base + f"/db/n{i}", {})
        r = random.Random(1)
        with Cutter(port, [r.randrange(300, 1200) for _ in range(50)]) as cut:
            p = tstream.started(subprocess.Popen(
                [FAST, "--get", "--auth", "none", "--tweet-key", "seq",
                 "--resume", "since=seq", "-p", "feed=continuous", "-u",
                 cut.url("/db/_changes")], stdout=subprocess.PIPE,
                env=clean_environment({"FAST": "30"})))
            seen = set()
            while len(seen) < 400:
                seen.add(json.loads(p.stdout.readline())["id"])
            p.terminate()
            assert cut.accepted > 50, cut.accepted
    assert seen == {f"n{i}" for i in range(400)}


def journal(n):
    return "".join(f"{k}\n" for k in (
        f"__REALTIME_TIMESTAMP={1700000000000000 + n}",
        f"__MONOTONIC_TIMESTAMP={1000 + n}", "_BOOT_ID=" + "0a" * 16,
        "_MACHINE_ID=" + "0b" * 16, f"MESSAGE=hello {n}", "")).encode()


def test_systemd_journal(tstream, authority, folder):
    """systemd-journal-gatewayd: TLS by GnuTLS, an Accept header of ours, and no
    keepalive at all."""
    tools = pathlib.Path("/lib/systemd")
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", 19531)) == 0:
            pytest.skip("port 19531, the only one it uses, is taken")
    file = folder / "remote.journal"
    pem = authority.server(kind=2048)
    text = pem.read_text()
    end = "-----END PRIVATE KEY-----\n"
    (folder / "key").write_text(text[:text.index(end)] + end)
    (folder / "cert").write_text(text[text.index(end) + len(end):])
    writer = subprocess.Popen([*NOBODY, tools / "systemd-journal-remote", "-o",
                               file, "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    writer.stdin.write(journal(0) + journal(1))
    writer.stdin.close()
    writer.wait(10)
    with running([tools / "systemd-journal-gatewayd", "--file", file, "--cert",
                  folder / "cert", "--key", folder / "key"], 19531):
        p = tstream.start("--get", "--auth", "none", "--tweet-key", "MESSAGE",
                          "-H", "Accept: application/json", "--stall", "0",
                          "-u", "https://localhost:19531/entries?follow",
                          keys=False)
        for n in range(2):
            assert json.loads(p.stdout.readline())["MESSAGE"] == f"hello {n}"
        p.terminate()
        _, err = p.communicate(timeout=5)
    assert b"TLS 1.2" in err and stats(err.decode())["malformed"] == 0


def test_nchan_body_until_close(tstream, folder):
    """nginx with nchan's raw stream: a body without length or chunks."""
    module = "/usr/lib/nginx/modules/ngx_nchan_module.so"
    port = free_port()
    temporary = "".join(f"{k}_temp_path {folder}/{k}; " for k in (
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = folder / "conf"
    conf.write_text(f"""load_module {module};
daemon off; error_log {folder}/error; pid {folder}/pid;
events {{}}
http {{ access_log off; {temporary}
 server {{ listen 127.0.0.1:{port};
  location = /pub {{ nchan_publisher; nchan_channel_id t; }}
  location = /sub {{ nchan_subscriber http-raw-stream; nchan_channel_id t;
   nchan_subscriber_first_message oldest;
   nchan_subscriber_http_raw_stream_separator "\\n"; }} }} }}
""")
    base = f"http://127.0.0.1:{port}"
    with running([shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c",
                  conf], port):
        http("POST", base + "/pub", {"text": "first"})
        p = tstream.start("--get", "--auth", "none", "-c", "3", "-u",
                          base + "/sub", keys=False)
        assert json.loads(p.stdout.readline()) == {"text": "first"}
        for text in ("second", "third"):
            http("POST", base + "/pub", {"text": text})
            assert json.loads(p.stdout.readline()) == {"text": text}
        assert p.wait(10) == 0
        p.stdout.close(), p.stderr.close()


def test_A5_other_clients_sign_ten_thousand_alike(modules):
    """twit (through request), twitter-api-v2 and oauth-1.0a give the same
    signature for the same nonce, time and parameters."""
    n = 10000
    rng = random.Random(n)

    def text():
        return any_text(rng, 1)

    cases = [dict(
        method="POST", keys=[text() for _ in range(4)],
        url="https://stream.twitter.com/1.1/statuses/filter.json",
        nonce="%032x" % rng.getrandbits(128), time=1500000000 + i,
        params={text(): text() for _ in range(rng.randrange(1, 6))},
        twit=i % 20 == 0) for i in range(n)]
    node = subprocess.run(
        [*NOBODY, "node", ROOT / "tests/sign.js"], capture_output=True, text=True,
        input="".join(json.dumps(c) + "\n" for c in cases), timeout=120,
        env=dict(os.environ, NODE_PATH=str(modules), NODE_NO_WARNINGS="1"))
    answers = node.stdout.splitlines()
    assert len(answers) == len(cases), node.stderr[-2000:]
    probe, twits = Probe(), 0
    for case, answer in zip(cases, answers):
        _, request, _ = oauth(probe, "POST", case["url"], case["keys"],
                              case["nonce"], case["time"],
                              list(case["params"].items()))
        for client, theirs in json.loads(answer).items():
            assert signature(request) == theirs, (client, case)
            twits += client == "twit"
    assert twits == n / 20
