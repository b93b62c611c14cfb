"""The manual's recipes: each runs as it stands, and loses nothing."""

import json
import re
import subprocess

import pytest

import test_docs
from peer import Server, scripted
from test_docs import shell, shell_of  # noqa: F401 (a fixture)
from test_stream import stream, wait_until

RECIPES = re.findall(r"^\$ ((?:.*\n)+?)(?=\$ |\Z)",
                     shell_of(test_docs.RECIPES) + "\n", re.M)
LINES = [json.dumps({"data": {"id": str(i), "text": "\u00e4 \" \\ \U0001f600"}},
                    ensure_ascii=i % 2 == 0).encode() for i in range(3000)]
ALL = b"".join(x + b"\n" for x in LINES)


def recipe(word):
    found, = [r for r in RECIPES if word in r]
    return found


@pytest.fixture
def run(shell, context):  # noqa: F811
    """A recipe on a stream of LINES; returns its stdout."""
    def run(command, lines=LINES):
        with Server(scripted(stream(lines)), context) as server:
            p = shell(command, server.url(), len(lines))
        assert p.returncode == 0, p.stderr
        return p.stdout

    return run


def test_all_recipes_are_tried():
    words = ["split", "s6-log", "sqlite3", "redis-cli", "kcat", "tee"]
    assert [w for r in RECIPES for w in words if w in r] == words


def test_split_and_zstd(run, tmp_path):
    assert "-l 1000000 " in recipe("split")
    run(recipe("split").replace("-l 1000000 ", "-l 700 "))
    files = sorted(tmp_path.glob("posts-*.zst"))
    assert len(files) == 5
    parts = [subprocess.run(["zstd", "-dc", f], capture_output=True).stdout
             for f in files]
    assert b"".join(parts) == ALL


@pytest.mark.parametrize("program", ["s6-log", "multilog"])
def test_s6_log_and_multilog(run, tmp_path, program):
    command = recipe("s6-log").replace("s100000000", "s40000")
    if program == "multilog":
        command = command.replace("s6-log -b -l 0", "multilog")
    run(command)
    files = sorted(f for f in (tmp_path / "posts").iterdir()
                   if f.name.startswith("@")) + [tmp_path / "posts/current"]
    assert len(files) > 3
    assert b"".join(f.read_bytes() for f in files) == ALL


def test_sqlite(run, tmp_path):
    run("tstream --v2 >> posts.ndjson")
    for _ in range(2):
        subprocess.run(["sh", "-c", recipe("sqlite3")], cwd=tmp_path, check=True)
    rows = subprocess.run(["sqlite3", tmp_path / "posts.db",
                           "SELECT json FROM posts"], capture_output=True).stdout
    assert rows == ALL * 2


@pytest.fixture
def redis(tmp_path):
    """A client's command; its server listens on a socket alone. The package
    with the name redis-server would start another."""
    path = tmp_path / "redis.sock"
    p = subprocess.Popen(["redis-server", "--port", "0", "--save", "", "--dir",
                          tmp_path, "--unixsocket", path],
                         executable="/usr/bin/redis-check-rdb",
                         stdout=subprocess.DEVNULL)
    wait_until(path.exists)
    yield f"redis-cli -s {path}"
    p.terminate()
    p.wait()


def entries(redis):
    out = subprocess.run(redis.split() + ["--json", "XRANGE", "posts", "-", "+"],
                         capture_output=True, check=True).stdout
    return [fields[1] for _, fields in json.loads(out)]


def test_redis(run, redis):
    run(recipe("redis-cli").replace("redis-cli", redis))
    assert [e.encode() for e in entries(redis)] == LINES


def test_four_partitions_into_one_redis(shell, redis, context):  # noqa: F811
    """Each message once, though every connection is cut in the middle."""
    parts = [LINES[i::4] for i in range(4)]
    begun = {}

    def serve(connection):
        request = connection.request()
        i = int(re.search(r"[?&]partition=(\d)", request.target)[1]) - 1
        half = len(parts[i]) // 2
        lines = parts[i][half:] if i in begun else parts[i][:half]
        begun[i] = True
        connection.send(stream(lines))

    command = " & ".join(
        recipe("redis-cli").replace("redis-cli", redis).strip()
        .replace("--v2", f"--v2 -p partition={i + 1}")
        for i in range(4)) + " & wait"
    with Server(serve, context) as server:
        p = shell(command, server.url(), len(parts[0]))
    assert p.returncode == 0 and len(begun) == 4, p.stderr
    assert sorted(e.encode() for e in entries(redis)) == sorted(LINES)


def test_kcat(run):
    """Against the cluster that librdkafka plays; each delivery is told."""
    said = run(recipe("kcat").strip().replace("-b kafka.example", "-b x -v -v "
               "-v -X test.mock.num.brokers=1") + " 2>&1", LINES[:100])
    assert len(re.findall(r"Message delivered", said)) == 100


def test_tee_and_jq(run, tmp_path):
    assert run(recipe("tee")) == "\u00e4 \" \\ \U0001f600\n" * 3000
    assert (tmp_path / "posts.ndjson").read_bytes() == ALL
