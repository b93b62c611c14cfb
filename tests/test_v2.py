"""X API v2, other servers' ways to authenticate, and the person at the
terminal."""

import json
import os
import re
import subprocess
import time

import pytest

import peer
from conftest import BINARY, ROOT, clean_environment, stats
from peer import HEAD, Server, chunk, response, scripted
from test_stream import BYE, joined, stream, tweets, waits

TOKEN = "AAAA%2Fsecret-bearer"
POSTS = [b'{"data":{"id":"%d","text":"x"},"matching_rules":[]}' % i
         for i in range(3)]


@pytest.fixture
def v2(tstream, tmp_path):
    path = tmp_path / "bearer.yaml"
    path.write_text(f"bearer_token: {TOKEN}\n")
    path.chmod(0o600)

    def run(url, *args, **how):
        return tstream("--v2", "-k", path, "-u", url, *args, keys=False, **how)

    return run


def test_v2_request(v2, context):
    handler = scripted(stream(POSTS))
    with Server(handler, context) as server:
        p = v2(server.url("/2/tweets/search/stream?backfill_minutes=2"), "-p",
               "tweet.fields=id,text", "-c", "3")
    assert p.returncode == 0 and p.stdout == joined(POSTS)
    r, = handler.requests
    assert r.method == "GET" and r.body == b""
    assert r.target == ("/2/tweets/search/stream?backfill_minutes=2&"
                        "tweet.fields=id%2Ctext")
    assert r.headers["Authorization"] == "Bearer " + TOKEN
    assert "Content-Length" not in r.headers
    assert TOKEN not in p.stderr


def test_v2_classes(v2, tmp_path):
    notice = b'{"text":"no tweet here"}'
    partial = b'{"data":{},"errors":[{"type":"x/operational-disconnect"}]}'
    with Server(scripted(stream([POSTS[0], notice, partial]))) as server:
        p = v2(server.url(), "-n", tmp_path / "n", "-c", "2")
    assert p.stdout == joined([POSTS[0], partial])
    assert (tmp_path / "n").read_bytes() == notice + b"\n"


UPSTREAM = (b'{"errors":[{"title":"operational-disconnect","disconnect_type":'
            b'"UpstreamOperationalDisconnect","detail":"This stream has been '
            b'disconnected upstream for operational reasons.","type":"https://'
            b'api.twitter.com/2/problems/operational-disconnect"}]}')
TOO_MANY = (b'{"title":"ConnectionException","detail":"This stream is currently '
            b'at the maximum allowed connection limit.","connection_issue":'
            b'"TooManyConnections","type":"https://api.twitter.com/2/problems/'
            b'streaming-connection"}')


def test_v2_errors_in_the_stream(v2):
    wire = [stream([POSTS[0], UPSTREAM]), stream([POSTS[1],
            b'{"errors":[' + TOO_MANY + b"]}"])]
    with Server(scripted(*wire)) as server:
        p = v2(server.url(), "-d", "1")
    assert p.stdout == joined([POSTS[0], UPSTREAM, POSTS[1],
                               b'{"errors":[' + TOO_MANY + b"]}"])
    assert "operational-disconnect: This stream has been" in p.stderr
    assert waits(p.stderr) == [0.25, 60]


def test_v2_other_errors_do_not_end_the_stream(v2):
    other = b'{"errors":[{"title":"x","detail":"y","type":"about:blank"}]}'
    with Server(scripted(stream([other, *POSTS]))) as server:
        p = v2(server.url(), "-c", "3")
    assert p.stdout == joined([other, *POSTS]) and "x: y" in p.stderr
    assert stats(p.stderr)["connects"] == 1


