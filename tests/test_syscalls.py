"""Errors of every system call that the shipped binary makes, injected by strace
one at a time: each call site, its n-th call, each errno of its man page."""

import collections
import concurrent.futures
import re
import shutil
import signal
import subprocess
import threading

import pytest

from conftest import clean_environment
from peer import HEAD, Server, chunk
from test_stream import BYE, BYE_LINE, find_secrets, joined

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None or
    subprocess.run(["strace", "-o", "/dev/null", "true"]).returncode != 0,
    reason="strace cannot trace here")

# Of the C library's start, and what does not return.
NOT_OURS = {"execve", "exit", "exit_group", "rt_sigreturn", "arch_prctl",
            "set_tid_address", "brk", "restart_syscall",
            "geteuid"}  # which cannot fail
ERRORS = {
    "socket": "EACCES EAFNOSUPPORT EINVAL EMFILE ENFILE ENOBUFS ENOMEM",
    "connect": "EACCES EPERM EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN "
               "EALREADY EBADF ECONNREFUSED EINTR ENETUNREACH EHOSTUNREACH "
               "ENOTSOCK ETIMEDOUT EISCONN EINPROGRESS",
    "getsockopt": "EBADF ENOPROTOOPT ENOTSOCK",
    "setsockopt": "EBADF EINVAL ENOPROTOOPT ENOTSOCK",
    "sendto": "EACCES EAGAIN EBADF ECONNRESET EINTR EINVAL EMSGSIZE ENOBUFS "
              "ENOMEM ENOTCONN EPIPE",
    "recvfrom": "EAGAIN EBADF ECONNREFUSED ECONNRESET EINTR EINVAL ENOMEM "
                "ENOTCONN ETIMEDOUT",
    "ppoll": "EINTR EINVAL ENOMEM", "poll": "EINTR EINVAL ENOMEM",
    "write": "EAGAIN EBADF EDQUOT EFBIG EINTR EINVAL EIO ENOSPC EPERM EPIPE",
    "writev": "EAGAIN EINTR EIO ENOSPC", "read": "EAGAIN EINTR EIO EISDIR",
    "readv": "EINTR EIO", "pipe2": "EMFILE ENFILE", "fork": "EAGAIN ENOMEM",
    "clone": "EAGAIN ENOMEM ENOSYS", "wait4": "ECHILD EINTR",
    "kill": "EPERM ESRCH", "getrandom": "EAGAIN EINTR ENOSYS",
    "mmap": "EAGAIN ENOMEM EPERM", "munmap": "EINVAL",
    "madvise": "EAGAIN ENOMEM", "mprotect": "ENOMEM EACCES",
    "open": "EACCES EINTR EIO EMFILE ENFILE ENOENT ENOMEM",
    "openat": "EACCES EINTR EIO EMFILE ENFILE ENOENT ENOMEM",
    "stat": "EACCES ELOOP ENOENT",
    "fcntl": "EBADF EINTR EPERM EBUSY", "fstat": "EBADF ENOMEM",
    "close": "EBADF EINTR EIO", "ioctl": "EBADF ENOTTY", "lseek": "ESPIPE",
    "prlimit64": "EPERM", "prctl": "EINVAL EPERM",
    "rt_sigaction": "EINVAL", "rt_sigprocmask": "EINVAL",
    "clock_gettime": "EINVAL", "bind": "EADDRINUSE EACCES",
    "sendmsg": "EAGAIN ECONNREFUSED", "recvmsg": "EAGAIN ECONNREFUSED",
    "gettid": "ENOSYS", "access": "ENOENT EACCES",
    "landlock_create_ruleset": "EOPNOTSUPP ENOSYS",
    "landlock_add_rule": "EINVAL ENOMEM", "getpid": "ENOSYS",
    "readlink": "EINVAL EACCES ELOOP ENOENT", "getcwd": "ENOENT ERANGE",
    "landlock_restrict_self": "EPERM E2BIG", "socketpair": "EMFILE ENOMEM",
    "close_range": "ENOSYS EINVAL", "dup2": "EBADF EINTR", "getppid": "ENOSYS",
    "alarm": "ENOSYS", "setitimer": "EINVAL", "getsockname": "ENOBUFS",
}
MOST_CALLS = 3000  # of a run; one that spins makes more in a second


def messages(connection):
    return [b'{"text":"%d/%d"}' % (connection, i) for i in range(4)]


