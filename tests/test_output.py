"""Where output goes and how it ends: terminals, pipes, files that are others
as well, readers that go away, signals."""

import collections
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import clean_environment, stats
from peer import HEAD, Server, chunk, scripted
from test_failures import Rooted, needs_root
from test_files import pending
from test_stream import BYE, BYE_LINE, holding, joined, stream, tweets, wait_until


def fill(fd, leave=0):
    """Fill what fd leads to, until it takes no more."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, b"x" * 64)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def cooked_terminal():
    """A terminal as people have it: each LF becomes CR LF."""
    a, b = pty.openpty()
    return a, b


class Run:
    """A run whose stderr is a file, or what is given."""

    def __init__(self, tstream, url, *args, root=None, stderr=None, **how):
        self.path = tstream.cwd / "stderr"
        if root:
            def into():
                os.chroot(root.root)
                os.chdir("/")

            words = ["/tstream", "-k", "/keys", "--cafile", "/ca"]
            how.update(preexec_fn=into, env={})
        else:
            words = tstream.command()
            how.update(env=clean_environment())
        with open(self.path, "wb") as f:
            self.p = subprocess.Popen([*words, "-u", url, *map(str, args)],
                                      stdin=subprocess.DEVNULL,
                                      stderr=stderr or f, **how)

    @property
    def err(self):
        return self.path.read_text()

    def held(self):
        """What is held, once it no longer changes."""
        last = None
        wait_until(lambda: " connected to " in self.err)
        while True:
            n = self.err.count(" stats ")
            self.p.send_signal(signal.SIGUSR1)
            wait_until(lambda: self.err.count(" stats ") > n)
            now = stats(self.err)["held"]
            if now and now == last:
                return now
            last = now

    def ends(self, number, within=0.1):
        begin = time.monotonic()
        self.p.send_signal(number)
        status = self.p.wait(5)
        assert time.monotonic() - begin < within
        return status


@pytest.fixture(params=["proc", pytest.param("no proc", marks=needs_root)])
def root(request, tstream):
    """A root folder without /proc, or none."""
    if request.param == "proc":
        return None
    return Rooted(tstream, "127.0.0.1 localhost\n")


# Terminals --------------------------------------------------------------------

def test_E6_E7_stdout_a_terminal_that_nobody_reads(tstream, root):
    """It is held; a signal is taken at once; a second one ends."""
    closed = threading.Event()

    def send(c, request):
        c.send(stream(tweets(500, 1000)))
        c.wait_closed()
        closed.set()

    a, b = cooked_terminal()
    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), root=root, stdout=b)
        assert run.held() > 100000
        begin = time.monotonic()
        run.p.send_signal(signal.SIGTERM)
        assert closed.wait(5) and time.monotonic() - begin < 0.1
        assert run.p.poll() is None, "what is held was given up"
        assert run.ends(signal.SIGINT) == -signal.SIGTERM
    assert re.search(r"a second signal; \d+ messages are lost", run.err)
    os.close(a), os.close(b)


def test_E6_E7_stderr_a_terminal_that_nobody_reads(tstream, root):
    """The stream goes on, and the first signal ends."""
    a, b = cooked_terminal()
    fill(b)
    os.read(a, 700)  # room for a little
    messages = tweets(300, 100)

    def send(c, request):
        c.send(stream([b"x" * 300] * 20 + messages))
        c.wait_closed()

    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), "-v", root=root, stderr=b,
                  stdout=subprocess.PIPE)
        want = joined(messages)
        assert run.p.stdout.read(len(want)) == want
        assert run.ends(signal.SIGTERM) == -signal.SIGTERM
        run.p.stdout.close()
    os.close(a), os.close(b)


def test_O15_E7_a_cooked_terminal_gets_all(tstream, root):
    a, b = cooked_terminal()
    messages = tweets(300, 1000)
    with Server(scripted(stream(messages) + BYE)) as server:
        run = Run(tstream, server.url(), root=root, stdout=b)
        flags = fcntl.fcntl(b, fcntl.F_GETFL)
        os.close(b)
        got = []
        with contextlib.suppress(OSError):  # it ends with EIO
            while more := os.read(a, 65536):
                got.append(more)
        assert run.p.wait(10) == 0
    os.close(a)
    assert not flags & os.O_NONBLOCK
    assert b"".join(got).replace(b"\r\n", b"\n") == joined(messages) + BYE_LINE


# What is inherited stays as it is -----------------------------------------------

@pytest.mark.parametrize("kind", ["pipe", "fifo", "socket", "offset", "append"])
def test_E7_kinds_of_stdout(tstream, tmp_path, root, kind):
    """All comes, behind what was there; the flags are left as they were."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    a = None
    if kind == "pipe":
        a, b = os.pipe()
    elif kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        a = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(a, fcntl.F_SETFL, 0)
        b = os.open(tmp_path / "fifo", os.O_WRONLY)
    elif kind == "socket":
        left, right = socket.socketpair()
        a, b = left.detach(), right.detach()
    elif kind == "offset":
        b = os.open(path, os.O_WRONLY)
        os.lseek(b, 7, os.SEEK_SET)
    else:
        b = os.open(path, os.O_WRONLY | os.O_APPEND)
    before = fcntl.fcntl(b, fcntl.F_GETFL)
    messages = tweets(3000, 1000)
    with Server(scripted(stream(messages) + BYE)) as server:
        run = Run(tstream, server.url(), root=root, stdout=b)
        if a:
            run.held()  # it had to wait
            assert fcntl.fcntl(b, fcntl.F_GETFL) == before
            os.close(b)
            with open(a, "rb") as f:
                got = b"before\n" + f.read()
        assert run.p.wait(20) == 0
        if not a:
            assert fcntl.fcntl(b, fcntl.F_GETFL) == before
            os.close(b)
            got = path.read_bytes()
    assert got == b"before\n" + joined(messages) + BYE_LINE


