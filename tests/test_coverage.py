"""What a run covers and missed, as the server saw it; the report that tells of
it; and how a stream's end is read."""

import concurrent.futures
import datetime
import json
import os
import pty
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import clean_environment, stats
from peer import HEAD, Connection, Server, chunk, response, scripted
from test_files import Clock

TWEET = b'{"id":1,"text":"x"}'
KEEPALIVE = chunk(b"\r\n")
END = b"0\r\n\r\n"
SLACK = 0.25  # seconds between what a server does and what a client sees


def line(text=TWEET):
    return chunk(text + b"\r\n")


def eventually(look, timeout=10):
    """What look() returns, as soon as it is true."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def read_report(path):
    """The report as JSON, with its figures adding up."""
    r = json.loads(path.read_bytes().decode("utf-8"))
    assert abs(r["covered_s"] + r["gap_s"] + r["before_s"] - r["run_s"]) < 0.003
    assert all(r[k] >= 0 for k in ("covered_s", "gap_s", "before_s", "run_s"))
    if r["gaps"] <= 100:
        assert len(r["longest_gaps"]) == r["gaps"]
        assert abs(sum(g["seconds"] for g in r["longest_gaps"])
                   - r["gap_s"]) < 0.001 * (r["gaps"] + 1)
    for g in r["longest_gaps"]:
        assert set(g) == {"start", "seconds", "reason", "resumed",
                          "upper_bound"}
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", g["start"])
    return r


# The independent judge ------------------------------------------------------

class Ledger:
    """A server's own record: when each stream was opened, when a byte of its
    body was sent, when it was over."""

    def __init__(self, script):
        self.script, self.events, self.lock = script, [], threading.Lock()
        self.n = 0

    def note(self, what):
        self.events.append((time.monotonic(), what))

    def send(self, c, data):
        self.note("sent")
        c.send(data)

    def __call__(self, c: Connection):
        if c.request() is None:
            return
        with self.lock:
            steps = self.script[min(self.n, len(self.script) - 1)]
            self.n += 1
        if steps == "busy":
            c.send(response(b"503 Busy"))
            return
        self.note("open")
        c.send(HEAD)
        for what, value in steps:
            if what == "send":
                self.send(c, line() if value else KEEPALIVE)
            elif what == "wait":
                c.sock.settimeout(value)
                try:
                    if c.sock.recv(1) == b"":
                        self.note("closed")
                        return
                except socket.timeout:
                    pass
                except OSError:
                    self.note("closed")
                    return
            elif what == "end":
                self.note("ended")
                c.send(END)
            elif what == "cut":
                self.note("ended")
                c.send(b'40\r\n')
                return
            elif what == "reset":
                self.note("ended")
                c.reset()
                return
        c.wait_closed()
        self.note("closed")

    def judge(self, begin, end):
        """(before, [gap, ...]) in seconds."""
        first, gaps, last, since = None, [], None, None
        for t, what in sorted(self.events):
            if what == "closed" and (t > end - 0.02 or t - last < 1 - SLACK):
                continue  # with the run: no stall
            if what == "open":
                first = first if first is not None else t
                last = t
            elif what == "sent":
                if since is not None:
                    gaps.append(t - since)
                    since = None
                last = t
            elif since is None:
                since = last
        if since is not None:
            gaps.append(end - since)
        return (first if first is not None else end) - begin, gaps


def a_script(rng):
    script = []
    for _ in range(rng.randrange(2, 5)):
        steps = []  # far from a stall, but for the last
        for _ in range(rng.randrange(0, 4)):
            steps.append(("wait", rng.uniform(0.05, 0.5)))
            steps.append(("send", rng.random() < 0.5))
        steps.append(rng.choice([("end", 0), ("cut", 0), ("reset", 0),
                                 ("wait", 3)]))
        script.append(steps)
        if rng.random() < 0.15:
            script.append("busy")
    return [*script, [("send", True), ("wait", 0.4)] * 40]


def one_run(tstream, path, seed):
    rng = random.Random(seed)
    ledger = Ledger(a_script(rng))
    with Server(ledger) as server:
        begin = time.monotonic()
        p = tstream("-u", server.url(), "-d", "7", "--stall", "1",
                    "--report", path)
        end = time.monotonic()
        eventually(lambda: ledger.events)
        time.sleep(0.1)
    before, gaps = ledger.judge(begin, end)
    r = read_report(path)
    told = sorted(g["seconds"] for g in r["longest_gaps"])
    assert abs(r["run_s"] - (end - begin)) < SLACK, seed
    assert abs(r["before_s"] - before) < SLACK, seed
    # a gap of nearly nothing at the very end may be there or not
    assert r["gaps"] in (len(gaps), len([g for g in gaps if g > SLACK])), \
        (seed, gaps, told, p.stderr)
    for mine, theirs in zip(sorted(gaps, reverse=True), reversed(told)):
        assert abs(mine - theirs) < SLACK, (seed, gaps, told, p.stderr)
    assert abs(sum(gaps) - r["gap_s"]) < SLACK * (len(gaps) + 1), seed
    assert not any(g["upper_bound"] for g in r["longest_gaps"])
    return len(gaps)


def test_coverage_as_the_server_saw_it(tstream, tmp_path):
    """Twenty runs of cuts, ends, stalls, resets and 503s."""
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        gaps = list(pool.map(
            lambda i: one_run(tstream, tmp_path / f"r{i}", i), range(21)))
    assert sum(gaps) > 30


@pytest.mark.parametrize("reader_stops", [3, 0])
def test_D8_gap_behind_a_slow_reader(tstream, tmp_path, reader_stops):
    """The server gives up on us while our reader sleeps: nothing that it sent
    since then came, and the report does not claim that it did."""
    sent = {}

    def flood(c, request):
        c.send(HEAD)
        c.sock.settimeout(1)
        try:
            while not sent.get("stop"):
                c.sock.sendall(line(b'{"text":"%s"}' % (b"x" * 30000)))
                sent["last"] = time.monotonic()
        except socket.timeout:
            pass
        if not reader_stops:
            c.send(END)

    def again(c, request):
        sent["again"] = time.monotonic()
        c.send(HEAD + line())
        c.wait_closed()

    report = tmp_path / "report"
    with Server(scripted(flood, again)) as server:
        p = tstream.start("-u", server.url(), "--buffer", "1M", "--report",
                          report)
        if reader_stops:
            eventually(lambda: "last" in sent)
            eventually(lambda: time.monotonic() - sent["last"] > reader_stops)
        else:
            threading.Timer(0.5, sent.update, [{"stop": True}]).start()
        err = []
        threading.Thread(target=lambda: err.append(p.stderr.read())).start()
        reader = threading.Thread(target=p.stdout.read)
        reader.start()
        eventually(lambda: "again" in sent)
        time.sleep(0.3)
        p.terminate()
        p.wait()
        reader.join()
    r = read_report(report)
    gap = r["longest_gaps"][0]
    assert r["gaps"] == 1
    if reader_stops:
        assert gap["upper_bound"]
        assert gap["seconds"] > sent["again"] - sent["last"] - SLACK
        assert gap["seconds"] > reader_stops
    else:
        assert gap["seconds"] < 2


@pytest.mark.parametrize("end", ["signal", "two signals", "no reader", "time"])
def test_D8_the_run_ends_in_a_pause(tstream, tmp_path, end):
    """What the server sends meanwhile is not read: it was missed."""
    def flood(c, request):
        c.send(HEAD)
        while True:
            c.send(line(b'{"text":"%s"}' % (b"x" * 30000)))

    report = tmp_path / "report"
    with Server(scripted(flood)) as server:
        p = tstream.start("-u", server.url(), "--buffer", "1M", "--report",
                          report, *["-d", "3"] * (end == "time"))
        while b"pauses" not in p.stderr.readline():
            pass
        paused = time.monotonic()
        time.sleep(2)
        if end == "no reader":
            p.stdout.close()
            p.stdout = None
        for _ in range(2 if end == "two signals" else end == "signal"):
            p.terminate()
            time.sleep(0.3)
        if end in ("signal", "time"):
            time.sleep(1)
        p.communicate(timeout=10)
        lasted = time.monotonic() - paused
    r = read_report(report)
    gap, = r["longest_gaps"]
    assert gap["upper_bound"] and 2 < gap["seconds"] < lasted + SLACK
    assert r["covered_s"] < r["run_s"] - 2


def test_E2_stopped_for_longer_than_the_stall(tstream):
    """What came in the meantime is read first; nothing is lost, no reconnect."""
    last = threading.Event()

    def send(c, request):
        c.send(HEAD)
        for i in range(40):
            c.send(line(b'{"text":%d}' % i))
            time.sleep(0.1)
        last.set()
        c.wait_closed()

    with Server(scripted(send)) as server:
        p = tstream.start("-u", server.url(), "--stall", "2", "-c", "40",
                          bufsize=0)
        assert p.stdout.read(1) == b"{"
        p.send_signal(signal.SIGSTOP)
        last.wait()
        p.send_signal(signal.SIGCONT)
        out, err = p.communicate(timeout=20)
        assert server.accepted == 1, err.decode()
    assert b"{" + out == b"".join(b'{"text":%d}\n' % i for i in range(40))


@pytest.mark.parametrize("how", ["stopped", "asleep"])
def test_E2_bytes_that_wait_while_nothing_runs(tstream, how):
    """Their time is when they came, not when they are read: the gap begins
    before the end that is noticed last."""
    sent, stopped = threading.Event(), threading.Event()

    def send(c, request):
        c.send(HEAD + line())
        stopped.wait()
        c.send(line() + END)
        sent.set()

    with Server(scripted(send, HEAD + line())) as server:
        clock = Clock(tstream.cwd)
        p = clock.start(tstream, "-u", server.url(), "-c", "3", "--report", "r")
        assert p.stdout.read(1) == b"{"
        p.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, p.pid, os.WSTOPPED | os.WNOWAIT)
        stopped.set()
        sent.wait()
        if how == "asleep":
            clock.suspend(3600)
        else:
            time.sleep(3)
        p.send_signal(signal.SIGCONT)
        p.communicate(timeout=20)
    gap, = read_report(tstream.cwd / "r")["longest_gaps"]
    want = 3600 if how == "asleep" else 3
    assert want - SLACK < gap["seconds"] < want + 2 and not gap["upper_bound"]


# The statistics ---------------------------------------------------------------

def last_stats(err):
    return [x for x in err.splitlines() if " stats " in x][-1]


def test_open_gap_counts_while_it_lasts(tstream):
    with Server(scripted(HEAD + line() + END, response(b"503 x"))) as server:
        p = tstream.start("-u", server.url())
        p.stdout.read(1)
        eventually(lambda: server.accepted >= 2)
        time.sleep(1.5)
        p.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
        p.terminate()
        _, err = p.communicate()
    told = [x for x in err.decode().splitlines() if " stats " in x][0]
    s = stats(told)
    assert list(s)[0] == "connected" and s["connected"] == 0
    assert s["gaps"] == 1 and 1.4 < s["gap_s"] < 3
    found = re.search(r" \((.*); HTTP status 503; the next attempt is in "
                      r"([0-9.]+) s\)$", told)
    assert found and found[1] == "the server ended the stream"
    assert 2 < float(found[2]) < 4


def test_stall_is_a_gap_from_its_last_byte(tstream):
    with Server(scripted(HEAD + line() + b"")) as server:
        server.handler = lambda c: (c.request(), c.send(HEAD),
                                    c.wait_closed())
        p = tstream("-u", server.url(), "--stall", "1", "-d", "5")
    s = stats(p.stderr)
    assert s["connected"] == 0 or s["connects"] > 1
    assert 4.5 < s["gap_s"] < 5.2 and s["gaps"] == 1


@pytest.mark.parametrize("v2", [False, True])
def test_withheld_and_lag_are_told_where_they_are_known(tstream, tmp_path, v2):
    made = int((time.time() - 7) * 1000)
    number = (made - 1288834974657) << 22 | 123
    old = (made - 2000 - 1288834974657) << 22
    tweets = [b'{"data":{"text":"x","id":"%d"}}' % i if v2
              else b'{"created_at":"x","id":%d,"text":"x"}' % i
              for i in (old, number)]
    report = tmp_path / "report"

    limit = line(b'{"limit":{"track":7}}')
    with Server(scripted(HEAD + limit + line(tweets[0]) + line(tweets[1]))) as server:
        args = ["--v2"] if v2 else []
        p = tstream("-u", server.url("/x"), *args, "-c", "2", "--report",
                    report, env={"BEARER_TOKEN": "tokentokentoken"} if v2
                    else None, keys=not v2)
    assert p.returncode == 0, p.stderr
    s, r = stats(p.stderr), read_report(report)
    assert ("withheld" in s) == ("withheld_min" in s) == (not v2)
    assert (r["withheld"] is None) == (r["withheld_min"] is None) == v2
    assert ("7 tweets withheld" in p.stderr) == (not v2)
    assert 6.9 < s["lag_s"] < 8.5 and 8.9 < r["max_lag_s"] < 10.5


def test_lag_of_ids_that_are_no_times(tstream, tmp_path):
    with Server(scripted(HEAD + line())) as server:
        p = tstream("-u", server.url(), "-c", "1", "--report", tmp_path / "r")
    assert "lag_s" not in stats(p.stderr)
    assert read_report(tmp_path / "r")["max_lag_s"] is None


# The report --------------------------------------------------------------------

def test_report_from_start_to_end(tstream, tmp_path):
    path = tmp_path / "report"
    with Server(lambda c: c.wait_closed()) as server:
        p = tstream.start("-u", server.url(), "--report", path)
        eventually(lambda: server.accepted)
        first = read_report(path)
        assert first["ended"] is None and first["covered_s"] == 0
        time.sleep(0.5)
        p.send_signal(signal.SIGUSR1)
        eventually(lambda: read_report(path)["run_s"] > first["run_s"])
        p.terminate()
        p.communicate()
    r = read_report(path)
    assert r["ended"] == "stopped" and r["before_s"] == r["run_s"] > 0.4
    assert (r["lost"], r["deletes"], r["max_lag_s"]) == (0, 0, None)
    assert os.listdir(tmp_path) == ["report"]


def test_report_with_every_statistics_line(tstream, tmp_path):
    path = tmp_path / "report"

    def send(c, request):
        c.send(HEAD)
        for _ in range(30):
            c.send(line() + line(b'{"delete":{}}'))
            time.sleep(0.1)

    with Server(scripted(send)) as server:
        p = tstream.start("-u", server.url(), "-s", "1", "--report", path)
        eventually(lambda: path.exists() and read_report(path)["tweets"] > 5)
        r = read_report(path)
        assert r["ended"] is None
        assert r["deletes"] == r["notices"] > 4 and r["connects"] == 1
        p.terminate()
        p.communicate()


def test_E10_kill_leaves_a_whole_report(tstream, tmp_path):
    path = tmp_path / "report"
    path.write_text('{"of":"another run"}')
    track = ",".join(f"phrase {i}" for i in range(400))
    with Server(lambda c: c.wait_closed()) as server:
        for i in range(12):
            p = tstream.start("-u", server.url(), "-t", track, "--report", path)
            eventually(lambda: server.accepted > i)
            end = time.monotonic() + random.Random(i).uniform(0, 0.2)
            while time.monotonic() < end:
                p.send_signal(signal.SIGUSR1)
            p.kill()
            p.communicate()
            assert read_report(path)["parameters"]["track"] == track


@pytest.mark.parametrize("journal", [False, True])
def test_log_and_report_say_when_the_last_byte_came(tstream, tmp_path, journal):
    path, script = tmp_path / "report", scripted(
        HEAD + line() + END, response(b"503 x"), HEAD + line() + END)
    begin = time.time()
    with Server(script) as server, open(tmp_path / "err", "wb") as err:
        st = os.fstat(err.fileno())
        env = {"JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}"} if journal else {}
        p = tstream.start("-u", server.url(), "-c", "2", "--report", path,
                          stderr=err, env=env)
        p.communicate(timeout=60)
    [gap] = read_report(path)["longest_gaps"]
    assert gap["seconds"] >= 5
    log = (tmp_path / "err").read_text()
    said = re.findall(r"gap of [0-9.]+ s since (\S+):", log)
    assert said == 2 * [gap["start"]]
    at = datetime.datetime.fromisoformat(said[0].replace("Z", "+00:00")).timestamp()
    assert begin - 1 <= at < begin + 4


def test_E10_a_report_is_on_the_disk_before_it_has_the_name(tstream, tmp_path):
    """What only a power failure shows: strace says in which order it is done."""
    trace, path = tmp_path / "trace", tmp_path / "report"
    if subprocess.run(["strace", "-o", trace, "true"]).returncode:
        pytest.skip("strace cannot trace here")
    with Server(scripted(lambda c, r: (c.send(HEAD + 3 * line()),
                                       c.wait_closed()))) as server:
        p = subprocess.run(
            ["strace", "-f", "-qq", "-o", trace,
             "-e", "trace=open,openat,fsync,close,rename,renameat,renameat2",
             *tstream.command("-u", server.url(), "-c", "3", "--report", path)],
            env=clean_environment(), cwd=tmp_path, capture_output=True, timeout=60)
    assert p.returncode == 0, p.stderr
    calls = re.findall(r"^\d+ +(\w+)\((.*)\) += (-?\d+)", trace.read_text(), re.M)
    renames = [i for i, c in enumerate(calls) if c[0].startswith("rename")]
    assert len(renames) >= 2
    for i in renames:
        opened, synced, closed = calls[i - 3:i]
        assert "report.tmp" in opened[1] and synced[0] == "fsync"
        assert opened[2] == synced[1] == closed[1] and synced[2] == "0"


def test_report_where_a_link_leads(tstream, tmp_path):
    """To a file that is there, and to one that will be."""
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        (tmp_path / ("to " + name)).symlink_to(name)
        with Server(scripted(HEAD + line())) as server:
            p = tstream("-u", server.url(), "-c", "1",
                        "--report", tmp_path / ("to " + name))
        assert p.returncode == 0, p.stderr
        assert (tmp_path / ("to " + name)).is_symlink()
        assert read_report(tmp_path / name)["tweets"] == 1


def test_report_says_what_was_asked_for(tstream):
    with Server(scripted(HEAD + line())) as server:
        p = tstream("-u", server.url("/x?lang=de&follow"), "-c", "1", "--get",
                    "-p", "a=1", "--report", "r")
    assert p.returncode == 0, p.stderr
    r = read_report(tstream.cwd / "r")
    assert r["url"] == server.url("/x")
    assert r["parameters"] == {"lang": "de", "follow": "", "a": "1"}


def test_report_that_cannot_be_written_names_the_file(tstream, tmp_path):
    (tmp_path / "r.tmp").mkdir()
    p = tstream("-u", "http://127.0.0.1:1/", "--report", tmp_path / "r")
    assert p.returncode == 2 and "r.tmp: File exists" in p.stderr


def test_report_beside_what_somebody_put_there(tstream, tmp_path):
    """A FIFO under the name that the report is made with holds nothing up."""
    path, other = tmp_path / "r", tmp_path / "r.tmp"
    with Server(scripted(HEAD + line())) as server:
        p = tstream.start("-u", server.url(), "--report", path, "-o", "out")
        eventually(lambda: any(f.stat().st_size for f in tmp_path.glob("out")))
        os.mkfifo(other)
        first = path.stat().st_ino
        p.send_signal(signal.SIGUSR1)
        eventually(lambda: path.stat().st_ino != first)
        os.mkfifo(other)
        p.terminate()
        assert p.wait(10) == -signal.SIGTERM
    assert read_report(path)["ended"] == "stopped" and not other.exists()


def test_report_keeps_its_mode_and_may_have_the_time_in_its_name(tstream, tmp_path):
    path = tmp_path / "r"
    path.write_text("{}")
    path.chmod(0o600)
    with Server(scripted(HEAD + line())) as server:
        for name in ("r", "r-%Y%m%d%%"):
            tstream("-u", server.url(), "-c", "1", "--report", name)
        p = tstream("-u", server.url(), "-c", "1", "--report", "r%")
    assert path.stat().st_mode & 0o777 == 0o600
    dated, = tmp_path.glob("r-2*")
    assert re.fullmatch(r"r-20\d{6}%", dated.name)
    assert read_report(dated)["tweets"] == read_report(path)["tweets"] == 1
    assert p.returncode == 2 and "strftime does not know" in p.stderr


def test_report_ends_with_the_run_not_with_its_reader(tstream, tmp_path):
    """A reader that takes the rest later makes the run no longer."""
    big = line(b'{"text":"%s"}' % (b"x" * 60000))
    with Server(scripted(HEAD + 100 * big)) as server:
        p = tstream.start("-u", server.url(), "-c", "100", "--report", "r")
        time.sleep(3)
        p.communicate(timeout=20)
    r = read_report(tmp_path / "r")
    begin, end = (datetime.datetime.fromisoformat(r[x][:-1])
                  for x in ("start", "end"))
    assert abs((end - begin).total_seconds() - r["run_s"]) <= 1 and r["run_s"] < 2


@pytest.mark.parametrize("how", ["reader", "full"])
def test_E9_E11_report_of_a_failed_output(tstream, tmp_path, how):
    path = tmp_path / "report"
    with Server(scripted(lambda c, r: (
            c.send(HEAD + 5 * line()), c.wait_closed()))) as server:
        if how == "full":
            with open("/dev/full", "wb") as full:
                p = tstream("-u", server.url(), "--report", path, stdout=full)
            assert p.returncode == 3
        else:
            a, b = os.pipe()
            p = tstream.start("-u", server.url(), "--report", path, stdout=b)
            os.close(b)
            os.read(a, 1)
            os.close(a)
            p.communicate()
            assert p.returncode == -signal.SIGPIPE
    r = read_report(path)
    assert r["ended"] == ("No space left on device" if how == "full"
                          else "the reader has gone away")
    assert how == "reader" or r["lost"] > 0


def test_report_that_cannot_be_written(tstream, tmp_path):
    folder = tmp_path / "folder"
    p = tstream("--report", folder / "report")
    assert p.returncode == 2 and "--report" in p.stderr
    folder.mkdir()

    def send(c, request):
        (folder / "report").unlink()
        folder.rmdir()
        c.send(HEAD + line())
        c.wait_closed()

    with Server(scripted(send)) as server:
        p = tstream("-u", server.url(), "-c", "1", "--report",
                    folder / "report")
    assert p.returncode == 3 and "--report: " in p.stderr
    assert p.stdout == TWEET + b"\n"


def test_report_to_what_cannot_be_replaced(tstream, tmp_path):
    """A pipe, a device, and the file of stderr."""
    os.mkfifo(tmp_path / "fifo")
    with Server(scripted(HEAD + line())) as server:
        for path in ("/dev/stderr", "/dev/null", tmp_path / "fifo"):
            p = tstream("-u", server.url(), "-c", "1", "--report", path)
            assert p.returncode == 2 and "not a regular file of its" in p.stderr
        with open(tmp_path / "err", "wb") as f:
            tstream("-u", server.url(), "-c", "1", "--report", "/dev/stderr",
                    stderr=f)
    assert "stderr and --report are the same file" in (tmp_path / "err").read_text()


def test_report_through_a_link_and_beside_secrets(tstream, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink("real/report", tmp_path / "link")
    (tmp_path / "real/report").write_text("")
    with Server(scripted(HEAD + line())) as server:
        p = tstream("-u", server.url(), "-c", "1", "-p", "x=a\"\\ä",
                    "--report", tmp_path / "link")
    assert p.returncode == 0, p.stderr
    assert (tmp_path / "link").is_symlink()
    r = read_report(tmp_path / "real/report")
    assert r["parameters"]["x"] == "a\"\\ä"


# The live line -------------------------------------------------------------------

@pytest.mark.parametrize("to_file", [True, False])
def test_live_line_only_beside_a_file(tstream, tmp_path, to_file):
    master, slave = pty.openpty()
    with open(tmp_path / "out", "wb") as f, Server(scripted(
            HEAD + line() + line(b'{"limit":{"track":3}}') + END,
            response(b"503 x"))) as server:
        p = tstream.start("-u", server.url(), "-d", "3", stderr=slave,
                          stdout=f if to_file else subprocess.PIPE)
        os.close(slave)
        seen = b""
        while select.select([master], [], [], 10)[0]:
            try:
                more = os.read(master, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        p.communicate()
    os.close(master)
    drawn = [x for x in seen.decode().split("\r") if "\033[K" in x
             and "tweets, " in x]
    assert bool(drawn) == to_file
    if to_file:
        assert re.search(r"1 tweets, [0-9.]+/s \(.*; HTTP status 503; the next "
                         r"attempt is in \d+\.\d s\), 3 withheld, 0:00:0[123] of "
                         r"0:00:03, 1 gap of [0-9.]+ s", drawn[-1]), drawn


def test_an_open_gap_has_its_reason_once_connected_too(tstream):
    """A stream is there again, but not yet a byte of it."""
    again = threading.Event()

    def handle(c):
        c.request()
        c.send(HEAD + (b"" if again.is_set() else line() + b"0\r\n\r\n"))
        if again.is_set():
            c.wait_closed()
        again.set()

    with Server(handle) as server:
        p = tstream.start("-u", server.url())
        streams = 0
        while streams < 2:
            streams += b" connected to " in p.stderr.readline()
        p.send_signal(signal.SIGUSR1)
        while b" stats " not in (said := p.stderr.readline()):
            pass
        p.kill()
        p.communicate()
    assert b" connected=1 " in said and b" gaps=1 " in said
    assert b" (the server ended the stream; " in said


# How an end is read ---------------------------------------------------------------

CODE_7 = b'{"disconnect":{"code":7}}'
TOO_MANY = b"Exceeded connection limit for user"


@pytest.mark.parametrize("wire", [
    HEAD + chunk(TWEET) + END,
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TWEET) + TWEET,
    b"HTTP/1.1 200 OK\r\n\r\n" + TWEET,
    HEAD + chunk(TWEET[:5]) + chunk(TWEET[5:] + b"\r") + END])
def test_N1_last_object_of_a_whole_body(tstream, wire):
    with Server(scripted(wire)) as server:
        p = tstream("-u", server.url(), "-c", "1")
    assert p.stdout == TWEET + b"\n"


def test_N1_bytes_of_a_cut_message_are_told(tstream):
    with Server(scripted(HEAD + chunk(TWEET[:17]), HEAD + line())) as server:
        p = tstream("-u", server.url(), "-c", "1")
    assert "the stream was cut (17 bytes of a message came and are not " \
        "written); next attempt" in p.stderr


@pytest.mark.parametrize("last", [CODE_7, TOO_MANY])
@pytest.mark.parametrize("end", [END, b"", b"zz\r\n"])
def test_N2_said_without_the_end_of_a_line(tstream, last, end):
    with Server(scripted(HEAD + chunk(last) + end)) as server:
        p = tstream("-u", server.url(), "-d", "2")
        assert server.accepted == 1, p.stderr
    assert "; next attempt in 60 s" in p.stderr


def test_N3_reset_a_second_ahead_for_ever(tstream):
    """On the server's clock, which is two hours off."""
    def busy(c, request):
        there = int(time.time()) - 7200
        c.send(response(
            b"429 Too Many Requests",
            headers=(b"Date: " + time.strftime(
                "%a, %d %b %Y %H:%M:%S GMT", time.gmtime(there)).encode(),
                b"x-rate-limit-remaining: 0",
                b"x-rate-limit-reset: %d" % (there + 1))))

    with Server(scripted(busy)) as server:
        p = tstream("-u", server.url("/x"), "--v2", "-d", "5", keys=False,
                    env={"BEARER_TOKEN": "tokentokentoken"})
        assert server.accepted == 2, p.stderr
    assert re.findall(r"next attempt in (\d+) s", p.stderr) == ["1", "60"]