class Trial:
    def __init__(self, tstream, context, folder, inject=None, raw=False):
        self.trace = folder / f"trace-{id(self)}"
        self.connections, lock = 0, threading.Lock()

        def serve(c):
            with lock:
                self.connections += 1
                mine = messages(self.connections)
            if c.request() is None:
                return
            c.send(HEAD)
            for m in mine:
                c.send(chunk(m + b"\r\n"))
            c.send(BYE)
            c.wait_closed(20)

        words = ["strace", "-f", "-qq", "-o", str(self.trace)]
        words += ["-xx", "-s", "65536"] if raw else []
        words += ["-e", "inject=" + inject] if inject else []
        with Server(serve, context) as server:
            # each look-up's worker makes its first calls anew, and fails anew
            p = subprocess.run(words + tstream.command("-u", server.url(),
                                                       "-d", "4"),
                               capture_output=True, timeout=30,
                               env=clean_environment())
            server.errors.clear()
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr

    def calls(self):
        """How often each call was made, by the process that made most."""
        most = collections.Counter()
        by = collections.Counter()
        for line in self.trace.read_text("latin-1").splitlines():
            m = re.match(r"(\d+) +([a-z0-9_]+)\(", line)
            if m:
                by[m[1], m[2]] += 1
        for (_, name), n in by.items():
            most[name] = max(most[name], n)
        return most

    def written(self):
        """What the trace says went to stdout: of each write as many bytes as
        the program was told."""
        text = b""
        for m in re.finditer(
                r' write\(1, "([^"]*)".*= (\d+)',
                self.trace.read_text("latin-1")):
            text += bytes.fromhex(m[1].replace("\\x", ""))[:int(m[2])]
        return text


def judge(t, what):
    """No crash, no half line, no spin, no secret, and nothing without a word."""
    said = (what, t.status, t.out, t.err[-800:])
    good = {0, 1, 2, 3, -signal.SIGPIPE}
    assert t.status in good, said
    assert t.out == b"" or t.out.endswith(b"\n"), said
    lines = t.out.splitlines()
    sent = [m for i in range(t.connections) for m in messages(i + 1)] + [
        BYE_LINE.rstrip()]
    rest = iter(sent)
    assert all(line in rest for line in lines), said  # in order, none twice
    if BYE_LINE in t.out and t.status == 0:
        last = joined(messages(t.connections)) + BYE_LINE
        assert t.out.endswith(last), said
    if t.status != 0 and "write:" not in what:
        assert t.err, said
    assert find_secrets(t.out + t.err) == []
    assert sum(t.calls().values()) < MOST_CALLS, said


def trials(tstream, context, tmp_path, every):
    base = Trial(tstream, context, tmp_path)
    assert base.status == 0
    calls = {k: v for k, v in base.calls().items() if k not in NOT_OURS}
    assert not set(calls) - set(ERRORS), "calls without a list of errors"
    plans = [f"{name}:error={e}:when={n}" for name in sorted(calls)
             for n in range(1, calls[name] + 1) for e in ERRORS[name].split()]
    plans += [f"recvfrom:retval={k}:when={n}" for k in (0, 1)
              for n in range(1, calls["recvfrom"] + 1)]
    plans = plans[::every]

    def run(plan):
        try:
            t = Trial(tstream, context, tmp_path, plan)
            judge(t, plan)
            t.trace.unlink()
        except (AssertionError, subprocess.TimeoutExpired) as e:
            return f"{plan}: {e}"

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        wrong = [x for x in pool.map(run, plans) if x]
    assert not wrong, "\n".join(wrong)
    return len(plans)


def short_writes(tstream, context, tmp_path):
    """The kernel takes one byte of the n-th write, as the program is told."""
    n = Trial(tstream, context, tmp_path).calls()["write"]
    for i in range(1, n + 1):
        t = Trial(tstream, context, tmp_path, f"write:retval=1:when={i}",
                  raw=True)
        assert t.status == 0
        assert t.written() == joined(messages(1)) + BYE_LINE


def test_C10_C11_O8_M4_T25_errors_of_a_sample_of_calls(tstream, context, tmp_path):
    assert trials(tstream, context, tmp_path, 23) > 10


def test_O7_short_writes(tstream, context, tmp_path):
    short_writes(tstream, context, tmp_path)


@pytest.mark.torture
def test_C10_C11_O8_M4_T25_errors_of_every_call(tstream, context, tmp_path, record_property):
    n = trials(tstream, context, tmp_path, 1)
    print(f"{n} errors injected")
    assert n > 300