# Two that write to one -----------------------------------------------------------

@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_J1_two_on_one(tstream, tmp_path, kind):
    """Each line of up to PIPE_BUF bytes is whole."""
    rng = random.Random(1)
    texts = [b'{"text":"%s"}' % (b"%x" % rng.getrandbits(4) * rng.choice(
        (1, 30, 300, 1000, 2100, 4000))) for _ in range(500)]
    block = b"".join(chunk(t + b"\r\n") for t in texts)
    rounds = 60

    def send(c, request):
        c.send(HEAD)
        for _ in range(rounds):
            c.send(block)
        c.send(BYE)
        c.wait_closed()

    if kind == "pipe":
        a, b = os.pipe()
    else:
        path = tmp_path / "out"
        b = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with Server(send_to := scripted(send)) as server:
        both = [Run(tstream, server.url(), "-q", stdout=b) for _ in range(2)]
        os.close(b)
        got = []
        if kind == "pipe":
            while more := os.read(a, 300000):
                got.append(more)
            os.close(a)
        assert [run.p.wait(60) for run in both] == [0, 0]
    assert len(send_to.requests) == 2
    raw = b"".join(got) if kind == "pipe" else path.read_bytes()
    want = collections.Counter(texts * (2 * rounds) + [BYE_LINE[:-1]] * 2)
    assert raw.endswith(b"\n")
    assert collections.Counter(raw[:-1].split(b"\n")) == want


# One file in two roles -------------------------------------------------------------

SAME = {  # f holds something; what else leads there, and who is to write
    "name": ("f", ["-n", "f", "--report", "./f"]),
    "link": ("f", ["-n", "link", "--report", "f"]),
    "hard link": ("f", ["-n", "f", "--report", "hard"]),
    "keys": ("keys", ["--report", "keys"]),
    "keys, -n": ("keys", ["-n", "keys"]),
    "stdout": (">f", ["--report", "f"]),
    "stdout, -n": (">f", ["-n", "hard"]),
    "/dev/stdout": (">f", ["--report", "/dev/stdout"]),
    "not yet there": (None, ["-n", "new", "--report", "../here/new"]),
    "authorities": ("f", ["-o", "f", "--cafile", "hard"]),
    "stderr": ("2>f", ["-o", "f"]),
    "stderr, -n": ("2>f", ["-n", "link"]),
    "stderr, --report": ("2>f", ["--report", "f"]),
}


