"""Named outputs (-o, -n): appended to, a file an hour or a day, opened anew by
SIGHUP, never torn."""

import calendar
import contextlib
import datetime
import json
import mmap
import os
import pty
import queue
import re
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time

import pytest

import peer
from conftest import BINARY, ROOT
from peer import HEAD, Server, chunk, response, scripted
from test_failures import needs_root
from test_stream import BYE, BYE_LINE, joined, stream, tweets, wait_until

HOUR = 3600
FIRST = calendar.timegm((2026, 11, 24, 22, 30, 0))  # a Tuesday


class Feed(Server):
    """A server that sends what it is given, when it is given it; None ends a
    connection."""

    def __init__(self):
        self.queue = queue.Queue()
        super().__init__(scripted(self.send))

    def send(self, c, request):
        c.send(HEAD)
        while (m := self.queue.get()) is not None:
            c.send(b"".join(chunk(x + b"\r\n") for x in m))

    def put(self, *messages):
        self.queue.put(list(messages))

    def __exit__(self, *exc):
        self.queue.put(None)
        return super().__exit__(*exc)


class Clock:
    """Of tests/fast_clock.c: seconds are added while the program runs."""

    def __init__(self, folder):
        self.path = folder / "clock"
        self.path.write_bytes(bytes(16))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)
        self.wall_added = 0

    def set(self, seconds):
        """The wall clock."""
        self.wall_added = int(seconds - time.time())
        self.map[8:] = struct.pack("q", self.wall_added)

    def go(self, seconds):
        """The wall clock alone: somebody sets it."""
        self.wall_added += seconds
        self.map[8:] = struct.pack("q", self.wall_added)

    def suspend(self, seconds):
        self.map[:8] = struct.pack("q", struct.unpack("q", self.map[:8])[0]
                                   + seconds)
        self.go(seconds)

    def start(self, tstream, *args, **how):
        how.update(stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        how.setdefault("stdout", subprocess.PIPE)
        return tstream.started(subprocess.Popen(
            [str(ROOT / "build/tests/tstream-fast"),
             *tstream.command(*args)[1:]], cwd=tstream.cwd,
            env={"CLOCK": str(self.path), "TZ": "<+05>-5"}, **how))


def log_until(p, words):
    """The log up to the line that has these words."""
    log = b""
    while words not in log:
        line = p.stderr.readline()
        assert line, log
        log += line
    return log.decode()


def ended(p, status):
    out, err = p.communicate(timeout=20)
    assert p.returncode == status, err
    assert out in (b"", None) and b"was refused" not in err, err
    return err.decode()


def grows_to(path, content):
    wait_until(lambda: path.exists() and path.read_bytes() == content)


def has_lines(path, n):
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") == n)


# Names --------------------------------------------------------------------------

@pytest.mark.parametrize("option", ["-o", "--output"])
def test_messages_are_appended(tstream, context, option):
    path = tstream.cwd / "f"
    path.write_bytes(b"old\n")
    with Server(scripted(stream(tweets(9)) + BYE), context) as server:
        p = tstream("-u", server.url(), option, path)
        assert p.returncode == 0 and p.stdout == b"", p.stderr
        tstream("-u", server.url(), option, "new", umask=0o027)
    assert path.read_bytes() == b"old\n" + joined(tweets(9)) + BYE_LINE
    assert stat.S_IMODE((tstream.cwd / "new").stat().st_mode) == 0o640


def test_test_writes_its_sentence_to_stdout_and_nothing_else(tstream):
    def send(c, request):
        c.send(stream(tweets(3)))
        c.wait_closed()

    torn = tstream.cwd / "torn"
    torn.write_text("torn")
    with Server(scripted(send)) as server:
        p = tstream("-u", server.url(), "--test", "-d", "1", "-o", "f", "-n", torn)
    assert p.stdout.startswith(b"works: 3 tweets")
    assert torn.read_text() == "torn" and not (tstream.cwd / "f").exists()


def test_a_dash_is_stdout(tstream):
    notice = b'{"delete":1}'
    with Server(scripted(stream(tweets(3) + [notice]) + BYE)) as server:
        p = tstream("-u", server.url(), "-o", "-", "-n", "-")
        q = tstream("-u", server.url(), "-o", "f", "-n", "-")
    assert p.stdout == joined(tweets(3) + [notice]) + BYE_LINE
    assert q.stdout == notice + b"\n" + BYE_LINE
    assert (tstream.cwd / "f").read_bytes() == joined(tweets(3))
    assert not (tstream.cwd / "-").exists()


CONVERSIONS = "aAbBcCdeFgGhHIjmMprRStTuUVwWXyYzZ%"


def test_a_pattern_is_strftime_in_utc(tstream):
    """As Python has it, for the time of the first message; %D and %x have a /,
    %n and %t are white space."""
    clock = Clock(tstream.cwd)
    pattern = "_".join(f"%{c}" for c in CONVERSIONS + "nt") + "_%Ey_%Od"
    clock.set(FIRST)
    begin = int(time.time()) + clock.wall_added
    with Server(scripted(stream(tweets(1)) + BYE)) as server:
        p = clock.start(tstream, "-u", server.url(), "-o", pattern)
        ended(p, 0)
    end = int(time.time()) + clock.wall_added
    plain = re.sub("%[EO]", "%", pattern)
    names = [time.strftime(plain.replace("%z", "+0000").replace("%Z", "UTC"),
                           time.gmtime(t)) for t in range(begin, end + 1)]
    made = [f.name for f in tstream.cwd.iterdir() if "2026" in f.name]
    assert len(made) == 1 and made[0] in names
    assert (tstream.cwd / made[0]).read_bytes() == joined(tweets(1)) + BYE_LINE


@needs_root
@pytest.mark.parametrize("name, why", [
    ("closed/%F", "Permission denied"), ("open/own%y", "Permission denied"),
    ("none/%F", "No such file"), ("x" * 250 + "%F", "Filename too long")])
def test_a_pattern_that_cannot_be_opened_is_told_at_the_start(tstream, name, why):
    for folder in ("open", "closed"):
        (tstream.cwd / folder).mkdir(mode=0o777 if folder == "open" else 0o755)
    (tstream.cwd / "open").chmod(0o777)
    own = tstream.cwd / time.strftime("open/own%y", time.gmtime())
    own.write_text("")
    own.chmod(0o644)
    tstream.cwd.chmod(0o755)
    # a copy, as nobody may not come through the folders above the other
    shutil.copy(BINARY, tstream.cwd / "tstream")
    words = ["./tstream", "--auth", "none", "-u", "http://127.0.0.1:1/", "-o"]
    p = subprocess.run([*words, name], cwd=tstream.cwd, capture_output=True,
                       text=True, user=65534, group=65534, extra_groups=[], timeout=20)
    assert p.returncode == 2 and f"-o: {name}: {why}" in p.stderr, p.stderr
    if name.startswith("open"):
        p = subprocess.run([*words, "open/%F", "-d", "1"], cwd=tstream.cwd,
                           capture_output=True, user=65534, group=65534,
                           extra_groups=[], timeout=20)
        assert p.returncode == 1, "it has begun"


@pytest.mark.parametrize("option", ["-o", "-n"])
@pytest.mark.parametrize("name, says", [
    ("a%", "%"), ("%Q", "%"), ("%5d", "%"), ("%-d", "%"), ("%E", "%"),
    ("%EE", "%"), ("%k", "%"), ("%s", "%"), ("%F%%%", "%"),
    ("", "empty"), ("x" * 5000, "too long"), ("%A" * 3000, "too long"),
    ("none/f", "No such file"), ("none/%F", "No such file"),
    ("%F/f", "No such file"), ("file/%F", "Not a directory"),
    ("folder", "Is a directory"), ("fifo", "nobody reads this FIFO")])
def test_E12_names_that_are_refused(tstream, option, name, says):
    """Nothing is made, and nothing sent."""
    (tstream.cwd / "folder").mkdir()
    (tstream.cwd / "file").touch()
    os.mkfifo(tstream.cwd / "fifo")
    was = sorted(tstream.cwd.iterdir())
    with Server(lambda c: None) as server:
        p = tstream("-u", server.url(), "-d", "1", option, name)
        assert server.accepted == 0
    assert p.returncode == 2 and says in p.stderr and option in p.stderr
    assert sorted(tstream.cwd.iterdir()) == was


# A file an hour -----------------------------------------------------------------

@pytest.mark.parametrize("option", ["-o", "-n"])
def test_E13_a_file_an_hour_with_its_first_message(tstream, option):
    """While nothing comes no file is made, by a suspend of 25 hours neither;
    the old one is closed when the new one is made. %% is a pattern as well."""
    clock, here = Clock(tstream.cwd), tstream.cwd / "here"
    here.mkdir()
    clock.set(FIRST)
    messages = [b'{"delete":{"n":%d}}' % i for i in range(6)]
    with Feed() as server:
        p = clock.start(tstream, "-u", server.url(), option,
                        "here/%%-%dT%H.json", "--stall", "0")
        log_until(p, b"connected to")
        assert list(here.iterdir()) == []
        for wait, name, n in ((0, "%-24T22.json", 1), (0, "%-24T22.json", 2),
                              (HOUR, "%-24T23.json", 1)):
            clock.go(wait)
            server.put(messages.pop(0))
            has_lines(here / name, n)
        clock.go(5 * HOUR)
        server.put()
        clock.suspend(25 * HOUR)
        server.put(*messages[:2])
        has_lines(here / "%-26T05.json", 2)
        opened = [os.readlink(f"/proc/{p.pid}/fd/{fd}")
                  for fd in os.listdir(f"/proc/{p.pid}/fd")]
        assert [x for x in opened if str(here) in x] == [
            str(here / "%-26T05.json")]
        clock.go(-30 * HOUR)  # somebody sets the clock
        server.put(messages[2])
        has_lines(here / "%-24T23.json", 2)
        p.terminate()
        ended(p, -signal.SIGTERM)
    got = {f.name: [json.loads(x)["delete"]["n"] for x in
                    f.read_bytes().splitlines()] for f in here.iterdir()}
    assert got == {"%-24T22.json": [0, 1], "%-24T23.json": [2, 5],
                   "%-26T05.json": [3, 4]}


def test_E13_a_folder_that_is_not_there_yet(tstream):
    """What comes goes on into the old file, and that is said; the new one is
    tried again a minute later."""
    clock = Clock(tstream.cwd)
    clock.set(FIRST)
    (tstream.cwd / "22").mkdir()
    with Feed() as server:
        p = clock.start(tstream, "-u", server.url(), "-o", "%H/f")
        server.put(b'{"text":"0"}')
        grows_to(tstream.cwd / "22/f", b'{"text":"0"}\n')
        clock.go(HOUR)
        server.put(b'{"text":"1"}')
        log = log_until(p, b"cannot open")
        assert "cannot open 23/f: No such file or directory" in log
        assert "the file before is kept" in log
        (tstream.cwd / "23").mkdir()
        grows_to(tstream.cwd / "22/f", b'{"text":"0"}\n{"text":"1"}\n')
        clock.go(61)
        server.put(b'{"text":"2"}')
        grows_to(tstream.cwd / "23/f", b'{"text":"2"}\n')
        p.terminate()
        ended(p, -signal.SIGTERM)


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", path],
                   check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill_disk(path, leave=0):
    with contextlib.suppress(OSError), open(path, "wb", 0) as f:
        while True:
            f.write(bytes(4096))
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) - leave)


