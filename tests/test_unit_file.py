"""tstream@.service, as systemd judges it and as it runs it: a container of
systemd's own, with this machine's /usr and nothing else of it."""

import os
import re
import subprocess

import pytest

import peer
from conftest import ROOT
from peer import Server, response, scripted
from test_stream import stream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# Is run by the container's first unit; a file each is what a test looks at.
SCRIPT = """
cd /mnt
show() { systemctl show -P "$1" tstream@x; }
until_is() { until [ "$(show "$1")" = "$2" ]; do read -r _ <tick; done; }
%s
journalctl -o json --no-pager -u tstream@x >journal
"""


@pytest.fixture
def prefix(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}/root"],
                   cwd=ROOT, check=True, capture_output=True)
    return tmp_path / "root/usr/local"


def test_systemd_finds_no_fault(prefix):
    unit = prefix / "lib/systemd/system/tstream@.service"
    text = unit.read_text().replace("/usr/local", str(prefix))
    unit.write_text(text)
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                       capture_output=True, text=True)
    assert (p.returncode, p.stderr) == (0, "")
    p = subprocess.run(["systemd-analyze", "security", "--offline=yes",
                        "--threshold=15", unit], capture_output=True, text=True)
    level = re.search(r"exposure level .*: ([\d.]+)", p.stdout)
    assert p.returncode == 0 and float(level[1]) < 1.5