@pytest.mark.parametrize("case", SAME)
def test_E8_one_file_in_two_roles(tstream, tmp_path, case):
    """Refused; nothing is written, truncated, made or sent."""
    holds, args = SAME[case]
    here = tmp_path / "here"
    here.mkdir()
    (here / "f").write_text("old\n")
    (here / "link").symlink_to("f")
    os.link(here / "f", here / "hard")
    shutil.copy(tstream.keys_file, here / "keys")
    was = {f.name: f.read_bytes() for f in here.iterdir()}
    words = tstream.command(keys=False) + ["-k", "keys"]
    with Server(scripted(holding)) as server:
        with open(here / "f", "ab") as out:
            p = subprocess.run(
                [*words, "-u", server.url(), "-d", "1", *args], cwd=here,
                env=clean_environment(), timeout=20,
                stdout=out if holds == ">f" else subprocess.PIPE,
                stderr=out if holds == "2>f" else subprocess.PIPE)
        assert server.accepted == 0
    said = p.stderr
    if holds == "2>f":
        said = (here / "f").read_bytes()[len(was["f"]):]
        was.update({name: was[name] + said for name in ("f", "link", "hard")})
    assert p.returncode == 2 and b"are the same file" in said
    assert was == {f.name: f.read_bytes() for f in here.iterdir()}


@pytest.mark.parametrize("args", [["-n", "/dev/stdout"], ["-n", "/dev/stderr"],
                                  ["-o", "fifo", "-n", "fifo"]])
def test_E8_one_pipe_is_one_output(tstream, args):
    """In the order of arrival, and no line in another; but where -o leads
    elsewhere, stdout's pipe has the notices alone."""
    messages = [m for i in range(200) for m in (
        b'{"text":"%s"}' % (b"t" * 50000), b'{"delete":"%s"}' % (b"d" * 200))]
    path = tstream.cwd / "fifo"
    os.mkfifo(path)
    with Server(scripted(stream(messages) + BYE)) as server:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        p = tstream.start("-q", "-u", server.url(), *args, stderr=subprocess.STDOUT)
        if "fifo" in args:
            select.select([fd], [], [], 20)
        os.set_blocking(fd, True)
        with open(fd if "fifo" in args else p.stdout.fileno(), "rb",
                  closefd=False) as f:
            got = f.read()
        assert p.wait(20) == 0
        os.close(fd)
        q = tstream("-u", server.url(), "-o", "tweets", "-n", "/dev/stdout")
    assert got == joined(messages) + BYE_LINE
    assert q.returncode == 0 and q.stdout == joined(messages[1::2]) + BYE_LINE
    assert (tstream.cwd / "tweets").read_bytes() == joined(messages[::2])


def test_E8_keys_that_are_not_named(tstream, tmp_path):
    """Without -k it is ./keys.yaml that must not be written to."""
    shutil.copy(tstream.keys_file, tmp_path / "keys.yaml")
    was = (tmp_path / "keys.yaml").read_bytes()
    with Server(scripted(holding)) as server:
        p = tstream("-u", server.url(), "-d", "1", "--report", "keys.yaml",
                    keys=False)
        assert server.accepted == 0
    assert p.returncode == 2 and (tmp_path / "keys.yaml").read_bytes() == was


