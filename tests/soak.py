"""Two long runs against a server that cuts, stalls, sends rubbish and hangs up.

    soak.py TSTREAM SECONDS TSTREAM_FAST RECONNECTS

First the shipped binary for SECONDS of real time; then the same objects on a
fast clock (tests/fast_clock.c) for RECONNECTS connections. At the end every
message that was sent whole has come out, in order, once; the statistics are
what the server counted; descriptors and memory are where they began."""

import collections
import contextlib
import fcntl
import os
import pathlib
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

import peer
from conftest import clean_environment, stats
from peer import HEAD, Server, chunk, response

MOST_KIB = 4096  # a buffer and a line of 1 MiB each, and all the rest
BURST = 1000  # messages, unread at first: they touch memory of fixed size
DONE = b'{"disconnect":{"code":9}}'


class Host:
    """What is sent, and an account of it. One connection at a time."""

    def __init__(self, rng, may_stall, is_over):
        self.rng, self.may_stall, self.is_over = rng, may_stall, is_over
        self.sent = collections.deque()  # lines that must come out
        self.lock = threading.Lock()
        self.count, self.number = collections.Counter(), 0
        self.alone = threading.Lock()
        self.over = False
        self.begun = threading.Event()

    def message(self):
        r, self.number = self.rng, self.number + 1
        kind = r.choices(["tweets", "notices", "malformed", "keepalives"],
                         [70, 10, 5, 15])[0]
        fill = "x" * r.choice([10, 100, 1000, 10000])
        line = {
            "tweets": '{"id":%d,"text":"%s\\u00e4 ü"}',
            "notices": '{"limit":{"track":%d},"x":"%s"}',
            "malformed": '{"id":%d,"text":"%s"',
            "keepalives": ""}[kind]
        line = (line % (self.number, fill) if line else "").encode()
        return kind, line

    def send(self, c, kind, line):
        with self.lock:  # before the reader can see it
            if kind in ("tweets", "notices"):
                self.sent.append(line)
        wire = chunk(line + b"\r\n")
        if self.rng.random() < 0.2:
            cut = self.rng.randrange(len(line) + 2)
            raw = line + b"\r\n"
            wire = b"".join(chunk(p) for p in (raw[:cut], raw[cut:]) if p)
        c.send(wire)
        self.count[kind] += 1

    @staticmethod
    def wait_received(c):
        """All that was sent is in the client's kernel, or the client is gone."""
        closed = 7  # TCP_CLOSE
        while c.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] \
                != closed:
            raw = fcntl.ioctl(c.sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
            if struct.unpack("i", raw)[0] == 0:
                return
            time.sleep(0.0005)

    def serve(self, c):
        if c.request() is None:
            return
        with self.alone:
            self.stream(c)

    def stream(self, c):
        r = self.rng
        if self.over:
            return
        if self.may_stall and r.random() < 0.02:
            c.send(response(b"503 Busy", b"later"))
            self.count["refused"] += 1
            return
        self.count["connects"] += 1
        c.send(HEAD)
        # a stream of 16 s or more is followed by the next at once
        until = time.monotonic() + r.choice([0, 0.1, 2, 17, 18])
        for _ in range(r.choice([1, 5, 50, 400])
                       if self.begun.is_set() else BURST):
            self.send(c, *self.message())
        self.begun.set()
        while self.may_stall and time.monotonic() < until:
            self.send(c, *self.message())
            time.sleep(r.random() * 0.02)  # the stream's own pace
        if self.is_over(self.count):
            self.over = True
            self.send(c, "notices", DONE)
            c.wait_closed()
            return
        end = r.choice(["fin", "rst", "half", "rubbish", "bye", "last", "stall"])
        self.count[end] += 1
        if end == "half":
            c.send(b"400\r\n" + b'{"text":"never whole')
        elif end == "rubbish":
            c.send(b"\0\xff")
        elif end == "bye":
            self.send(c, "notices", b'{"disconnect":{"code":%d}}'
                      % r.choice([1, 3, 4, 5, 8, 10, 11, 12]))
        elif end == "last":
            c.send(b"0\r\n\r\n")
        elif end == "stall" and self.may_stall:
            c.wait_closed(60)
        self.wait_received(c)
        if end == "rst":
            c.reset()


class Reader(threading.Thread):
    """Reads as fast as it likes, and checks each line against the account."""

    def __init__(self, pipe, host, rng):
        super().__init__(daemon=True)
        self.pipe, self.host, self.rng = pipe, host, rng
        self.lines, self.wrong = 0, None

    def run(self):
        rest = b""
        self.host.begun.wait(30)
        while data := os.read(self.pipe.fileno(), 65536):
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            for line in lines:
                with self.host.lock:
                    want = self.host.sent.popleft() if self.host.sent else None
                if line != want and self.wrong is None:
                    self.wrong = (line[:200], want and want[:200])
                self.lines += 1
            if self.rng.random() < 0.01:
                time.sleep(self.rng.random() * 0.3)  # a slow reader
        if rest:
            self.wrong = (rest, "a whole line")


def footprint(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return (len(os.listdir(f"/proc/{pid}/fd")),
            int(re.search(r"VmRSS:\s+(\d+)", status)[1]))


def run(name, binary, seconds, reconnects, fast):
    rng = random.Random(7)
    begin = time.monotonic()

    def is_over(count):
        return count["connects"] >= reconnects and \
            time.monotonic() - begin >= seconds

    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory()))
        authority = peer.Authority(folder)
        keys = folder / "keys.yaml"
        keys.write_text(peer.keys_text())
        keys.chmod(0o600)
        host = Host(rng, fast == 1, is_over)
        server = stack.enter_context(Server(
            host.serve, peer.tls_context(authority.server())))
        p = subprocess.Popen(
            [binary, "-k", keys, "--cafile", authority.file, "--buffer", "1M",
             "--stall", "2" if fast == 1 else "0", "-u", server.url()],
            stdout=subprocess.PIPE, stderr=open(folder / "log", "wb"),
            env=clean_environment({"FAST": str(fast)}))
        stack.callback(p.wait)
        stack.callback(p.kill)
        reader = Reader(p.stdout, host, random.Random(8))
        reader.start()
        early = late = None
        while p.poll() is None:
            with contextlib.suppress(FileNotFoundError, TypeError):
                now = footprint(p.pid)
                if early is None and host.count["connects"] >= max(
                        3, reconnects / 2) and \
                        time.monotonic() - begin >= seconds / 2:
                    early = now
                late = now if host.count["connects"] else None
            assert reader.wrong is None, reader.wrong
            assert not server.errors, server.errors
            time.sleep(0.2)
        reader.join(30)
        log = (folder / "log").read_text()
        said, count = stats(log), host.count
        assert p.returncode == 0, (p.returncode, log[-2000:])
        assert reader.wrong is None and not host.sent, reader.wrong
        for what in ("tweets", "notices", "malformed", "keepalives",
                     "connects"):
            assert said[what] == count[what], (what, said, count)
        assert said["gaps"] == count["connects"] - 1
        assert reader.lines == count["tweets"] + count["notices"]
        assert early and late[0] <= early[0] + 2, (early, late)
        assert late[1] <= MOST_KIB, (early, late)
        # a shorter run may touch its buffers for the first time in the end
        is_long = seconds >= 3000 or reconnects >= 5000
        assert not is_long or late[1] <= early[1] + 64, (early, late)
        assert not peer_secrets(log)
    print(f"{name}: {time.monotonic() - begin:.0f} s, {count['connects']} "
          f"connections, {reader.lines} messages in order and once, "
          f"{count['malformed']} malformed; descriptors {early[0]} -> {late[0]}, "
          f"resident {early[1]} -> {late[1]} KiB; the statistics are right")


def peer_secrets(log):
    return [k for k in ("client_secret", "resource_owner_secret")
            if peer.KEYS[k] in log]


if __name__ == "__main__":
    shipped, seconds, quick, reconnects = sys.argv[1:]
    run("real time", shipped, int(seconds), 4, 1)
    # not faster: an attempt has 30 s, here 100 ms, which a busy machine may need
    run("fast clock", quick, 0, int(reconnects), 300)