@needs_root
@pytest.mark.parametrize("left", [0, 8192])
def test_E13_an_hour_changes_while_the_disk_is_full(tstream, left):
    """Ends with 3; the file of the new hour has whole lines, or is not there."""
    clock = Clock(tstream.cwd)
    clock.set(FIRST)
    messages = tweets(4, 3000)
    with small_disk(tstream.cwd / "small", "64k") as disk, Feed() as server:
        p = clock.start(tstream, "-u", server.url(), "-o", disk / "%H", "--report",
                        "report")
        server.put(messages[0])
        grows_to(disk / "22", joined(messages[:1]))
        fill_disk(disk / "rest", left)
        clock.go(HOUR)
        server.put(*messages[1:])
        log = ended(p, 3)
        assert (disk / "22").read_bytes() == joined(messages[:1])
        if left:
            assert (disk / "23").read_bytes() == joined(messages[1:3])
        assert (disk / "23").exists() == bool(left)
    lost = 1 if left else 3
    assert f"small/23: No space left on device; {lost} message" in log
    report = json.loads((tstream.cwd / "report").read_text())
    assert report["lost"] == lost and report["ended"] == "No space left on device"


@needs_root
@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("option", ["-o", "-n"])
def test_E11_a_full_disk_leaves_whole_lines(tstream, option, others):
    """Cut back to the last whole line, unless others have appended."""
    messages = [b'{"delete":"%s"}' % (b"x" * 3000)] * 10
    with small_disk(tstream.cwd / "small", "32k") as disk, Feed() as server:
        p = tstream.start("-u", server.url(), option, disk / "f", "--report",
                          "report")
        server.put(messages[0])
        grows_to(disk / "f", joined(messages[:1]))
        if others:
            with open(disk / "f", "ab") as f:
                f.write(b"theirs\n")
        fill_disk(disk / "rest", 4096)
        server.put(*messages[1:])
        log = ended(p, 3)
        got = (disk / "f").read_bytes()
    assert "/small/f: No space left on device; 8 messages are lost" in log
    want = joined(messages[:1]) + b"theirs\n" * others + joined(messages[1:2])
    assert got == want
    assert json.loads((tstream.cwd / "report").read_text())["lost"] == 8