def test_E12_fifo_without_a_reader(tstream, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with Server(scripted(holding)) as server:
        p = tstream("-u", server.url(), "-n", tmp_path / "fifo")
        assert server.accepted == 0
    assert p.returncode == 2 and "nobody reads this FIFO" in p.stderr


# Readers that go away, disks that are full -----------------------------------------

@pytest.mark.parametrize("patient", [True, False])
def test_E9_one_output_fails_beside_a_slow_one(tstream, patient):
    """What is held for the other is written all the same, but for a signal."""
    messages = tweets(3000, 1000)
    lines = messages + [b'{"delete":1}']
    with Server(scripted(stream(lines))) as server:
        run = Run(tstream, server.url(), "-n", "/dev/full", stdout=subprocess.PIPE)
        wait_until(lambda: run.held() and stats(run.err)["notices"])
        got = run.p.stdout.read(1)
        if patient:
            got += run.p.stdout.read()
            assert run.p.wait(10) == 3 and got == joined(messages)
        else:
            assert run.ends(signal.SIGTERM) == 3
    lost = int(re.search(r"/dev/full: No space left on device; (\d+) message",
                         run.err)[1])
    assert lost == 1 if patient else lost > 1000


def test_E9_one_output_fails_after_a_signal(tstream, tmp_path):
    """It is the second signal that gives up what is held, not the first."""
    path, messages = tmp_path / "fifo", tweets(3000, 1000)
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with Server(scripted(stream(messages))) as server:
        run = Run(tstream, server.url(), "-n", path, stdout=subprocess.PIPE)
        run.held()
        run.p.send_signal(signal.SIGTERM)
        wait_until(lambda: pending(run.p.pid) == 0)
        os.close(fifo)
        got = run.p.stdout.read()
        assert run.p.wait(10) == -signal.SIGTERM
    assert "0 messages are lost" in run.err
    assert got == joined(messages[:stats(run.err)["tweets"]])


@pytest.mark.parametrize("notices", [None, "file", "fifo"])
def test_E9_reader_goes_away(tstream, tmp_path, notices):
    """Counted, told, reported; then death by SIGPIPE."""
    args = ["--report", tmp_path / "report"]
    messages = tweets(3000, 1000)
    deletes = [b'{"delete":{"x":"%s"}}' % (b"y" * 1000)] * 3000
    size = len(messages[-1]) + 1
    mixed = messages
    path = tmp_path / "notices"
    if notices:
        args += ["-n", path]
        mixed = [m for pair in zip(messages, deletes) for m in pair]
    if notices == "fifo":
        os.mkfifo(path)
        fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def send(c, request):
        c.send(stream(mixed))
        c.wait_closed()

    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), *args, stdout=subprocess.PIPE)
        wait_until(lambda: stats(run.err)["tweets"] == 3000
                   if run.held() else False)
        held = run.held()
        run.p.stdout.close()
        if notices == "fifo":  # its reader is late, not gone
            os.set_blocking(fifo, True)
            with open(fifo, "rb") as f:
                assert f.read() == joined(deletes)
        assert run.p.wait(5) == -signal.SIGPIPE
    lost = int(re.search(r"stdout: the reader has gone away; (\d+) messages "
                         "are lost", run.err)[1])
    if notices == "file":
        assert path.read_bytes() == joined(deletes)
    unread = re.search(r"lost, and (\d+) bytes of others unread", run.err)
    assert int(unread[1]) >= len(messages[0])
    # a line of which a part is out is lost too
    assert lost > 0
    if notices != "fifo":
        assert held // (size + 10) <= lost <= held // (len(messages[0]) + 1) + 1
    assert run.err.index("gone away") < run.err.rindex(" stats ")
    assert json.loads((tmp_path / "report").read_text())["tweets"] == 3000


