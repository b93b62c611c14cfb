"""What all tests share: the binary, a folder with keys and certificates, and
a way to run it."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

import peer  # noqa: E402

BINARY = pathlib.Path(os.environ.get("TSTREAM", ROOT / "tstream"))
DATA = ROOT.parent / "shared" / "data"  # real tweets, used where they are


def clean_environment(extra=None):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    env.update(extra or {})
    return env


@pytest.fixture(scope="session", autouse=True)
def signals():
    """What nohup, or the & of a script, has ignored would be ignored by all that
    is started here: a handler does the same for us alone."""
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return peer.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def context(authority):
    return peer.tls_context(authority.server())


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    path.write_text(peer.keys_text())
    path.chmod(0o600)
    return path


class Runner:
    binary = [str(BINARY)]

    def __init__(self, keys_file, authority, tmp_path):
        self.keys_file, self.authority = keys_file, authority
        self.cwd = tmp_path
        self.running = []

    def command(self, *args, keys=True):
        words = [*self.binary]
        if keys:
            words += ["-k", str(self.keys_file)]
        return words + ["--cafile", str(self.authority.file),
                        *map(str, args)]

    def start(self, *args, keys=True, env=None, **how):
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        how.setdefault("stdin", subprocess.DEVNULL)
        return self.started(subprocess.Popen(
            self.command(*args, keys=keys), cwd=self.cwd,
            env=clean_environment(env), **how))

    def started(self, process):
        """It is ended with the test, should that fail in between."""
        self.running.append(process)
        return process

    def __call__(self, *args, timeout=30, **how):
        """Run to the end; returns what subprocess.run does."""
        p = self.start(*args, **how)
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            raise AssertionError(f"it did not end: {err.decode()[-3000:]}")
        # every run of every test is a census of the calls that are needed
        assert b"was refused" not in (err or b"")
        return subprocess.CompletedProcess(
            p.args, p.returncode, out, (err or b"").decode())


    def end(self):
        for p in self.running:
            if p.poll() is None:
                p.kill()
                p.wait()


@pytest.fixture
def tstream(keys_file, authority, tmp_path):
    runner = Runner(keys_file, authority, tmp_path)
    yield runner
    runner.end()


def stats(stderr):
    """The last statistics line as a dictionary."""
    line = [x for x in stderr.splitlines() if " stats " in x][-1]
    words = line.split(" stats ")[1].split(" (")[0].split()
    return {k: float(v) if k in ("gap_s", "lag_s") else int(v)
            for k, v in (w.split("=") for w in words)}


def pytest_configure(config):
    config.addinivalue_line("markers", "torture: takes minutes; make torture")
    config.addinivalue_line("markers", "ports: other processors, built before; "
                            "make check-ports")
    config.addinivalue_line("markers", "kernels: virtual machines; "
                            "make check-kernels")
    config.addinivalue_line("markers", "interop: needs other people's servers "
                            "and npm's packages; make interop")