@pytest.mark.parametrize("option", ["-o", "-n"])
@pytest.mark.parametrize("name", ["f", "%%f"])
def test_E14_a_torn_end_is_ended(tstream, option, name):
    """By an LF, and that is said; what is whole or empty gets none."""
    path = tstream.cwd / name.replace("%%", "%")
    message = b'{"delete":{"x":1}}'
    for was, is_torn in ((b'{"a":1}\n{"b', True), (b'{"a":1}\n', False),
                         (b"", False), (b"}", True)):
        path.write_bytes(was)
        with Server(scripted(stream([message]) + BYE)) as server:
            p = tstream("-u", server.url(), option, name)
        assert p.returncode == 0 and ("torn" in p.stderr) == is_torn
        assert path.read_bytes() == (was + b"\n" * is_torn + joined([message])
                                     + BYE_LINE)


@needs_root
def test_E14_an_end_that_cannot_be_read(tstream):
    """By who may write the file but not read it: it may be torn."""
    path = tstream.cwd / "x.ndjson"
    path.write_bytes(b'{"torn":1')
    os.chown(path, 65534, 65534)
    path.chmod(0o200)
    message = b'{"text":"a"}'
    with path.open("ab") as f, Server(scripted(stream([message]) + BYE)) as server:
        command = tstream.command("-u", server.url(), "-o",
                                  f"/proc/self/fd/{f.fileno()}", "--auth", "none",
                                  keys=False)
        # not by name: nobody cannot come through pytest's folders
        binary = os.open(command[0], os.O_RDONLY)
        p = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
             f"/proc/self/fd/{binary}", *command[3:]], env={}, timeout=30,
            capture_output=True, pass_fds=(f.fileno(), binary))
        os.close(binary)
    assert b"cannot be read, and was ended" in p.stderr, p.stderr
    assert path.read_bytes() == b'{"torn":1\n' + joined([message]) + BYE_LINE