def test_v2_two_kinds_of_429(v2):
    reset = int(time.time()) + 3
    spent = response(b"429 x", b"{}", [b"x-rate-limit-remaining: 0",
                                       b"x-rate-limit-reset: %d" % reset])
    with Server(scripted(spent, stream(POSTS))) as server:
        p = v2(server.url(), "-c", "3")
    assert p.returncode == 0 and 2 <= waits(p.stderr)[0] <= 3
    assert reset <= time.time() < reset + 3
    for headers in ([], [b"x-rate-limit-remaining: 5",
                         b"x-rate-limit-reset: %d" % (reset + 9)],
                    [b"x-rate-limit-remaining: 0", b"x-rate-limit-reset: 1"],
                    [b"x-rate-limit-remaining: 0", b"x-rate-limit-reset: x"]):
        with Server(scripted(response(b"429 x", TOO_MANY, headers))) as server:
            p = v2(server.url(), "-d", "1")
        assert waits(p.stderr) == [60], headers
        assert "429: " + TOO_MANY.decode() in p.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_v2_problems(v2, status):
    problem = {"title": "Unauthorized", "type": "about:blank", "status": status,
               "detail": "When authenticating requests \"x\", \u00fc\x1b"}
    with Server(scripted(response(b"%d x" % status,
                                  json.dumps(problem).encode()))) as server:
        p = v2(server.url())
    assert p.returncode == 1
    assert f"HTTP status {status}: {json.dumps(problem)} - " in p.stderr


def test_v2_redirects_are_refused(v2):
    with Server(lambda c: pytest.fail("followed")) as other:
        there = f"Location: http://localhost:{other.port}/".encode()
        with Server(scripted(response(b"302 x", b"", [there]))) as server:
            p = v2(server.url())
        assert p.returncode == 1 and other.accepted == 0
    assert "not followed" in p.stderr


def test_v2_keepalives_and_stall(v2):
    """A keepalive each half second holds a stream whose stall is one second;
    their end ends it."""
    def send(c, request):
        c.send(HEAD)
        for _ in range(5):
            time.sleep(0.5)
            c.send(chunk(b"\r\n"))
        c.wait_closed()

    with Server(scripted(send, stream(POSTS))) as server:
        p = v2(server.url(), "--stall", "1", "-c", "3")
    s = stats(p.stderr)
    assert s["keepalives"] == 5 and s["connects"] == 2
    assert "stalled" in p.stderr


def test_bearer_needs_tls_or_loopback(v2):
    """The address that would be connected to counts: see test_box.py."""
    p = v2("http://192.0.2.1/", "-d", "1")
    assert p.returncode == 1 and "in the clear" in p.stderr