@pytest.mark.parametrize("status", [b"408 Request Timeout", b"425 Too Early"])
def test_N5_statuses_that_pass(tstream, status):
    with Server(scripted(response(status))) as server:
        p = tstream("-u", server.url(), "-d", "1")
    assert "next attempt in 5 s" in p.stderr


@pytest.mark.torture
@pytest.mark.parametrize("stall", ["0", "60"])
def test_N6_head_after_32_seconds(tstream, stall):
    def late(c, request):
        time.sleep(32)
        c.send(HEAD + line())

    with Server(scripted(late)) as server:
        p = tstream("-u", server.url(), "--stall", stall, "-c", "1",
                    timeout=50)
        assert server.accepted == 1
    assert p.stdout == TWEET + b"\n"


@pytest.mark.parametrize("fields, told", [
    (b"Content-Encoding: none\r\n",
     "a Content-Encoding nobody asked for: none"),
    (b"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n",
     "a Content-Encoding nobody asked for: gzip"),
    (b"Content-Length: 1\r\nContent-Length: 2\r\n",
     "two different Content-Lengths: 2"),
    (b"Transfer-Encoding: x\033[31mbr\r\n", "a control character in a header"),
    (b"Transfer-Encoding: br, chunked\r\n",
     "a transfer coding other than chunked, once, in HTTP/1.1: br, chunked"),
    (b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
     "the chunk size is not a number: -")])