@needs_root
@pytest.mark.parametrize("args", [["-o", "small/x"],
                                  ["--report", "small/report"]])
def test_E11_no_room_for_a_file_at_the_start(tstream, args):
    """It is no mistake of the user's: 3, so that a unit tries again."""
    with small_disk(tstream.cwd / "small", "64k,nr_inodes=1"):
        p = tstream("-u", "http://localhost:1/x", *args)
    assert p.returncode == 3 and "No space left on device" in p.stderr


# SIGHUP -------------------------------------------------------------------------

def test_E12_sighup_at_the_start(tstream):
    """While the keys are still being read; it is not lost, and ends nothing."""
    keys = tstream.cwd / "keys"
    os.mkfifo(keys)
    with Server(scripted(stream(tweets(1)) + BYE)) as server:
        p = tstream.start("-k", keys, "-u", server.url(), "-o", "x.ndjson",
                          keys=False)
        with keys.open("w") as f:  # opens once tstream does
            p.send_signal(signal.SIGHUP)
            p.send_signal(signal.SIGUSR1)
            f.write(peer.keys_text())
        _, err = p.communicate(timeout=20)
    assert p.returncode == 0, err
    assert (tstream.cwd / "x.ndjson").read_bytes() == joined(tweets(1)) + BYE_LINE



