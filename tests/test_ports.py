"""Other processors, by qemu-user: the pure rooms before the judges of
test_rooms.py, the binary before the server of test_stream.py. make check-ports
builds what is tried. qemu-user knows no seccomp and no Landlock: see
test_kernels.py."""

import inspect
import os
import re
import subprocess

import pytest

import test_rooms
import test_rows
import test_stream
from conftest import ROOT, Runner, clean_environment
from peer import Server, scripted
from test_stream import any_context  # noqa: F401

pytestmark = pytest.mark.ports
# Debian's names, and what qemu and readelf call them.
PORTS = {"arm64": ("aarch64", "AArch64", 64), "armhf": ("arm", "ARM", 32),
         "armel": ("arm", "ARM", 32), "i386": ("i386", "Intel 80386", 32),
         "riscv64": ("riscv64", "RISC-V", 64),
         "mipsel": ("mipsel", "MIPS R3000", 32),
         "ppc64el": ("ppc64le", "PowerPC64", 64),
         "s390x": ("s390x", "IBM S/390", 64)}


@pytest.fixture(scope="module", params=os.environ.get("PORTS", "").split())
def port(request):
    return request.param


@pytest.fixture(scope="module")
def emulator(port):
    return ["qemu-" + PORTS[port][0]]


@pytest.fixture
def tstream(port, emulator, keys_file, authority, tmp_path):
    runner = Runner(keys_file, authority, tmp_path)
    runner.binary = [*emulator, str(ROOT / f"tstream-{port}")]
    yield runner
    runner.end()


@pytest.fixture(scope="module")
def probe(port, emulator):
    p = test_rooms.Probe(ROOT / f"build/{port}/tests/probe", emulator)
    yield p
    p.p.stdin.close()
    assert p.p.wait() == 0


def test_static_pie(port):
    binary = ROOT / f"tstream-{port}"
    head = subprocess.run(["readelf", "-hlW", binary], check=True, text=True,
                          capture_output=True).stdout
    assert re.search(r"Type: +DYN", head) and "INTERP" not in head
    assert re.search(r"Machine: +(.*)", head)[1] == PORTS[port][1]
    assert re.search(r"Class: +ELF(\d+)", head)[1] == str(PORTS[port][2])
    assert re.search(r"GNU_STACK.* RW +0x", head) and "GNU_RELRO" in head
    # ppc64el's pages of 64 KiB leave 45 KB between code and data
    assert binary.stat().st_size < (576 if port == "ppc64el" else 512) * 1024


def test_readme_has_its_size(port):
    """To a hundredth: another compiler of the same Debian may differ."""
    size = re.search(rf"^    {port} +([\d,]+)", (ROOT / "README").read_text(), re.M)
    now = (ROOT / f"tstream-{port}").stat().st_size
    assert abs(int(size[1].replace(",", "")) - now) < now / 100, now


def test_unit(port, emulator):
    p = subprocess.run([*emulator, ROOT / f"build/{port}/tests/unit"], text=True,
                       capture_output=True)
    assert p.returncode == 0, p.stdout + p.stderr
    assert int(re.search(r"PASSED  \] (\d+)", p.stderr + p.stdout)[1]) > 20


def takes(module, *names):
    """The tests of a module that take these fixtures and no parameters."""
    return [f for name, f in vars(module).items() if name.startswith("test_")
            and tuple(inspect.signature(f).parameters) == names]


@pytest.mark.parametrize("judge", takes(test_rooms, "probe"))
def test_rooms_by_their_judges(probe, judge):
    judge(probe)


@pytest.mark.parametrize("n", [2**32, 2**64 - 1])
def test_counters(port, emulator, monkeypatch, n, tmp_path):
    run = subprocess.run

    def here(words, **how):
        return run([*emulator, ROOT / f"build/{port}/tests/counters", *words[1:]],
                   **how)

    monkeypatch.setattr(subprocess, "run", here)
    test_rows.test_M5_counters_are_told_whole(n, tmp_path)


def test_version(port, emulator):
    p = subprocess.run([*emulator, ROOT / f"tstream-{port}", "-V"], text=True,
                       capture_output=True, env=clean_environment())
    assert p.returncode == 0 and "musl" in p.stdout, p.stderr


@pytest.mark.parametrize("case", [
    test_stream.test_signature_is_valid_and_fresh,
    test_stream.test_H1_S11_messages_in_order,
    test_stream.test_K5_every_message_once_over_reconnects,
    test_stream.test_slow_reader_loses_nothing,
    test_stream.test_notices_file,
    test_stream.test_T4_unknown_authority,
    test_stream.test_built_in_roots_do_not_trust_the_test,
    test_stream.test_D1_no_such_host,
    test_rows.test_M5_withheld_near_its_limit])
def test_stream_cases(request, tstream, any_context, case):  # noqa: F811
    names = inspect.signature(case).parameters
    if "any_context" not in names and any_context is None:
        pytest.skip("it is the same with both")
    case(**{n: request.getfixturevalue(n) for n in names})


@pytest.mark.parametrize("size", ["3G", "5G", "1000G"])
def test_buffer_beyond_the_address_space(tstream, size):
    """What cannot be had is halved until it can, and said."""
    with Server(scripted(test_stream.stream([b'{"text":"a"}'])
                         + test_stream.BYE)) as server:
        p = tstream("-u", server.url(), "--buffer", size)
    assert p.returncode == 0 and p.stdout.startswith(b'{"text":"a"}\n')
    limit = re.search(r"at most (\d+) bytes are held", p.stderr)
    assert limit is None or int(limit[1]) < 2**40
