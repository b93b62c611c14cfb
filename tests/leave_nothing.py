"""leave_nothing.py COMMAND...: run the tests, and look at what they leave behind.

The status is the command's own, or 1 if it leaves a process, a mount (a named
network namespace is one), a temporary file outside pytest's folder, or a file
in the tree outside build. What is left is named, and ended or removed.

Every process whose parent has ended becomes a child of this one, which is a
subreaper (prctl(2)): none can hide by ending its parent. Mounts are made in a
mount namespace of this run, where we may have one. Temporary files lie in a
folder of this run alone, which is kept if the tests failed."""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
MOUNT = "mount on "
GRACE = 2  # seconds in which what is about to end may do so


def mounts():
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return {MOUNT + line.split()[4] for line in lines}


def tree():
    found = set()
    for folder, names, files in os.walk(ROOT):
        if folder == str(ROOT):
            names[:] = set(names) - {".git", "build"}
        # whoever writes a source meanwhile is no test
        found |= {f"file {pathlib.Path(folder, f)}" for f in files
                  if not f.endswith((".c", ".h", ".py"))}
    return found


def everything():
    return mounts() | tree()


def reap():
    """Take leave of those children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def children():
    reap()
    me = os.getpid()
    return pathlib.Path(f"/proc/{me}/task/{me}/children").read_text().split()


def command_of(pid):
    try:
        raw = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    return " ".join(raw.decode("utf-8", "replace").split("\0"))[:200]


def processes():
    """Name and end all that still run, children of children too."""
    end = time.monotonic() + GRACE
    while children() and time.monotonic() < end:
        time.sleep(0.05)
    found = set()
    while left := children():
        for pid in left:
            found.add(f"process {pid}: {command_of(pid)}")
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)
    return found


def run(words, environment):
    p = subprocess.Popen(words, env=environment)
    # an interrupt goes to both; it is the command's to deal with
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: p.send_signal(signal.SIGTERM))
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == p.pid:
            p.returncode = os.waitstatus_to_exitcode(status)
            return p.returncode


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("leave_nothing: prctl: " + os.strerror(ctypes.get_errno()))
    if libc.unshare(CLONE_NEWNS) == 0:  # else we may not mount anyhow
        libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tstream-tests-"))
    folder.chmod(0o711)  # for those tests that are somebody else
    before = everything()
    status = run(sys.argv[1:], dict(os.environ, TMPDIR=str(folder)))
    left = processes()
    left |= everything() - before
    left |= {f"file {f}" for f in folder.iterdir()
             if not f.name.startswith("pytest-of-")}
    for what in sorted(left):
        print(f"left behind: {what}", file=sys.stderr)
        if what.startswith(MOUNT):
            libc.umount2(what[len(MOUNT):].encode(), MNT_DETACH)
    if status == 0:
        shutil.rmtree(folder)
    else:
        print(f"the tests' files are in {folder}", file=sys.stderr)
    sys.exit(status if status > 0 else 1 if status < 0 or left else 0)


if __name__ == "__main__":
    main()
