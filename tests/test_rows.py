"""Rows of the table of failures whose first tests were too kind: A7 and A9
secrets anywhere, H7 and H15 fields, M5 counters, O10 a log that nobody reads,
O15 a cooked terminal, T26 old roots."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import resource
import signal
import subprocess
import termios
import threading
import time

import pytest

import peer
from conftest import ROOT, stats
from peer import HEAD, Server, chunk, response, scripted
from test_stream import BYE, BYE_LINE, joined, stream, tweets, waits

# A7: secrets in argv, the environment, the log, a core, error bodies --------------

SECRETS = {
    "CONSUMER_KEY": "visible-consumer-key",
    "CONSUMER_SECRET": "hidden/consumer+secret=1",
    "ACCESS_TOKEN": "807095-hidden-token",
    "ACCESS_TOKEN_SECRET": "hidden&token=secret~2",
    "BEARER_TOKEN": "AAAAAhidden%2Fbearer%3Dtoken3",
}
HIDDEN = [v for k, v in SECRETS.items() if k != "CONSUMER_KEY"]


def forms(secret):
    """A secret as programs write it."""
    import base64
    from urllib.parse import quote, unquote
    raw = secret.encode()
    yield raw
    yield quote(secret, safe="").encode()
    yield unquote(secret).encode()
    yield base64.b64encode(raw)
    yield raw.hex().encode()


def found(raw):
    return [s for s in HIDDEN if any(f in raw for f in forms(s))]


def family(pid):
    """A process and all that descend from it, but for look-ups that are over
    by now."""
    children = ""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid] + [p for c in children.split() for p in family(int(c))]


def seen_from_outside(pid):
    """What others can read of them: arguments and environment."""
    text = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    for p in family(pid):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text += pathlib.Path(f"/proc/{p}/{name}").read_bytes()
    return text


def authentication(auth):
    return {"v2": ["--v2"]}.get(auth, ["--auth", auth])


@pytest.mark.parametrize("auth", ["oauth1", "bearer", "v2", "none"])
@pytest.mark.parametrize("source", ["environment", "file"])
def test_A7_nobody_else_can_see_a_secret(tstream, context, tmp_path, auth, source):
    """Whatever --auth says, and wherever the credentials come from, what the
    environment holds is wiped; the request has them in one header alone."""
    args = authentication(auth)
    if source == "file":
        keys = tmp_path / "keys"
        keys.write_text("".join(f"{k}: {v}\n" for k, v in SECRETS.items()))
        keys.chmod(0o600)
        args += ["-k", keys]
    handler = scripted(lambda c, request: (c.send(stream(tweets(1))),
                                           c.wait_closed()))
    with Server(handler, context) as server:
        p = tstream.start(*args, "-v", "-u", server.url(), keys=False,
                          env=SECRETS)
        assert p.stdout.readline(), p.stderr.read()
        outside = seen_from_outside(p.pid)
        p.terminate()
        _, err = p.communicate(timeout=10)
    assert found(repr(SECRETS).encode()) == HIDDEN, "the test is blind"
    assert found(outside) == [] and found(err) == []
    request = handler.requests[0]
    credentials = request.headers.pop("Authorization", "")
    assert (credentials == "") == (auth == "none")
    assert found(repr(vars(request)).encode()) == []


ECHOES = [b'{"error":"%s"}', b"%s", b"token=%s&x", b"Bearer  %s", b"'%s'",
          b'{"title":"No","detail":"Bearer %s is unknown","type":"about:blank"}']


@pytest.mark.parametrize("echo", ECHOES, ids=range(len(ECHOES)))
@pytest.mark.parametrize("auth", ["oauth1", "bearer"])
@pytest.mark.parametrize("level", ["-q", "-v"])
def test_A7_A9_error_bodies_that_echo_a_secret(tstream, context, auth, echo,
                                               level):
    """The server has the token, and tells it back in a 401."""
    secret = SECRETS["ACCESS_TOKEN" if auth == "oauth1" else "BEARER_TOKEN"]
    body = echo % secret.encode()
    with Server(scripted(response(b"401 Unauthorized", body)), context) as server:
        p = tstream("--auth", auth, level, "-u", server.url(), keys=False,
                    env=SECRETS)
    assert p.returncode == 1 and "401" in p.stderr
    assert found(p.stderr.encode()) == [], p.stderr


def test_A7_no_core(tstream, context, tmp_path):
    """A fault leaves no core file, whatever the limit was."""
    def no_limit():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)

    handler = scripted(lambda c, request: (c.send(stream(tweets(1))),
                                           c.wait_closed()))
    with Server(handler, context) as server:
        p = tstream.start("-u", server.url(), preexec_fn=no_limit)
        assert p.stdout.readline()
        p.send_signal(signal.SIGSEGV)
        _, status = os.waitpid(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        p.communicate()
    assert p.returncode == -signal.SIGSEGV and not os.WCOREDUMP(status)
    assert [f.name for f in tmp_path.iterdir() if "core" in f.name] == []


# H7, H15: fields that are too large, or come twice ----------------------------------

def first_attempt(p):
    """Its output and log up to the announcement of the second one."""
    log = b""
    while b"next attempt" not in log:
        line = p.stderr.readline()
        assert line, log
        log += line
    p.terminate()
    out, _ = p.communicate(timeout=10)
    return out, log.decode()


@pytest.mark.parametrize("status", [420, 429, 503])
@pytest.mark.parametrize("value", [2**31, 2**32 - 1, 2**32, 2**63, 2**64, 10**40])
def test_H7_huge_retry_after(tstream, status, value):
    """A larger number is no smaller wait: 900 seconds is the most."""
    script = response(b"%d x" % status, b"", [b"Retry-After: %d" % value])
    with Server(scripted(script)) as server:
        out, log = first_attempt(tstream.start("-u", server.url()))
    assert out == b"" and waits(log) == [900], log


@pytest.mark.parametrize("codings", [
    ["gzip"], ["gzip", "identity"], ["identity", "gzip"], ["identity, gzip"],
    ["br", "gzip"], ["IDENTITY", "x-gzip"]])
def test_H15_a_coding_that_was_not_asked_for(tstream, codings):
    """Named, before any output; in whatever field it stands."""
    fields = b"".join(b"Content-Encoding: %s\r\n" % c.encode() for c in codings)
    head = HEAD.replace(b"Content-Type", fields + b"Content-Type")
    wire = head + b"".join(chunk(m + b"\r\n") for m in tweets(3)) + BYE
    with Server(scripted(wire)) as server:
        out, log = first_attempt(tstream.start("-u", server.url()))
    assert out == b"" and "Content-Encoding" in log


# M5: counters ----------------------------------------------------------------------

@pytest.mark.parametrize("n", [2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63,
                               2**64 - 1])
def test_M5_counters_are_told_whole(n, tmp_path):
    p = subprocess.run([ROOT / "build/tests/counters", str(n), tmp_path / "r"],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    line = [x for x in p.stderr.splitlines() if " stats " in x][-1]
    said = dict(w.split("=") for w in line.split(" stats ")[1].split())
    report = json.loads((tmp_path / "r").read_text())
    for name in ("tweets", "notices", "malformed", "keepalives", "bytes",
                 "connects", "gaps"):
        assert said[name] == str(n), name
        assert report[name] == n, name
    for name, of in (("gap_s", said), ("gap_s", report)):
        assert abs(float(of[name]) - n / 1000) <= n / 1000 / 2**50 + 0.1


def test_M5_withheld_near_its_limit(tstream):
    """What the service sends may be near 2^63 and is told whole."""
    tracks = [2**32 - 1, 2**32, 2**63 - 1, 2**63]
    limits = [b'{"limit":{"track":%d}}' % n for n in tracks]
    with Server(scripted(stream(limits) + BYE)) as server:
        p = tstream("-u", server.url())
    s = stats(p.stderr)
    assert s["withheld"] == s["withheld_min"] == 2**63, p.stderr


# O10: stderr -----------------------------------------------------------------------

BAD = chunk(b"bad" + b"y" * 500 + b"\r\n")
LONG = "/" + "x" * 400  # in the log at -v: one line longer than the room


@contextlib.contextmanager
def full_pipe():
    r, w = os.pipe()
    fill(w)
    yield w
    os.close(r)
    os.close(w)


@contextlib.contextmanager
def cooked_terminal(free):
    """Nobody reads it; some room is left, less than a line needs."""
    a, b = pty.openpty()
    assert termios.tcgetattr(b)[1] & termios.OPOST
    fill(b)
    if free:
        os.read(a, free)
    yield b
    os.close(a)
    os.close(b)


def fill(fd):
    """Write until it would wait; the flags of the descriptor stay."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(fd, b"x" * size)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


