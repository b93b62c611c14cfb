"""tstream@.service, as systemd judges it and as it runs it: a container of
systemd's own, with this machine's /usr and nothing else of it."""

import json
import os
import re
import subprocess

import pytest

import peer
from conftest import ROOT
from peer import Server, chunk, response, scripted
from test_stream import joined, stream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

LINES = [b'{"text":"%d"}' % i for i in range(6)]


@pytest.fixture
def prefix(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}/root"],
                   cwd=ROOT, check=True, capture_output=True)
    return tmp_path / "root/usr/local"


def test_systemd_finds_no_fault(prefix):
    unit = prefix / "lib/systemd/system/tstream@.service"
    unit.write_text(unit.read_text().replace("/usr/local", str(prefix)))
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit],
                       capture_output=True, text=True)
    assert (p.returncode, p.stderr) == (0, "")
    p = subprocess.run(["systemd-analyze", "security", "--offline=yes", unit],
                       capture_output=True, text=True)
    level = re.search(r"exposure level .*: ([\d.]+)", p.stdout)
    assert float(level[1]) < 1.5


# The container's one unit runs SCRIPT and ends the container.
DRIVER = """
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/sh -ex /mnt/script
StandardError=append:/mnt/trace
TimeoutStartSec=60
ExecStopPost=/bin/systemctl --no-block exit 0
"""
SCRIPT = """
cd /mnt
mkdir -p /etc/tstream
cp x.conf x.keys /etc/tstream
show() { systemctl show -P $1 tstream@x; }
when() { until "$@"; do sleep 0.05; done; }  # nothing tells of these
is() { [ "$(show $1)" = "$2" ]; }
has() { [ "$(cat $1 | wc -l)" = $2 ]; }
state=/var/lib/private/tstream/x
%s
for p in ActiveState Result ExecMainStatus ExecMainCode NRestarts; do
    echo "$p $(show $p)"
done >shown
journalctl --flush || true
journalctl -o json --no-pager -u tstream@x >journal
"""


@pytest.fixture
def run(prefix, tmp_path):
    """Run a script in a container; returns what systemctl shows of the unit,
    and the messages of its journal with their priorities."""
    mnt, units = tmp_path / "mnt", tmp_path / "units"
    mnt.mkdir(exist_ok=True)
    units.mkdir()
    (units / "driver.service").write_text(DRIVER)
    # a test does not wait for half a minute
    (units / "tstream@x.service.d").mkdir()
    (units / "tstream@x.service.d/fast.conf").write_text(
        "[Service]\nRestartSec=100ms\n")
    (mnt / "x.keys").write_text(peer.keys_text())
    (mnt / "x.keys").chmod(0o600)

    def run(options, script):
        (mnt / "x.conf").write_text(f"OPTIONS={options}\n")
        (mnt / "script").write_text(SCRIPT % script)
        p = subprocess.run(
            ["systemd-nspawn", "-D", "/", "--volatile=yes", "--register=no",
             "--keep-unit", "--boot", "--console=pipe", f"--bind={mnt}:/mnt",
             f"--bind-ro={units}:/run/systemd/system",
             f"--bind-ro={prefix}:/usr/local", "systemd.unit=driver.service"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)
        if not (mnt / "trace").exists():
            pytest.skip("systemd-nspawn cannot boot here: " + p.stderr[-300:])
        assert (mnt / "shown").exists(), (mnt / "trace").read_text()[-3000:]
        shown = dict(x.split() for x in (mnt / "shown").read_text().splitlines())
        journal = [json.loads(x)
                   for x in (mnt / "journal").read_text().splitlines()]
        return shown, [(int(e["PRIORITY"]), e["MESSAGE"]) for e in journal
                       if e.get("_COMM") == "tstream"]

    return run


def test_a_refusal_is_not_tried_again(run):
    with Server(scripted(response(b"401 Unauthorized", b"no"))) as server:
        shown, log = run(f"-u {server.url(host='127.0.0.1')}",
                         "systemctl start tstream@x || :; when is ActiveState failed")
        assert server.accepted == 1
    assert shown == {"ActiveState": "failed", "Result": "exit-code",
                     "ExecMainStatus": "1", "ExecMainCode": "1",
                     "NRestarts": "0"}
    assert [m for p, m in log if p == 3 and "401" in m]
    # the journal has times and a name of its own
    assert not [m for _, m in log if m.startswith(("2", "<", "tstream"))]


def test_a_bad_option_is_not_tried_again(run):
    """It may end before systemctl has been told that it started."""
    shown, _ = run("--nonsense",
                   "systemctl start tstream@x || :; when is ActiveState failed")
    assert (shown["ExecMainStatus"], shown["NRestarts"]) == ("2", "0")


def test_without_its_keys_it_is_not_tried_again(run):
    shown, _ = run("", "rm /etc/tstream/x.keys; systemctl start tstream@x || :; "
                       "when is ActiveState failed")
    assert (shown["ExecMainStatus"], shown["NRestarts"]) == ("243", "0")


def test_reload_opens_a_new_file_and_stop_is_no_failure(run, tmp_path):
    """A day's file is put away in mid-stream: each message is in one of both."""
    def serve(connection):
        connection.request()
        connection.send(stream(LINES[:3]))
        (tmp_path / "mnt/go").read_text()  # a FIFO
        connection.send(b"".join(chunk(x + b"\r\n") for x in LINES[3:]))
        connection.wait_closed()

    (tmp_path / "mnt").mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "mnt/go")
    with Server(serve) as server:
        shown, log = run(f"-u {server.url(host='127.0.0.1')}", """
systemctl start tstream@x
when has "$state/*.ndjson" 3
for f in $state/*.ndjson; do mv $f $f.old; done
systemctl reload tstream@x
echo >go
when has "$state/*.ndjson*" 6
systemctl stop tstream@x
cat $state/*.ndjson.old >old
cat $state/*.ndjson >new
cp $state/report.json report
stat -c %a $state/*.ndjson >mode""")
    old, new = ((tmp_path / "mnt" / x).read_bytes() for x in ("old", "new"))
    assert new and old + new == joined(LINES)
    assert shown["Result"] == "success" and shown["NRestarts"] == "0"
    assert json.loads((tmp_path / "mnt/report").read_text())["tweets"] == 6
    assert (tmp_path / "mnt/mode").read_text() == "640\n"
    assert {p for p, _ in log} == {6}


def test_a_full_disk_is_tried_again(run, tmp_path):
    """Until there is room; whole lines alone are there at any time."""
    big = b'{"text":"%s"}' % (b"x" * 5000)
    with Server(scripted(stream([big] * 4))) as server:
        shown, log = run(f"-u {server.url(host='127.0.0.1')} -c 4", """
mkdir -p $state
mount -t tmpfs -o size=16k,mode=750 tmpfs $state
systemctl start tstream@x
when is NRestarts 2
show ExecMainStatus >status
cat $state/*.ndjson >full || :
mount -o remount,size=1m $state
when is ActiveState inactive
cat $state/*.ndjson >all""")
    full, everything = ((tmp_path / "mnt" / x).read_bytes()
                        for x in ("full", "all"))
    assert (tmp_path / "mnt/status").read_text() in ("3\n", "0\n")
    assert set(full.splitlines() + everything.splitlines()) == {big}
    assert everything.count(b"\n") > 4 and shown["Result"] == "success"
    assert [m for p, m in log if p == 3 and "No space" in m]
