"""What takes minutes: cuts and bit flips at every place of a TLS session, and
errors of every system call. make torture runs it; make check a sample."""

import asyncio
import contextlib
import re
import subprocess

import pytest

import peer
from conftest import clean_environment
from peer import HEAD, chunk
from test_stream import BYE, BYE_LINE, joined, tweets

FIRST = tweets(3)
AGAIN = [b'{"text":"again"}']
AT_ONCE = 12  # runs side by side


class Wire:
    """A TLS server (OpenSSL's), and in front of it a proxy for each run that
    harms what it passes on."""

    def __init__(self, context):
        self.context = context
        self.first = self.again = None

    async def start(self):
        self.first = await asyncio.start_server(
            self.serve_first, "127.0.0.1", ssl=self.context)
        self.again = await asyncio.start_server(
            self.serve_again, "127.0.0.1", ssl=self.context)

    async def read_request(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(
            int(re.search(rb"Content-Length: (\d+)", head)[1]))

    async def serve_first(self, reader, writer):
        """The head and each tweet in a record of its own; then silence."""
        try:
            await self.read_request(reader)
            for part in (HEAD, *(chunk(t + b"\r\n") for t in FIRST)):
                writer.write(part)
                await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def serve_again(self, reader, writer):
        try:
            await self.read_request(reader)
            writer.write(HEAD + chunk(AGAIN[0] + b"\r\n") + BYE)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()


def records(data):
    """(type, offset of its end) of each whole TLS record."""
    at, found = 0, []
    while at + 5 <= len(data):
        end = at + 5 + int.from_bytes(data[at + 3:at + 5], "big")
        if end > len(data):
            break
        found.append((data[at], end))
        at = end
    return found


class Run:
    """One start of tstream through a proxy. The first connection is cut after
    down bytes of the server's or up bytes of the client's, or has a bit of the
    server's flipped; later ones are left in peace."""

    def __init__(self, wire, command, how="fin", down=None, up=None, flip=None):
        self.wire, self.command, self.how = wire, command, how
        self.down, self.up, self.flip = down, up, flip
        self.sent = b""      # what the server said in the first connection
        self.passed = b""    # as much of it as was passed on
        self.app_data = 0    # bytes of the client's application records
        self.connections = 0
        self.over = asyncio.Event()

    async def connected(self, reader, writer):
        self.connections += 1
        if self.connections > 1:
            port = self.wire.again.sockets[0].getsockname()[1]
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1",
                                                                 port)
            await asyncio.gather(self.copy(reader, up_writer),
                                 self.copy(up_reader, writer))
            return
        port = self.wire.first.sockets[0].getsockname()[1]
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        tasks = [asyncio.ensure_future(self.pass_up(reader, up_writer)),
                 asyncio.ensure_future(self.pass_down(up_reader, writer))]
        done, rest = await asyncio.wait(
            tasks, return_when=asyncio.FIRST_COMPLETED)
        if any(t.result() == "cut" for t in done):
            if self.how == "silence":
                await self.over.wait()
            elif self.how == "rst":
                writer.get_extra_info("socket").setsockopt(
                    peer.socket.SOL_SOCKET, peer.socket.SO_LINGER,
                    b"\x01\0\0\0\0\0\0\0")
                writer.transport.abort()
        for t in rest:
            t.cancel()
        writer.close()
        up_writer.close()
        if self.flip is not None:
            self.over.set()

    async def copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    async def pass_up(self, reader, writer):
        got = b""
        try:
            while data := await reader.read(65536):
                if self.up is not None:
                    data = data[:self.up - len(got)]
                got += data
                writer.write(data)
                self.app_data = sum(t == 23 for t, _ in records(got))
                if self.up is not None and len(got) >= self.up:
                    return "cut"
        except OSError:
            pass
        return "closed"

    async def pass_down(self, reader, writer):
        try:
            if self.down == 0:
                return "cut"
            while data := await reader.read(65536):
                before = len(self.sent)
                self.sent += data
                if self.flip is not None:
                    byte = self.flip // 8 - before
                    if 0 <= byte < len(data):
                        data = bytearray(data)
                        data[byte] ^= 1 << self.flip % 8
                if self.down is not None:
                    data = data[:self.down - before]
                self.passed += data
                writer.write(data)
                if self.down is not None and len(self.sent) >= self.down:
                    return "cut"
        except OSError:
            pass
        return "closed"

    async def __call__(self):
        proxy = await asyncio.start_server(self.connected, "127.0.0.1")
        port = proxy.sockets[0].getsockname()[1]
        p = await asyncio.create_subprocess_exec(
            *self.command(f"https://localhost:{port}/x"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, env=clean_environment())
        end = asyncio.ensure_future(p.communicate())
        if self.flip is not None:
            over = asyncio.ensure_future(self.over.wait())
            await asyncio.wait([end, over], timeout=20,
                               return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            with contextlib.suppress(ProcessLookupError):
                p.kill()
        self.out, self.err = await asyncio.wait_for(end, 30)
        self.status = p.returncode
        self.over.set()
        proxy.close()
        return self

    def whole(self):
        """The tweets whose records were passed on to their last byte."""
        n = sum(t == 23 for t, _ in records(self.passed)) - 1
        return FIRST[:max(0, n)]


def run_all(context, tstream, cases, judge):
    """Start a run for each of the cases, keyword arguments of Run."""
    async def main():
        wire = Wire(context)
        await wire.start()
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(case):
            args = case.pop("args", [])
            width = case.pop("width", 1)
            async with gate:
                run = await Run(wire, lambda url: tstream.command(
                    "-u", url, *args), **case)()
            judge(run, case)
            return width

        await asyncio.gather(*map(one, cases))

    asyncio.run(main())


def session_sizes(context, tstream):
    """How many bytes the server says up to the last tweet, and in its
    handshake."""
    sizes = {}

    def judge(run, case):
        ends = records(run.sent)
        sizes["down"] = max(e for t, e in ends if t == 23)
        sizes["flight"] = [e for t, e in ends if t == 22][-1]

    run_all(context, tstream, [dict(args=["-c", "3"])], judge)
    return sizes


def judge_cut(run, case):
    want = joined(run.whole())
    if run.how != "silence":
        want += joined(AGAIN) + BYE_LINE
        assert run.connections == 2
    assert run.out == want, (case, run.out, run.err)
    # 1: the time ended before there was a stream
    assert run.status == (0 if b"connected to" in run.err else 1), \
        (case, run.err)


def cut_cases(sizes, how, step):
    # an ECDSA signature has a byte more or less from run to run
    args = ["-d", "1", "--stall", "0"] if how == "silence" else []
    return [dict(how=how, down=k, args=args)
            for k in range(0, sizes["down"] - 8, step)] + \
        [dict(how=how, up=k, args=args) for k in range(1, 300, step)]


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_C4_C5_C7_cut_at_a_sample_of_bytes(tstream, context, how):
    sizes = session_sizes(context, tstream)
    run_all(context, tstream, cut_cases(sizes, how, 29), judge_cut)


@pytest.mark.torture
@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_C4_C5_C7_cut_at_every_byte(tstream, context, how):
    """Whole lines only, each once; then a new connection."""
    sizes = session_sizes(context, tstream)
    run_all(context, tstream, cut_cases(sizes, how, 1), judge_cut)


def judge_flip(run, case):
    assert run.app_data == 0, (case, "a request was sent")
    assert run.out == b"", case
    assert b"connected to" not in run.err, case


def test_T16_bit_flips_in_a_sample_of_the_handshake(tstream, context):
    sizes = session_sizes(context, tstream)
    run_all(context, tstream, [
        dict(flip=i, args=["-d", "1"])
        for i in range(0, 8 * (sizes["flight"] - 2), 97)], judge_flip)


@pytest.mark.torture
def test_T16_every_bit_of_the_handshake_flipped(tstream, context):
    """No session comes up and no byte of the request leaves."""
    sizes = session_sizes(context, tstream)
    assert sizes["flight"] > 500
    run_all(context, tstream, [
        dict(flip=i, args=["-d", "1"])
        for i in range(8 * (sizes["flight"] - 2))], judge_flip)