UNREAD = {"pipe": full_pipe}
UNREAD.update({f"terminal, {n} bytes free":
               lambda n=n: cooked_terminal(n) for n in (0, 512, 2048, 4096)})


@pytest.mark.parametrize("kind", UNREAD)
@pytest.mark.parametrize("level", ["-v", "-q"])
def test_O10_a_log_that_nobody_reads(tstream, kind, level):
    """The stream goes on to its end, bad lines and all."""
    messages = tweets(50)
    wire = HEAD + b"".join(chunk(m + b"\r\n") + BAD for m in messages) + BYE
    with UNREAD[kind]() as stderr, Server(scripted(wire)) as server:
        p = tstream.start(level, "-s", "1", "-u", server.url(LONG),
                          stderr=stderr)
        try:
            out, _ = p.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            pytest.fail("it waits for the log's reader")
        assert p.returncode == 0 and out == joined(messages) + BYE_LINE


@pytest.mark.parametrize("kind", UNREAD)
def test_O10_O11_signals_with_a_log_that_nobody_reads(tstream, kind):
    done = threading.Event()

    def send(c, request):
        c.send(HEAD + BAD * 50)
        done.set()
        c.wait_closed()

    with UNREAD[kind]() as stderr, Server(scripted(send)) as server:
        p = tstream.start("-v", "-u", server.url(LONG), stderr=stderr)
        assert done.wait(10)
        time.sleep(0.3)  # what follows must find it waiting, if it waits
        begin = time.monotonic()
        p.terminate()
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            pytest.fail("the signal does nothing")
        assert time.monotonic() - begin < 1
        assert p.returncode == -signal.SIGTERM
        p.stdout.close()


