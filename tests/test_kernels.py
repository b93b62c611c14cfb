"""Other processors under real kernels, those of Debian, in virtual machines:
the call lists, Landlock, process 1, and the year 2039. tests/init.c is what the
kernel starts; make check-kernels builds all."""

import os
import re
import shutil
import subprocess

import pytest

import peer
from conftest import ROOT, clean_environment
from test_box import KILLS, TRIALS

pytestmark = pytest.mark.kernels
MACHINES = {
    "arm64": "qemu-system-aarch64 -M virt -cpu cortex-a57",
    "armhf": "qemu-system-arm -M virt",
    "armel": "qemu-system-arm -M virt",
    "i386": "qemu-system-i386 -M pc",
    "mipsel": "qemu-system-mipsel -M malta",
    "ppc64el": "qemu-system-ppc64 -M pseries",
    "s390x": "qemu-system-s390x -M s390-ccw-virtio"}
CONSOLES = {"i386": "ttyS0", "mipsel": "ttyS0", "ppc64el": "hvc0",
            "s390x": "ttysclp0"}
# Debian builds these without Landlock; mmap of s390x has its arguments in memory.
WITHOUT_LANDLOCK = {"mipsel"}
CANNOT = {("mipsel", "names_files"), ("mipsel", "stream_files"),
          ("s390x", "map_code")}


def image(target, folder):
    """An archive of what the machine has: what the kernel unpacks as its root."""
    root = folder / "root"
    for name in ("etc", "files", "out", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(ROOT / f"tstream-{target}", root / "tstream")
    shutil.copy(ROOT / f"build/{target}/tests/sandbox", root / "sandbox")
    shutil.copy(ROOT / f"build/{target}/tests/init", root / "init")
    for name, text in (("etc/hosts", "127.0.0.1 localhost\n"), ("etc/shadow", ""),
                       ("etc/passwd", ""), ("files/secret", "x"), ("keys.yaml", peer.keys_text()),
                       ("trials", "\n".join(TRIALS) + "\n")):
        (root / name).write_text(text)
    names = "\n".join(str(f.relative_to(root)) for f in root.rglob("*"))
    archive = folder / "root.cpio"
    with archive.open("wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, stdout=out,
                       input=names.encode(), check=True)
    return archive


@pytest.fixture(scope="module", params=os.environ.get("KERNELS", "").split())
def console(request, tmp_path_factory):
    """(target, what a machine wrote until its process 1 had ended)."""
    target = request.param
    kernel, = (ROOT / f"build/{target}/kernel/boot").glob("vmlinu[xz]-*")
    say = CONSOLES.get(target, "ttyAMA0")
    p = subprocess.run(
        [*MACHINES[target].split(), "-m", "512", "-nographic", "-no-reboot",
         "-nodefaults", "-serial", "stdio", "-kernel", kernel, "-initrd",
         image(target, tmp_path_factory.mktemp(target)), "-append",
         f"console={say} panic=-1 quiet rdinit=/init"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=800,
        env=clean_environment())
    return target, p.stdout.decode("utf-8", "replace").replace("\r", "") + \
        p.stderr.decode()


def test_sandbox(console):
    target, said = console  # Debian's 6.1 knows no ports
    got = dict(re.findall(r"^trial (\w+): (-?\d+)$", said, re.M))
    assert list(got) == TRIALS, said
    for name, status in got.items():
        want = {"-31", "-12"} if name in KILLS else {"0"}
        if name == "ports" or (target, name) in CANNOT:
            want = {"77"}
        assert status in want, (name, status)


def test_stream_to_files_in_2039(console):
    _, said = console
    assert re.search(r"^child: 0$", said, re.M), said
    files = re.findall(r"^file (\S+): (.*)$", said, re.M)
    assert ("2039.ndjson", '{"text":"a","id":"1"}') in files, said
    assert ("2039.ndjson", '{"limit":{"track":4294967}}') in files
    report, = (text for name, text in files if name == "report.json")
    assert '"withheld":4294967' in report and "2039-01-01T" in report
    assert re.search(r"^2039-01-01T\d\d:\d\d:\d\dZ tstream: ", said, re.M)


def test_calls_are_limited(console):
    target, said = console
    assert "was refused" not in said and "calls cannot be limited" not in said
    assert ("Landlock is missing" in said) == (target in WITHOUT_LANDLOCK)


def test_requests_are_signed(console):
    _, said = console
    validator = peer.Validator(peer.KEYS)
    validator.timestamp_lifetime = 10**9  # it is 2039 there
    lines = re.findall(r"(?:^|gaps)> (.*)$", said, re.M)
    begins = [i for i, x in enumerate(lines) if x.startswith("POST ")]
    assert len(begins) == 2, said
    for text in (lines[:begins[1]], lines[begins[1]:]):
        request = peer.Request("\r\n".join(text[:-1]).encode(), text[-1].encode(),
                               "http")
        assert request.is_signed(validator), text


def test_process_1_ends_by_a_signal(console):
    """The kernel tells the status with which its process 1 ended."""
    _, said = console
    tail = said.split("becoming tstream\n")[1]
    assert '{"text":"a","id":"1"}' in tail and "tweets=1 " in tail, tail
    assert "exitcode=0x00008f00" in tail, tail