def test_E12_sighup_opens_both_anew(tstream):
    """What came before is in the renamed files, what comes after in the new."""
    o, n = tstream.cwd / "o", tstream.cwd / "n"
    delete = b'{"delete":{"x":%d}}'
    with Feed() as server:
        p = tstream.start("-u", server.url(), "-o", o, "-n", n)
        for i in range(5):
            server.put(b'{"text":"%d"}' % i, delete % i)
            grows_to(o, b'{"text":"%d"}\n' % i)
            grows_to(n, delete % i + b"\n")
            o.rename(tstream.cwd / f"o{i}")
            n.rename(tstream.cwd / f"n{i}")
            p.send_signal(signal.SIGHUP)
            wait_until(lambda: o.exists() and n.exists())
        n.write_bytes(b"torn")
        p.send_signal(signal.SIGHUP)
        assert "torn" in log_until(p, b"torn")
        p.terminate()
        ended(p, -signal.SIGTERM)
    for i in range(5):
        assert (tstream.cwd / f"o{i}").read_bytes() == b'{"text":"%d"}\n' % i
        assert (tstream.cwd / f"n{i}").read_bytes() == delete % i + b"\n"
    assert o.read_bytes() == b"" and n.read_bytes() == b"torn\n"


def test_E12_sighup_with_a_pattern(tstream):
    """A file that was renamed is made anew with the next message."""
    with Feed() as server:
        p = tstream.start("-u", server.url(), "-o", "%%f")
        server.put(b'{"text":"0"}')
        path = tstream.cwd / "%f"
        grows_to(path, b'{"text":"0"}\n')
        path.rename(tstream.cwd / "away")
        p.send_signal(signal.SIGHUP)
        wait_until(lambda: pending(p.pid) == 0)
        server.put(b'{"text":"1"}')
        grows_to(path, b'{"text":"1"}\n')
        p.terminate()
        ended(p, -signal.SIGTERM)
    assert (tstream.cwd / "away").read_bytes() == b'{"text":"0"}\n'


def pending(pid):
    """Signals that wait for it."""
    return int(re.search(r"ShdPnd:\s*(\S+)",
                         open(f"/proc/{pid}/status").read())[1], 16)


@pytest.mark.parametrize("how", ["folder gone", "a directory", "no reader",
                                 "no right"])
def test_E12_what_cannot_be_opened_anew_is_said_and_the_old_kept(tstream, how):
    if how == "no right" and os.geteuid() == 0:
        pytest.skip("root may write anything")
    folder = tstream.cwd / "folder"
    folder.mkdir()
    path, away = folder / "f", tstream.cwd / "away"
    with Feed() as server:
        p = tstream.start("-u", server.url(), "-o", path)
        server.put(b'{"text":"0"}')
        grows_to(path, b'{"text":"0"}\n')
        path.rename(away)
        says = "No such file or directory"
        if how == "folder gone":
            folder.rmdir()
        elif how == "a directory":
            path.mkdir()
            says = "Is a directory"
        elif how == "no reader":
            os.mkfifo(path)
            says = "nobody reads this FIFO"
        else:
            path.touch(0)
            says = "Permission denied"
        p.send_signal(signal.SIGHUP)
        assert f"cannot open {path}: {says}" in log_until(p, b"cannot open")
        server.put(b'{"text":"1"}')
        grows_to(away, b'{"text":"0"}\n{"text":"1"}\n')
        if how in ("a directory", "no reader"):  # and another one serves
            (path.rmdir if how == "a directory" else path.unlink)()
            p.send_signal(signal.SIGHUP)
            wait_until(path.exists)
            server.put(b'{"text":"2"}')
            grows_to(path, b'{"text":"2"}\n')
        p.terminate()
        ended(p, -signal.SIGTERM)