@pytest.mark.parametrize("pause", [0, 1])
def test_O15_a_cooked_terminal(tstream, pause):
    """As stdout, with OPOST and ONLCR as every real one has them; its reader is
    quick, or sleeps until it is full."""
    messages = tweets(300, 1000)
    a, b = pty.openpty()
    with Server(scripted(stream(messages) + BYE)) as server:
        p = tstream.start("-u", server.url(), stdout=b)
        os.close(b)
        time.sleep(pause)
        got = b""
        with contextlib.suppress(OSError):  # a tty ends with EIO
            while more := os.read(a, 65536):
                got += more
        os.close(a)
        p.communicate(timeout=20)
    assert p.returncode == 0
    assert got == (joined(messages) + BYE_LINE).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_O15_O11_a_cooked_terminal_that_nobody_reads(tstream, number):
    """The first signal is heard, the second one ends it."""
    messages = tweets(300, 1000)

    def send(c, request):
        c.send(stream(messages))
        c.wait_closed()

    a, b = pty.openpty()
    with Server(scripted(send)) as server:
        p = tstream.start("-u", server.url(), stdout=b)
        os.close(b)
        while b"connected to" not in (line := p.stderr.readline()):
            assert line
        time.sleep(0.5)  # the terminal fills
        p.send_signal(number)
        time.sleep(0.2)  # two at once would be one
        p.send_signal(number)
        try:
            p.wait(2)
        except subprocess.TimeoutExpired:
            pytest.fail("two signals do nothing")
        assert p.returncode == -number
        assert b"lost" in p.communicate()[1]
    os.close(a)


# T26: roots of long ago -------------------------------------------------------------

YEAR = 365.2425


def ended_in(tmp_path, year):
    now = time.gmtime().tm_year
    days = [-(now - y) * YEAR for y in (year - 5, year)]
    return peer.Authority(tmp_path, f"of {year}", days=days)


@pytest.mark.parametrize("year", [1956, 1960, 1969, 1970, 1971, 2024])
def test_T26_root_that_ended_long_ago(tstream, authority, context, tmp_path, year):
    """It is expired also before 1970: not trusted, alone or among others."""
    old = ended_in(tmp_path, year)
    both = tmp_path / "both"
    both.write_bytes(old.file.read_bytes() + authority.file.read_bytes())
    with Server(scripted(stream([]) + BYE),
                peer.tls_context(old.server())) as server:
        p = tstream("-u", server.url(), "--cafile", old.file, "-d", "1")
        assert p.returncode == 2 and "of use" in p.stderr, p.stderr
        p = tstream("-u", server.url(), "--cafile", both, "-d", "1")
        assert p.returncode == 1 and p.stdout == b"" and "1 expired" in p.stderr
    with Server(scripted(stream([]) + BYE), context) as server:
        p = tstream("-u", server.url(), "--cafile", both)
        assert p.returncode == 0 and "1 expired" in p.stderr


def test_T26_time_of_two_digits(tstream, authority, context, tmp_path):
    """RFC 5280, 4.1.2.5.1: UTCTime's years 50 to 99 are 1950 to 1999, and 00 to
    49 are 2000 to 2049: such a root is still to end."""
    year = time.gmtime().tm_year
    new = peer.Authority(tmp_path, "to 2049", days=(-1, (2049 - year) * YEAR))
    with Server(scripted(stream([]) + BYE),
                peer.tls_context(new.server())) as server:
        p = tstream("-u", server.url(), "--cafile", new.file)
    assert p.returncode == 0 and "expired" not in p.stderr
