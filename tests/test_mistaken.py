"""One thing must not be taken for another: an attempt's certificate for the
next one's, somebody's file for the report's own."""

import json
import re
import subprocess
import threading

import pytest

import peer
from conftest import clean_environment
from peer import HEAD, Server, chunk


def test_N2_lost_network_after_an_expired_certificate(tstream, authority):
    """A stream, then an expired certificate (waits as 503: 5 s), then nobody
    listens: that is the network's row, the second such failure waits 500 ms."""
    fine = peer.tls_context(authority.server())
    expired = peer.tls_context(authority.server(days=(-9, -2)))
    streamed = threading.Event()

    def handle(connection):
        connection.request()
        connection.send(HEAD + chunk(b'{"text":"x"}\r\n') + b"0\r\n\r\n")
        streamed.set()
        server.context = expired  # for all connections that follow

    with Server(handle, fine) as server:
        p = tstream.start("-u", server.url(), "-d", "8")
        told = []
        for line in p.stderr:
            told += re.findall(r"next attempt in ([0-9.]+) s", line.decode())
            if len(told) == 2:
                break
    # nobody listens any more
    for line in p.stderr:
        told += re.findall(r"next attempt in ([0-9.]+) s", line.decode())
        if len(told) == 3:
            break
    p.terminate()
    p.communicate()
    assert streamed.is_set() and told == ["0.25", "5", "0.5"]


@pytest.mark.parametrize("role", ["stdout", "-n"])
def test_E8_the_file_beside_the_report(tstream, tmp_path, role):
    """The report is written as FILE.tmp first: that must not be the output."""
    taken = tmp_path / "r.tmp"
    taken.write_text("old\n")
    args = ["--report", tmp_path / "r"]
    with Server(lambda connection: None) as server, open(taken, "ab") as out:
        p = subprocess.run(
            tstream.command("-u", server.url(), "-d", "1", *args,
                            *(["-n", taken] if role == "-n" else [])),
            stdout=out if role == "stdout" else subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=clean_environment(), timeout=20)
        assert server.accepted == 0
    assert p.returncode == 2 and b"are the same file" in p.stderr
    assert taken.read_text() == "old\n" and not (tmp_path / "r").exists()


def test_E8_a_link_beside_the_report(tstream, tmp_path):
    """What others have put there is not followed."""
    (tmp_path / "theirs").write_text("old\n")
    (tmp_path / "r.tmp").symlink_to("theirs")
    with Server(lambda connection: None) as server:
        tstream("-u", server.url(), "-d", "1", "--report", tmp_path / "r")
    assert json.loads((tmp_path / "r").read_text())["connects"] == 0
    assert (tmp_path / "theirs").read_text() == "old\n"