def test_N7_errors_say_the_value_that_came(tstream, fields, told):
    with Server(scripted(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")) as server:
        p = tstream("-u", server.url(), "-d", "1")
    assert "the response breaks the protocol: " + told in p.stderr


def test_N7_two_locations_are_none(tstream):
    with Server(scripted(response(b"302 Found", headers=(
            b"Location: /one", b"Location: /two")))) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 1
    assert "/one" not in p.stderr and "/two" not in p.stderr


def test_N8_endless_zeros(tstream):
    sent = []

    def zeros(c, request):
        c.send(HEAD)
        for _ in range(1000):
            c.send(b"0" * 1000)
            sent.append(1000)

    with Server(scripted(zeros, HEAD + line())) as server:
        p = tstream("-u", server.url(), "-c", "1")
    assert "of more than 16 KiB" in p.stderr
    assert p.stdout == TWEET + b"\n"


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML ; charset=utf-8",
                                  "text/event-stream"])
def test_type_of_a_web_page_is_told_once(tstream, kind):
    wire = (b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() +
            b"\r\n\r\n" + TWEET + b"\r\n")
    with Server(scripted(wire)) as server:
        p = tstream("-u", server.url(), "-c", "3")
    assert p.stderr.count("the response is " + kind) == 1
    assert "-H 'Accept: application/json'" in p.stderr


def test_lines_of_a_web_page_are_malformed(tstream):
    page = (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
            b"<!DOCTYPE html>\n<html>\n<p>Please sign in\n</html>\n")
    with Server(scripted(page)) as server:
        p = tstream("-u", server.url(), "-d", "1")
    assert p.stderr.count("the response is text/html") == 1
    assert stats(p.stderr)["malformed"] == 4 * stats(p.stderr)["connects"]
    assert p.stderr.count("malformed line of") >= 4