def test_E9_a_second_signal_names_the_output_that_is_stuck(tstream, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with Server(scripted(stream([b'{"delete":"%s"}' % (b"y" * 1000)] * 3000))) as server:
        run = Run(tstream, server.url(), "-o", "tweets", "-n", path,
                  stdout=subprocess.DEVNULL, cwd=tmp_path)
        run.held()
        run.p.send_signal(signal.SIGTERM)
        wait_until(lambda: pending(run.p.pid) == 0)
        assert run.ends(signal.SIGTERM) == -signal.SIGTERM
    os.close(fifo)
    assert re.search(f"{path}: a second signal; [1-9]\\d* messages are lost", run.err)


def test_E9_reader_goes_away_at_q(tstream):
    """Messages that are lost are an error."""
    with Server(scripted(stream(tweets(3000, 1000)))) as server:
        p = tstream.start("-q", "-u", server.url())
        assert p.stdout.read(1)
        p.stdout.close()
        assert p.wait(10) == -signal.SIGPIPE
        err = p.stderr.read()
    assert re.search(rb"the reader has gone away; [1-9]\d* messages are lost", err)


def test_O10_stderr_whose_reader_is_gone_at_the_start(tstream, tmp_path):
    """The start has something to say: others can read the keys."""
    keys = tmp_path / "open"
    shutil.copy(tstream.keys_file, keys)
    keys.chmod(0o644)
    a, b = os.pipe()
    os.close(a)
    with Server(scripted(stream(tweets(2)) + BYE)) as server:
        p = tstream.start("-u", server.url(), "-k", keys, stderr=b)
        os.close(b)
        assert p.stdout.read() == joined(tweets(2)) + BYE_LINE
        assert p.wait(10) == 0


def test_test_ends_where_stdout_takes_nothing(tstream):
    a, b = socket.socketpair()
    fill(b.fileno())
    with Server(scripted(holding)) as server:
        p = tstream.start("--test", "-d", "1", "-u", server.url(), stdout=b)
        assert p.wait(20) == 3 and b"stdout: " in p.stderr.read()
    a.close()
    b.close()


def test_stdin_is_left_behind(tstream):
    """What held the keys cannot be read again."""
    with Server(scripted(holding)) as server, open(tstream.keys_file) as keys:
        p = tstream.start("-k", "-", "-u", server.url(), keys=False, stdin=keys)
        assert p.stdout.read(1)
        assert os.readlink(f"/proc/{p.pid}/fd/0") == "/dev/null"


def test_E9_reader_of_a_socket_goes_away(tstream):
    """Noticed while the stream is silent, as that of a pipe is."""
    left, right = socket.socketpair()
    with Server(scripted(holding)) as server:
        run = Run(tstream, server.url(), stdout=right)
        right.close()
        assert left.recv(100)
        left.close()
        assert run.p.wait(2) == -signal.SIGPIPE


def test_E11_one_message_is_lost(tstream, tmp_path):
    """The notices are all there, and the statistics."""
    deletes = [b'{"delete":{"x":%d}}' % i for i in range(100)]
    with Server(scripted(stream(deletes + tweets(1)))) as server:
        with open("/dev/full", "wb") as full:
            p = tstream("-u", server.url(), "-n", tmp_path / "n", stdout=full)
    assert p.returncode == 3 and " stats " in p.stderr
    assert "No space left on device; 1 message is lost" in p.stderr
    assert (tmp_path / "n").read_bytes() == joined(deletes)


def test_E11_what_others_wrote_is_not_cut_off(tstream, tmp_path):
    """A file that goes on behind our last byte stays as long as it is."""
    import resource
    path = tmp_path / "out"
    path.write_bytes(b"z" * 10000)
    with Server(scripted(stream(tweets(100, 100)) + BYE)) as server:
        with open(path, "r+b") as out:
            p = tstream("-u", server.url(), stdout=out,
                        preexec_fn=lambda: resource.setrlimit(
                            resource.RLIMIT_FSIZE, (5000, 5000)))
    assert p.returncode == 3
    raw = path.read_bytes()
    assert len(raw) == 10000 and raw[5000:] == b"z" * 5000


# Signals -----------------------------------------------------------------------------

def test_E1_ignored_signals_stay_ignored(tstream):
    """As nohup and a shell's background have it."""
    go, number = threading.Event(), (signal.SIGHUP, signal.SIGINT)

    def send(c, request):
        c.send(stream(tweets(1)))
        assert go.wait(10)
        c.send(b"".join(chunk(t + b"\r\n") for t in tweets(1, 30)))
        c.wait_closed()

    def ignore():
        for n in number:
            signal.signal(n, signal.SIG_IGN)

    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), stdout=subprocess.PIPE,
                  preexec_fn=ignore)
        assert run.p.stdout.readline()
        for n in number:
            run.p.send_signal(n)
        go.set()
        assert run.p.stdout.readline() == joined(tweets(1, 30))
        assert run.ends(signal.SIGTERM) == -signal.SIGTERM
        run.p.stdout.close()


