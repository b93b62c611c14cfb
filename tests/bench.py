"""`make bench`: tstream against its peers, side by side, as ratios of CPU time.

The workload is shaped like v1.1 tweets: BENCH_MB (1024) of them over TLS 1.2 on
loopback. Server and reader run on one core, the client on the other. Peers that
only filter or parse slowly get a sixteenth of the bytes."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peer

BUILD = pathlib.Path("build/tests")
MB = int(os.environ.get("BENCH_MB", "1024"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
MODULES = pathlib.Path("build/interop/node_modules")
NPM = ("twit", "twitter-api-v2")  # as tests/interop/package-lock.json has them
COUNTED = ("tweepy", *NPM)  # they hand out every message
BYE = b'{"disconnect":{"code":9}}\n'
# As real ones: 5.3 KB a line, some 270 characters of it as \uXXXX.
WESTERN = ("der die und Köln Grüße weather snow café naïve сегодня RT @someone "
           "https://t.co/abcdefghij #tag 🎈 ❤️ und so weiter").split()
EASTERN = ("今日はとても良い天気ですね 新しい写真を投稿しました ありがとうございます @someone "
           "วันนี้อากาศดีมาก 오늘은날씨가정말좋네요 https://t.co/abcdefghij #データ 🎈").split()


def user(rng, words):
    name = rng.choice(words)
    return {
        "id": rng.getrandbits(40), "id_str": str(rng.getrandbits(40)),
        "name": name, "screen_name": "user%d" % rng.getrandbits(30),
        "location": rng.choice(words), "url": None, "protected": False,
        "description": " ".join(rng.choices(words, k=140 // len(words))),
        "verified": False,
        "followers_count": rng.randrange(9999), "friends_count": 262,
        "listed_count": 0, "favourites_count": 235, "statuses_count": 1769,
        "created_at": "Sat Feb 16 13:40:25 +0000 2013", "utc_offset": None,
        "time_zone": None, "geo_enabled": False, "lang": "en",
        "contributors_enabled": False, "is_translator": False,
        "profile_background_color": "C0DEED",
        "profile_background_image_url":
            "http://abs.twimg.com/images/themes/theme1/bg.png",
        "profile_background_image_url_https":
            "https://abs.twimg.com/images/themes/theme1/bg.png",
        "profile_background_tile": False, "profile_link_color": "0084B4",
        "profile_image_url": "http://pbs.twimg.com/profile_images/%d/x_normal"
                             ".jpeg" % rng.getrandbits(60),
        "profile_image_url_https": "https://pbs.twimg.com/profile_images/%d/"
                                   "x_normal.jpeg" % rng.getrandbits(60),
        "profile_sidebar_border_color": "C0DEED",
        "profile_sidebar_fill_color": "DDEEF6", "profile_text_color": "333333",
        "profile_use_background_image": True, "default_profile": True,
        "default_profile_image": False, "following": None,
        "follow_request_sent": None, "notifications": None}


def tweet(rng, words, inner=True):
    n = rng.getrandbits(60)
    t = {"created_at": "Sun Aug 31 00:29:15 +0000 2014", "id": n,
         "id_str": str(n),
         "text": " ".join(rng.choices(words, k=180 // len(words))),
         "source": "<a href=\"http://twitter.com/download/iphone\" "
                   "rel=\"nofollow\">Twitter for iPhone</a>",
         "truncated": False, "in_reply_to_status_id": None,
         "in_reply_to_status_id_str": None, "in_reply_to_user_id": None,
         "in_reply_to_user_id_str": None, "in_reply_to_screen_name": None,
         "user": user(rng, words), "geo": None, "coordinates": None, "place": None,
         "contributors": None, "retweet_count": 0, "favorite_count": 0,
         "entities": {"hashtags": [{"text": "tag", "indices": [3, 7]}],
                      "symbols": [], "urls": [], "user_mentions": [
             {"screen_name": "someone", "name": rng.choice(words),
              "id": 866260188, "id_str": "866260188", "indices": [0, 9]}]},
         "favorited": False, "retweeted": False, "filter_level": "medium",
         "lang": "de", "timestamp_ms": "1409444955657"}
    if inner:
        t["retweeted_status"] = tweet(rng, words, False)
    return t


def workload(folder):
    """About 8 MB of messages: 97% tweets, 1% limit, 2% delete."""
    rng = random.Random(8)
    objects = []
    for i in range(1500):
        objects.append({"limit": {"track": i}} if i % 100 == 50 else
                       {"delete": {"status": {"id": i, "user_id": 3}}}
                       if i % 50 == 7 else
                       tweet(rng, rng.choice((WESTERN, EASTERN)), i % 8 != 0))
    for name, ascii_only in (("escaped", True), ("raw", False)):
        lines = [json.dumps(o, separators=(",", ":"),
                            ensure_ascii=ascii_only).encode() for o in objects]
        (folder / name).write_bytes(b"".join(x + b"\n" for x in lines))
        if ascii_only:
            (folder / "chunks").write_bytes(b"".join(
                peer.chunk(x + b"\r\n") for x in lines))
    return folder / "chunks"


class Bench:
    def __init__(self, folder, chunks):
        self.folder = folder
        self.authority = peer.Authority(folder)
        self.pem = self.authority.server(kind=2048)
        self.keys = folder / "keys"
        self.keys.write_text(peer.keys_text())
        self.keys.chmod(0o600)
        self.chunks = chunks
        self.block = (folder / "escaped").read_bytes()

    def serve(self, size):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        p = subprocess.Popen(["taskset", "-c", "0", BUILD / "bench_server",
                              self.pem, str(self.port), self.chunks, str(size)],
                             stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"
        return p

    def command(self, name):
        url = f"https://localhost:{self.port}/x"
        curl = ["curl", "-sN", "--cacert", self.authority.file, url]
        return {
            "tstream": [sys.argv[1], "-q", "-d", "300", "-k", self.keys, "--cafile",
                        self.authority.file, "-u", url],
            "curl": curl,
            "curl | jq": ["sh", "-c", '"$@" | jq -c "select(.text)"', "sh", *curl],
            "floor": [BUILD / "bench_floor", str(self.port), self.authority.file],
            "floor, written": [BUILD / "bench_floor", str(self.port),
                               self.authority.file, "-"],
            **{npm: ["env", f"NODE_EXTRA_CA_CERTS={self.authority.file}",
                     f"NODE_PATH={MODULES}", "NODE_NO_WARNINGS=1", "node",
                     "tests/bench_npm.js", npm, url] for npm in NPM},
            "tweepy": ["/usr/bin/python3", "tests/bench_tweepy.py", url,
                       self.authority.file],
            "python": ["/usr/bin/python3", "tests/bench_original.py", url,
                       self.authority.file],
        }[name]

    def run(self, name, size, reader=("cat",)):
        """CPU seconds per GB of the client and its children; what the reader of
        its output said."""
        server = self.serve(size)
        r, w = os.pipe()
        drain = subprocess.Popen(
            ["taskset", "-c", "0", *reader], stdin=r,
            stdout=subprocess.DEVNULL if reader[0] == "cat" else subprocess.PIPE)
        os.close(r)
        client = subprocess.Popen(["taskset", "-c", "1", *self.command(name)],
                                  stdout=w)
        os.close(w)
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = status
        said = drain.communicate()[0]
        server.kill()
        server.wait()
        assert status == 0, (name, status)
        sent = self.blocks(size) * len(self.block)
        return (usage.ru_utime + usage.ru_stime) / (sent / 1e9), said

    def blocks(self, size):
        """How many blocks the server sends for size."""
        return -(-size // self.chunks.stat().st_size)

    def check_bytes(self, name, size):
        """The client writes just what was sent."""
        want = hashlib.sha256()
        for _ in range(self.blocks(size)):
            want.update(self.block)
        want.update(BYE)
        _, said = self.run(name, size, ["sha256sum"])
        assert said.split()[0].decode() == want.hexdigest(), name

    def check_count(self, name):
        """The client writes as many messages as were sent."""
        _, said = self.run(name, 1, ["wc", "-l"])
        assert int(said) == self.block.count(b"\n") + 1, (name, said)

    def latency(self, name):
        """Microseconds from the server's send to the reader, 1,000 messages."""
        server = self.serve(0)
        client = subprocess.Popen(["taskset", "-c", "1", *self.command(name)],
                                  stdout=subprocess.PIPE, bufsize=0)
        took = []
        os.sched_setaffinity(0, {0})
        for line in client.stdout:
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if b'"ns"' in line:
                took.append((now - json.loads(line)["ns"]) / 1000)
        os.sched_setaffinity(0, {0, 1})
        client.wait()
        server.kill()
        server.wait()
        took.sort()
        return took[len(took) // 2], took[len(took) * 99 // 100]

    def start(self, name):
        """Milliseconds from exec to the first byte of output."""
        server = self.serve(1)
        times = []
        for _ in range(15):
            begin = time.monotonic()
            client = subprocess.Popen(self.command(name), bufsize=0,
                                      stdout=subprocess.PIPE)
            while b"{" not in client.stdout.read(65536):
                pass
            times.append((time.monotonic() - begin) * 1000)
            client.kill()
            client.communicate()
        server.kill()
        server.wait()
        return statistics.median(times)

    def memory(self, size, piped=False):
        """Peak KiB when about all of size bytes have been handed on."""
        server = self.serve(-size)
        drain = subprocess.Popen(["taskset", "-c", "0", "cat"],
                                 stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL)
        client = subprocess.Popen(
            ["taskset", "-c", "1", *self.command("tstream")],
            stdout=drain.stdin if piped else subprocess.DEVNULL)
        proc, written = pathlib.Path(f"/proc/{client.pid}"), 0
        while written < size * 99 // 100 - 65536:  # framing; a line that is cut
            time.sleep(0.01)
            written = int((proc / "io").read_text().split("wchar: ")[1].split()[0])
        status = (proc / "status").read_text()
        client.kill()
        client.wait()
        drain.communicate()
        server.kill()
        server.wait()
        return int(status.split("VmHWM:")[1].split()[0])


def row(what, goal, values):
    print(f"| {what:<44} | {goal:>8} | {values:>34} |", flush=True)


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def lacks(name):
    """Why a peer cannot be run, or None."""
    if name == "curl | jq" and not shutil.which("jq"):
        return "no jq"
    if name in NPM and not (MODULES / name / "package.json").exists():
        return "npm did not install it"
    return None


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench = Bench(folder, workload(folder))
        size = MB << 20
        bench.check_bytes("tstream", 64 << 20)
        print("output equals what was sent, by SHA-256\n")
        row("CPU s per GB, median (least-most)", "goal", "measured")
        for name, bytes_, goal in (("curl", size, 0.70), ("floor", size, 1.8),
                                   ("floor, written", size, None),
                                   ("curl | jq", size // 16, 1 / 25),
                                   ("python", size // 16, 1 / 15),
                                   *((x, size // 16, None) for x in COUNTED)):
            if lacks(name):
                row(f"tstream / {name}", "-", f"skipped: {lacks(name)}")
                continue
            if name in COUNTED:
                bench.check_count(name)
            mine, theirs = [], []
            for _ in range(PAIRS):
                theirs.append(bench.run(name, bytes_)[0])
                mine.append(bench.run("tstream", bytes_)[0])
            ratios = [a / b for a, b in zip(mine, theirs)]
            row(f"  {name}", "", spread(theirs))
            row(f"  tstream beside it", "", spread(mine))
            row(f"tstream / {name}", f"{goal:.2f}" if goal else "-",
                spread(ratios))
        for kind in ("raw", "escaped"):
            a = subprocess.run([BUILD / "bench_scan", folder / kind],
                               capture_output=True, text=True).stdout.strip()
            row(f"json_scan, {kind}, GB/s", "3.0" if kind == "raw" else "2.5", a)
            if (BUILD / "bench_simdjson").exists():
                b = subprocess.run([BUILD / "bench_simdjson", folder / kind],
                                   capture_output=True, text=True).stdout.strip()
                row(f"simdjson's DOM, {kind}, GB/s", "<= ours", b)
        row("peak KiB, 1 MB of stream", "2048", str(bench.memory(1 << 20)))
        row(f"peak KiB, {MB} MiB of stream", "the same",
            str(bench.memory(size)))
        row("the same, held for a reader that lags", "-",
            str(bench.memory(size, True)))
        row("start to first message, ms", "20", f"{bench.start('tstream'):.1f}")
        row("  curl's", ">= ours", f"{bench.start('curl'):.1f}")
        ways = {"tstream": [], "curl": []}
        for _ in range(7):
            for name, way in ways.items():
                way.append(bench.latency(name))
        for name, way in ways.items():
            row(f"message's way, us: {name}", "<= curl",
                "median %.0f, 99%% %.0f" % tuple(map(statistics.median, zip(*way))))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