@pytest.mark.parametrize("size", [1000, 30000])
def test_E12_sighup_while_messages_are_held(tstream, size):
    """They go where they were to go, and what follows as well."""
    path, last = tstream.cwd / "f", b'{"text":"last"}'
    messages = tweets(3000000 // size, size)
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with Feed() as server:
        p = tstream.start("-u", server.url(), "-o", path)
        server.put(*messages)
        log_until(p, b"connected to")
        while True:  # until all is there
            p.send_signal(signal.SIGUSR1)
            log = log_until(p, b" stats ")
            if f"tweets={len(messages)} " in log:
                break
        assert int(re.search(r" held=(\d+)", log)[1]) > 1000000
        p.send_signal(signal.SIGHUP)
        wait_until(lambda: pending(p.pid) == 0)
        server.put(last)
        os.set_blocking(fifo, True)
        got = b""
        while not got.endswith(last + b"\n"):
            got += os.read(fifo, 1 << 16)
        wait_until(lambda: fifos(p.pid, path) == 1)
        os.close(fifo)
        assert p.wait(10) == 3
    assert got == joined(messages + [last])
    assert f"{path}: Broken pipe" in p.stderr.read().decode()


def fifos(pid, path):
    """How often it has the file open."""
    links = [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    return sum(os.readlink(x) == str(path) for x in links)


def test_E12_an_hour_changes_while_messages_are_held(tstream):
    """A FIFO of a pattern gets what comes until all is out."""
    clock, messages = Clock(tstream.cwd), tweets(3000, 1000)
    clock.set(FIRST)
    os.mkfifo(tstream.cwd / "22")
    fifo = os.open(tstream.cwd / "22", os.O_RDONLY | os.O_NONBLOCK)
    with Feed() as server:
        p = clock.start(tstream, "-u", server.url(), "-o", "%H")
        server.put(*messages)
        log_until(p, b"connected to")
        while True:
            p.send_signal(signal.SIGUSR1)
            if f"tweets={len(messages)} " in log_until(p, b" stats "):
                break
        clock.go(HOUR)
        p.send_signal(signal.SIGUSR1)
        log_until(p, b" stats ")  # it has looked at the clock
        server.put(b'{"text":"late"}')
        while True:
            p.send_signal(signal.SIGUSR1)
            if f"tweets={len(messages) + 1} " in log_until(p, b" stats "):
                break
        assert not (tstream.cwd / "23").exists()
        os.set_blocking(fifo, True)
        got = b""
        while not got.endswith(b'{"text":"late"}\n'):
            got += os.read(fifo, 1 << 16)
        server.put(b'{"text":"last"}')
        while more := os.read(fifo, 1 << 16):
            got += more
        os.close(fifo)
        grows_to(tstream.cwd / "23", b'{"text":"last"}\n')
        p.terminate()
        ended(p, -signal.SIGTERM)
    assert got == joined(messages + [b'{"text":"late"}'])


def test_E12_sighup_where_a_link_leads(tstream):
    """Its own folder and that of the file are both written to."""
    there, link = tstream.cwd / "there", tstream.cwd / "here/link"
    there.mkdir(), link.parent.mkdir()
    link.symlink_to("../there/f")
    (there / "f").touch()
    with Feed() as server:
        p = tstream.start("-u", server.url(), "-o", link)
        server.put(b'{"text":"0"}')
        grows_to(there / "f", b'{"text":"0"}\n')
        (there / "f").rename(there / "away")
        p.send_signal(signal.SIGHUP)
        wait_until((there / "f").exists)
        p.terminate()
        ended(p, -signal.SIGTERM)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("option", [None, "-o", "-n"])
def test_E1_what_sighup_does(tstream, option, terminal, ignored):
    """Without a name, or where stderr is a terminal, it ends; ignored at the
    start, it opens anew, if there is what to open, and never ends."""
    path = tstream.cwd / "f"
    how = {}
    a, b = pty.openpty()
    if terminal:
        how["stderr"] = b
    if ignored:
        how["preexec_fn"] = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Feed() as server:
        p = tstream.start("-u", server.url(), *([option, path] if option else []),
                          stdout=subprocess.DEVNULL, **how)
        server.put(b'{"delete":1}')
        wait_until(lambda: server.handler.requests)
        if option:
            grows_to(path, b'{"delete":1}\n')
            path.unlink()
        else:
            wait_until(lambda: caught(p.pid, signal.SIGUSR1))
        p.send_signal(signal.SIGHUP)
        if option and (ignored or not terminal):
            wait_until(path.exists)
        if ignored or (option and not terminal):
            p.terminate()
        assert p.wait(10) == (-signal.SIGTERM if ignored or
                              (option and not terminal) else -signal.SIGHUP)
    os.close(b)
    said = (b"".join(all_of(a)) if terminal else p.stderr.read())
    assert (b"terminal has gone" in said) == (terminal and not ignored)
    os.close(a)


def all_of(terminal):
    """A read may give less than was written; once nobody has the other end and
    all is read, it fails."""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            yield data


def caught(pid, number):
    mask = re.search(r"SigCgt:\s*(\S+)", open(f"/proc/{pid}/status").read())[1]
    return int(mask, 16) >> number - 1 & 1


def test_logrotate_loses_nothing(tstream, context):
    """100,000 messages through 20 rotations by logrotate: each once, whole."""
    here, n, rounds = tstream.cwd / "here", 100000, 20
    here.mkdir()
    here.chmod(0o755)
    go, rotated = threading.Semaphore(0), threading.Semaphore(1)

    def send(c, request):
        c.send(HEAD)
        for r in range(rounds + 1):
            assert rotated.acquire(timeout=30)
            part = range(r * n // (rounds + 1), (r + 1) * n // (rounds + 1))
            c.send(b"".join(chunk(b'{"text":"%d"}\r\n' % i) for i in part[:2000]))
            go.release()  # the rest comes while it rotates
            for i in range(2000, len(part), 50):
                c.send(b"".join(chunk(b'{"text":"%d"}\r\n' % k)
                                for k in part[i:i + 50]))
        c.send(BYE)

    with Server(scripted(send), context) as server:
        p = tstream.start("-u", server.url(), "-o", here / "f", "-n", here / "n")
        config = tstream.cwd / "rotate.conf"
        config.write_text(f"{here}/f {here}/n {{\n rotate 99\n nocreate\n"
                          " missingok\n sharedscripts\n nocompress\n postrotate\n"
                          f"  kill -HUP {p.pid}\n endscript\n}}\n")
        config.chmod(0o644)
        for _ in range(rounds):
            assert go.acquire(timeout=30)
            subprocess.run(["/usr/sbin/logrotate", "-f", "-s",
                            tstream.cwd / "state", config], check=True)
            wait_until((here / "f").exists)
            rotated.release()
        ended(p, 0)
    files = [f for f in here.iterdir() if f.name[0] == "f"]
    assert len(files) == rounds + 1
    lines = [x for f in files for x in f.read_bytes().splitlines(True)]
    assert sorted(lines) == sorted(b'{"text":"%d"}\n' % i for i in range(n))
    assert b"".join(f.read_bytes() for f in here.iterdir() if f.name[0] == "n") \
        == BYE_LINE


# One file in two roles ------------------------------------------------------------

@pytest.mark.parametrize("names", [("f", "./f"), ("f", "link"), ("new", "new"),
                                   ("to-new", "new"), ("%F", "%F")])
def test_E8_output_and_notices_in_one_file(tstream, names):
    """One output: in the order of arrival, however often it is opened."""
    (tstream.cwd / "f").touch()
    (tstream.cwd / "link").symlink_to("f")
    (tstream.cwd / "to-new").symlink_to(tstream.cwd / "new")
    messages = [b'{"%s":%d}' % (k, i) for i in range(500)
                for k in (b"text", b"delete")]
    with Server(scripted(stream(messages) + BYE)) as server:
        p = tstream("-u", server.url(), "-o", names[0], "-n", names[1])
    assert p.returncode == 0 and p.stdout == b"", p.stderr
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%F")
    got = (tstream.cwd / names[0].replace("%F", day)).read_bytes()
    assert got == joined(messages) + BYE_LINE


@pytest.mark.parametrize("args", [
    ["-o", "a", "--report", "new"], ["-n", "b", "--report", "new"],
    ["-o", "c", "--report", "d/new"], ["-o", "new.tmp", "--report", "new"],
    ["-o", "%%", "--report", "%%"], ["-o", "keys.yaml"],
    ["-o", "/proc/self/fd/1"], ["-o", "out"]])
def test_E8_files_that_are_not_there_yet(tstream, args):
    """Refused where links lead to the same file, though it is not there."""
    here = tstream.cwd / "here"
    (here / "d").mkdir(parents=True)
    (here / "a").symlink_to("new")
    (here / "b").symlink_to("a")
    (here / "c").symlink_to(here / "d/../d/new")
    (here / "out").touch()
    was = sorted(here.iterdir())
    with Server(lambda c: None) as server, open(here / "out", "ab") as out:
        p = tstream.start("-u", server.url(), "-d", "1", *args, "-k",
                          here / "keys.yaml", stdout=out, preexec_fn=lambda:
                          os.chdir(here))
        log = ended(p, 2)
        assert server.accepted == 0
    assert "are the same file" in log and sorted(here.iterdir()) == was


# The clock ------------------------------------------------------------------------

def test_E3_clocks_that_part(tstream):
    """The wall clock is set on and back, and the machine sleeps for hours:
    stamps are those of the clock as it was, spans are right, no wait gets
    shorter, and what came in the sleep is no stall."""
    clock, go, at = Clock(tstream.cwd), threading.Semaphore(0), []
    clock.set(FIRST)

    def first(c, request):
        c.send(stream(tweets(1)))
        assert go.acquire(timeout=20)  # and ends

    def second(c, request):
        at.append(time.monotonic())
        c.send(response(b"503 x"))

    def third(c, request):
        at.append(time.monotonic())
        c.send(stream(tweets(1)))
        assert go.acquire(timeout=20)
        c.send(chunk(tweets(1)[0] + b"\r\n") + BYE)

    with Server(scripted(first, second, third)) as server:
        p = clock.start(tstream, "-u", server.url(), "--report", "r", "-o", "f")
        has_lines(tstream.cwd / "f", 1)
        clock.go(5 * HOUR)
        go.release()
        log = log_until(p, b"next attempt in 5 s")
        clock.go(-2 * HOUR)
        has_lines(tstream.cwd / "f", 2)
        clock.suspend(3 * HOUR)
        go.release()
        log += ended(p, 0)
    assert at[1] - at[0] >= 5 and "stalled" not in log
    r = json.loads((tstream.cwd / "r").read_text())

    def near(stamp, seconds):
        return 0 <= calendar.timegm(time.strptime(
            stamp, "%Y-%m-%dT%H:%M:%SZ")) - FIRST - seconds < 60

    assert near(r["start"], 0) and near(r["end"], 6 * HOUR)
    assert near(r["longest_gaps"][0]["start"], 5 * HOUR) and r["gaps"] == 1
    assert 0 <= r["run_s"] - 3 * HOUR < 60 and 5 < r["gap_s"] < 60
    assert re.search(r"T03:\d\d:\d\dZ tstream: .*next attempt in 5 s", log)