def test_basic_and_none(tstream, tmp_path):
    keys = tmp_path / "k"
    keys.write_text("user: Aladdin\npassword: open sesame\n")
    keys.chmod(0o600)
    handler = scripted(stream(tweets(1)))
    with Server(handler) as server:
        p = tstream("--auth", "basic", "-k", keys, "--get", "-c", "1", "-H",
                    "Accept: application/json", "-H", "X: y", "-u", server.url(),
                    keys=False)
        q = tstream("--auth", "none", "--get", "-c", "1", "-u", server.url(),
                    keys=False)
    assert p.returncode == q.returncode == 0
    a, b = handler.requests
    # RFC 7617, section 2
    assert a.headers["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert a.headers["Accept"] == "application/json" and a.headers["X"] == "y"
    assert "Authorization" not in b.headers and b.target == "/1.1/statuses/sample.json"


@pytest.mark.parametrize("args, says", [
    (["--auth", "digest"], "oauth1, bearer"), (["--tweet-key", ""], "1 to 32"),
    (["--tweet-key", "ä"], "ASCII"), (["--tweet-key", "x" * 33], "1 to 32"),
    (["-H", "Host: x"], "set by tstream"), (["-H", "x"], "Name: value"),
    (["-H", "a b: c"], "Name: value"), (["-H", "a: b\r\nc: d"], "Name: value"),
    (["-H", "authorization: Bearer x"], "set by tstream"),
    (["-H", "Proxy-Authorization: Basic eDp5"], "set by tstream"),
    (["--v2", "-t", "x"], "rules"), (["--report", "/nonexistent/x"], "--report"),
    (["--trak", "x"], "no option --trak; try tstream --help"), (["--quiet=1"], "no value"),
    (["--dry-run", "--v2"], "bearer_token"),
])
def test_usage(tstream, args, says):
    p = tstream(*args)
    assert p.returncode == 2 and says in p.stderr, p.stderr


def test_no_credentials_says_what_is_needed(tmp_path):
    p = subprocess.run([BINARY], capture_output=True, text=True, cwd=tmp_path,
                       env=clean_environment())
    assert p.returncode == 2 and len(p.stderr.splitlines()) == 5
    for word in ("consumer_key", "access_token_secret", "keys.yaml", "make demo"):
        assert word in p.stderr
    assert all(len(x) <= 80 for x in p.stderr.splitlines())


def test_dry_run(tstream):
    p = tstream("--dry-run", "-t", "a b,ü", "-u", "https://h.example/x?y=z")
    assert p.returncode == 0
    out = p.stdout.decode()
    assert "> POST /x?y=z HTTP/1.1" in out
    assert "track=a%20b%2C%C3%BC" in out and "2 of at most 400 phrases" in out
    assert "POST&https%3A%2F%2Fh.example%2Fx&" in out
    assert "y%3Dz" in out and "track%3Da%2520b%252C%25C3%25BC" in out
    for secret in ("client_secret", "resource_owner_secret"):
        assert peer.KEYS[secret] not in out + p.stderr
    assert "oauth_signature=" not in out


def test_coverage_report(tstream, tmp_path):
    limits = [b'{"limit":{"track":%d}}' % n for n in (7, 3, 9)]
    wire = [stream(tweets(2) + limits), stream([b"bad", *tweets(1)]) + BYE]
    report = tmp_path / "report.json"
    report.write_text("x" * 5000)
    with Server(scripted(*wire)) as server:
        p = tstream("-u", server.url("/x?secret=1"), "-t", 'a"b\\ü', "--report",
                    report)
    assert p.returncode == 0
    r = json.loads(report.read_bytes())
    assert r["url"] == server.url("/x")
    assert r["parameters"]["track"] == 'a"b\\ü'
    for key, want in (("tweets", 3), ("withheld", 12), ("withheld_min", 9),
                      ("malformed", 1), ("connects", 2), ("gaps", 1)):
        assert r[key] == want, key
    assert r["longest_gaps"][0]["reason"] == "the server ended the stream" or \
        "cut" in r["longest_gaps"][0]["reason"]
    assert 0.2 < r["gap_s"] < 3
    assert abs(r["covered_s"] + r["gap_s"] + r["before_s"] - r["run_s"]) < 0.002
    assert "coverage: 12 tweets withheld, at least 9: 80.00%" in p.stderr
    assert re.search(r"coverage: gap of 0\.\d s since 20", p.stderr)


def test_terminal(tstream, tmp_path):
    """In tmux at 80 columns: the live line stays one line, log lines stand on
    lines of their own, also after the window changes its size."""
    def send(c, request):
        c.send(stream(tweets(5)))
        time.sleep(2)
        c.send(chunk(b"bad line\r\n"))
        c.wait_closed()

    socket = tmp_path / "tmux"

    def tmux(*args):
        return subprocess.run(["tmux", "-S", str(socket), *args], text=True,
                              capture_output=True, check=True,
                              env=dict(os.environ, LC_ALL="C.UTF-8")).stdout

    with Server(scripted(send)) as server:
        words = tstream.command("-u", server.url(), "-d", "6")
        command = " ".join(f"'{w}'" for w in words) + f" > {tmp_path}/out; sleep 60"
        tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
             command)
        try:
            seen = []
            deadline = time.monotonic() + 15
            while time.monotonic() < deadline:
                screen = tmux("capture-pane", "-p", "-J").rstrip().splitlines()
                seen.append(screen)
                if len(seen) == 30:
                    tmux("resize-window", "-x", "60", "-y", "20")
                if any("coverage" in x for x in screen):
                    break
                time.sleep(0.1)
            assert any("coverage" in x for x in screen), screen
        finally:
            tmux("kill-server")
    live = [x for screen in seen for x in screen if " tweets, " in x]
    assert live and any("5 tweets" in x for x in live)
    assert any("malformed line" in x for x in screen)
    for x in (y for screen in seen for y in screen):
        # the time opens a line, and stands in none twice
        assert len(re.findall(r"\d\dZ tstream: ", x)) <= 1, x
    final = "\n".join(screen)
    assert final.count(" tweets, ") == 0, final