def test_E5_two_signals_at_once(tstream):
    """Both are counted, though both wait when the program wakes up."""
    def send(c, request):
        c.send(stream(tweets(3000, 1000)))
        c.wait_closed()

    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), stdout=subprocess.PIPE)
        run.held()
        run.p.send_signal(signal.SIGSTOP)
        run.p.send_signal(signal.SIGTERM)
        run.p.send_signal(signal.SIGHUP)
        assert run.ends(signal.SIGCONT) in (-signal.SIGTERM, -signal.SIGHUP)
        run.p.stdout.close()
    assert "a second signal; " in run.err


def test_E5_handlers_are_not_nested(tstream, tmp_path):
    """Else a second signal could be lost while the first is counted."""
    trace = tmp_path / "trace"
    if subprocess.run(["strace", "-o", "/dev/null", "true"]).returncode:
        pytest.skip("strace cannot trace here")
    with Server(scripted(stream([]) + BYE)) as server:
        subprocess.run(["strace", "-o", trace, "-e", "trace=rt_sigaction",
                        *tstream.command("-u", server.url())],
                       capture_output=True, timeout=20, check=True,
                       env=clean_environment())
    masks = re.findall(r"rt_sigaction\(SIG(?:INT|TERM|HUP), "
                       r"\{sa_handler=0x\w+, sa_mask=\[([^]]*)\]",
                       trace.read_text())
    assert len(masks) == 3
    assert all({"INT", "TERM", "HUP"} <= set(m.split()) for m in masks)


FLOODS = {
    "tweets": lambda: joined(tweets(30000, 1000)),
    # as much work as can be to look for secrets in
    "bad lines": lambda: 200000 * ((20 * b"\\\\ud83d%2\\u\\")[:120] + b"\n"),
    "errors": lambda: 50000 * (b'{"errors":[{"title":"' + 128 * b"%25\\\\" +
                               b'"}]}\n'),
}


@pytest.mark.parametrize("what", FLOODS)
def test_O11_signals_in_a_flood(tstream, tmp_path, what):
    """A server that always has more keeps no signal away."""
    block = tmp_path / "block"
    block.write_bytes(FLOODS[what]())

    sent = []

    def flood(c, request):
        c.send(b"HTTP/1.1 200 OK\r\n\r\n")
        with open(block, "rb") as f:
            while True:
                sent.append(os.sendfile(c.sock.fileno(), f.fileno(), 0, 1 << 20))

    with Server(scripted(flood)) as server:
        for _ in range(5):
            sent.clear()
            quiet = [] if what == "errors" else ["-q"]
            run = Run(tstream, server.url(), *quiet, stdout=subprocess.DEVNULL)
            wait_until(lambda: sum(sent) > 20 << 20)
            assert run.ends(signal.SIGTERM) == -signal.SIGTERM


# Pauses --------------------------------------------------------------------------------

def test_a_pause_and_its_end_are_said_once(tstream):
    def send(c, request):
        c.send(stream(tweets(5000, 1000)))
        c.wait_closed()

    with Server(scripted(send)) as server:
        run = Run(tstream, server.url(), "--buffer", "1M",
                  stdout=subprocess.PIPE)
        wait_until(lambda: "reading from the server pauses" in run.err)
        want = joined(tweets(5000, 1000))
        assert run.p.stdout.read(len(want)) == want
        wait_until(lambda: "the server is read again" in run.err)
        run.p.terminate()
        run.p.communicate(timeout=5)
    assert run.err.count("pauses") == run.err.count("read again") == 1
