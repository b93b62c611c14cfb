"""`make demo`: a local HTTPS server that speaks the streaming protocol, and
tstream streaming from it for 15 seconds. What tstream writes to stdout and
stderr is shown as it comes; lines of the server begin with #. At the end what
the server sent and what tstream's report says it got are compared."""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import peer

TWEETS = [
    ("Grüße aus Köln! Der Rhein führt wieder mehr Wasser. 🌊", "ana_kln", "de"),
    ("Just landed in Zürich – snow everywhere ❄️", "flying_fin", "en"),
    ("El café de la esquina abrió de nuevo ☕", "mateo", "es"),
    ("今日はいい天気ですね", "hana", "ja"),
    ("Quote of the day: \"Read the RFC first.\"\n\t— my old boss", "netdev", "en"),
    ("Wahlabend im Newsroom, es wird eine lange Nacht #wahl", "redaktion", "de"),
    ("Lost a \\ in my regex, found a weekend \U0001f600", "perl_monk", "en"),
    ("Ça y est, le train est à l'heure !", "lea", "fr"),
    ("Наконец-то снег", "olga", "ru"),
    ("Dataset is up: 55,420 limit notices, four counters", "ling_lab", "en"),
]


def tweet(n):
    text, user, lang = TWEETS[n % len(TWEETS)]
    # every second one escaped as Twitter did it, the others in UTF-8
    return json.dumps({
        "created_at": time.strftime("%a %b %d %H:%M:%S +0000 %Y", time.gmtime()),
        "id": 1_000_000_000_000_000_000 + n, "text": text,
        "user": {"screen_name": user}, "lang": lang,
    }, ensure_ascii=n % 2 == 0, separators=(",", ":")).encode()


def say(text):
    print(f"# server: {text}", file=sys.stderr, flush=True)


class Service:
    def __init__(self):
        self.validator = peer.Validator(peer.KEYS)
        self.sent = collections.Counter()

    def send(self, c, kind, line):
        c.send(peer.chunk(line + b"\r\n"))
        self.sent[kind] += 1

    def __call__(self, c):
        request = c.request()
        if request is None:
            return
        if not request.is_signed(self.validator):
            say("signature refused")
            c.send(peer.response(b"401 Unauthorized", b"bad signature"))
            return
        self.sent["connects"] += 1
        say(f"{request.method} {request.target} {request.body.decode()}")
        say("signature verified by oauthlib; the stream begins")
        c.send(peer.HEAD)
        limits = iter([(7, 3), (9, 5)])
        first = self.sent["connects"] == 1
        for i in range(12 if first else 8):
            time.sleep(0.5)
            self.send(c, "tweets", tweet(self.sent["tweets"]))
            if i % 4 == 2:
                self.send(c, "keepalives", b"")
            if i % 5 == 3:
                for track in next(limits, ()):
                    self.send(c, "notices", b'{"limit":{"track":%d}}' % track)
        if first:
            say("sends a disconnect message and closes")
            self.send(c, "notices", b'{"disconnect":{"code":4,"reason":"stall"}}')
            c.wait_closed()
        else:
            say("stays silent; tstream stops by itself (-d)")
            c.wait_closed(60)


def compare(sent, report):
    """Say what was sent and what came; True if it is the same."""
    came = {kind: report[kind] for kind in sent}
    say("sent     " + ", ".join(f"{n} {kind}" for kind, n in sent.items()))
    say("tstream  " + ", ".join(f"{n} {kind}" for kind, n in came.items()))
    say("these are equal" if came == sent else "THESE DIFFER")
    return came == sent


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        authority = peer.Authority(folder)
        keys = folder / "keys.yaml"
        keys.write_text(peer.keys_text())
        keys.chmod(0o600)
        context = peer.tls_context(authority.server())
        service = Service()
        with peer.Server(service, context) as server:
            url = server.url("/1.1/statuses/filter.json")
            say(f"listens at {url}, TLS by OpenSSL")
            command = [sys.argv[1], "-k", str(keys), "--cafile",
                       str(authority.file), "-u", url, "-t", "wahl,snow,café",
                       "-d", "15", "--report", str(folder / "report.json")]
            say("runs " + " ".join(command))
            status = subprocess.run(command).returncode
        report = json.loads((folder / "report.json").read_text())
        return status if compare(dict(service.sent), report) else 1


if __name__ == "__main__":
    sys.exit(main())
