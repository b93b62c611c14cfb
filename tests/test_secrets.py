"""What must never be seen, L6: the room that hides it against Python's encoders
and Unicode tables, and the binary against servers that tell back what they
were sent. And N10: a log that a server cannot fill a disk with."""

import base64
import concurrent.futures
import html
import json
import os
import random
import re
import subprocess
import time
import unicodedata
import urllib.parse

import pytest

from conftest import stats
from peer import HEAD, Server, chunk, response, scripted
from test_rooms import Probe
from test_stream import BYE, stream, tweets

# The room -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probe():
    p = Probe()
    yield p
    p.p.stdin.close()
    assert p.p.wait() == 0, "a sanitizer stopped the probe"


def question(mode, secrets, text):
    return (mode + b"".join(s.encode() + b"\0" for s in secrets) + b"\0" + text)


def shown(probe, secrets, text, mode=b"p"):
    return bytes.fromhex(probe("x", question(mode, secrets, text)))


def php(s):
    """json_encode of PHP."""
    return json.dumps(s)[1:-1].replace("/", "\\/")


def all_unicode(s):
    units = s.encode("utf-16-be").hex()
    return "".join("\\u" + units[i:i + 4] for i in range(0, len(units), 4))


def upper(s):
    return re.sub(r"\\u[0-9a-f]{4}|%[0-9a-f]{2}",
                  lambda m: m[0][:2] + m[0][2:].upper(), s)


def every_byte(s):
    return "".join(f"%{b:02x}" for b in s.encode())


def quoted(s):
    return urllib.parse.quote(s, safe="")


WAYS = {
    "as it is": lambda s: s,
    "other case": lambda s: "".join(c.swapcase() if c.isascii() else c for c in s),
    "json.dumps": lambda s: json.dumps(s)[1:-1],
    "json.dumps, UTF-8": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "PHP": php,
    "all \\u": all_unicode,
    "all \\U": lambda s: upper(all_unicode(s)),
    "quote": quoted,
    "quote, lower": lambda s: re.sub("%..", lambda m: m[0].lower(), quoted(s)),
    "quote_plus": urllib.parse.quote_plus,
    "every byte": every_byte,
    "quote twice": lambda s: quoted(quoted(s)),
    "quote, then PHP": lambda s: php(quoted(s)),
    "quote, then all \\u": lambda s: all_unicode(quoted(s)),
    "PHP, then quote": lambda s: quoted(php(s)),
    "all \\u, then quote": lambda s: quoted(all_unicode(s)),
    "HTML": html.escape,
    "HTML, then PHP": lambda s: php(html.escape(s)),
    "HTML, decimal": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "HTML, hexadecimal": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "all \\x": lambda s: "".join(f"\\x{b:02x}" for b in s.encode()),
}
ALPHABETS = ["abcdefghijklmnopqrstuvwxyz0123456789",
             "ABCXYZabcxyz019-_.", "AZaz09+/=", "aA0%25/\\\"+ ~'&=",
             "aäßπ漢\U0001f600 /", "aaab"]


def random_secrets(seed, n):
    r = random.Random(seed)
    for _ in range(n):
        alphabet = r.choice(ALPHABETS)
        yield "".join(r.choice(alphabet) for _ in range(r.choice(
            (4, 5, 8, 20, 50, 120, 1023))))


def runs(secret):
    """All pieces of 8 bytes, or the secret if it is shorter."""
    n = min(8, len(secret))
    return {secret[i:i + n] for i in range(len(secret) - n + 1)}


@pytest.mark.parametrize("way", WAYS)
def test_L6_hidden_in_any_form(probe, way):
    """Between other text nothing but (secret) is left, the text around it is
    not touched, and it takes no time to speak of."""
    for secret in random_secrets(way, 60):
        # stripped: ='s at the end are padding, blanks are trimmed from values
        secret = secret.strip(" =") + "x"
        if len(secret) < 4:
            continue
        coded = WAYS[way](secret).encode()
        got = shown(probe, ["-", secret], b"<<" + coded + b">>")
        assert got == b"<<(secret)>>", (secret, coded)
        if len(urllib.parse.unquote(secret).encode()) >= 8:
            assert shown(probe, [secret], b"<" + coded + b">", b"h") == \
                b"<(secret)>"


@pytest.mark.parametrize("way", WAYS)
def test_L6_cut_off(probe, way):
    """Cut at every byte, at most 7 bytes are seen, whatever is undone."""
    for secret in ("AAAA0123456789-bearer/token", "it's \"open\" \\ ünd / so"):
        coded = WAYS[way](secret).encode()
        for n in range(len(coded)):
            got = shown(probe, ["ab", secret], b"<" + coded[:n]).decode(
                "utf-8", "replace")
            for undo in (got, urllib.parse.unquote(got),
                         urllib.parse.unquote_plus(got),
                         urllib.parse.unquote(urllib.parse.unquote(got))):
                for text in (undo, re.sub(r"\\u00(..)", lambda m: chr(int(
                        m[1], 16)), undo).replace("\\/", "/")):
                    assert not any(piece.lower() in text.lower()
                                   for piece in runs(secret)), (n, got)


def test_L6_what_is_not_secret_stays(probe):
    r = random.Random(6)
    secret = "AAAA0123456789-bearer/token"
    for text in ("AAAA012!456789-!earer/t!ken", "AAAA012 and more", "%", "%2", "\\",
                 "\\u00", "%41%41%41", "100% \\o/ \\u12", "plain",
                 json.dumps({"a": "ä\n\"/"}), quoted("a/ä\\"), "", "+", "%%%%"):
        assert shown(probe, [secret], text.encode()) == text.encode()
    for _ in range(300):
        text = "".join(r.choice("aA0%25\\u/+\"") for _ in range(50))
        assert shown(probe, ["bcdefghij"], text.encode()) == text.encode()


def test_L6_several_secrets(probe):
    """One in the other, one behind the other, overlapping, in every slot."""
    a, b, c = "abcdefgh", "abcdefghijkl", "ghijklmnop"
    d = "0" + a + "123"
    for text, want in ((a, "(secret)"), (b, "(secret)"), (a + c, "(secret)(secret)"),
                       ("abcdefghijklmnop", "(secret)"), ("x" + c + "y", "x(secret)y"),
                       (b + b, "(secret)(secret)"), (d + "z", "(secret)z"), ("abcdefg-", "abcdefg-")):
        for order in ([a, b, c, d], [d, c, b, a], ["-", a, d, b, c]):
            assert shown(probe, order, text.encode()) == want.encode(), (text, order)


def test_L6_a_token_that_holds_percent_signs(probe):
    """Twitter's bearer tokens do: the server may have undone them."""
    token = "AAAAAAAAAAAAAAAAAAAAAMLheAAAAAAA0%2BuSeid%2BULvsea4JtiGRiSDSJSI%3DEUifiRBkKG5E2"
    for text in (token, urllib.parse.unquote(token), quoted(token), php(
            urllib.parse.unquote(token)), quoted(quoted(token))):
        assert shown(probe, [token], b"'%s'" % text.encode()) == b"'(secret)'"


@pytest.mark.parametrize("secret", [
    "hunter2%4", r"hunt\ud83d\ude0", r"hunt\ud83dx", "hunter2%", "hunter2\\",
    "hunt%5cu12", r"hunt\ud83d\u", "hunter2&amp"])
def test_L6_a_secret_that_ends_inside_an_escape(probe, secret):
    """Its end is hidden too, but where what follows makes another escape of it:
    then no 8 bytes before that are seen."""
    plain = secret.encode()
    for before, behind in ((b"", b""), (b"<", b">"), (b"<", b"\n"), (b"%", b" x"),
                           (b"<", b'"}'), (b"", b"-x"), (b"", b"/x")):
        for text in {plain, quoted(secret).encode(), json.dumps(secret)[1:-1].encode()}:
            got = shown(probe, [secret], before + text + behind)
            if secret[-1] == "\\" and behind[:1] in (b'"', b"/"):
                continue  # that may be an escape in JSON in JSON
            assert got == before + b"(secret)" + behind.replace(b"\n", b"\\x0a"), text
    for behind in (b"ab", b"0", b"\\", b"u00e4", b"%41"):
        got = shown(probe, ["longer-" + secret], b"longer-" + plain + behind)
        assert b"longer-h" not in got


def test_L6_each_secret_in_base64(probe):
    for n in range(8, 40):
        secret = "".join(chr(33 + 7 * i % 90) for i in range(n)).rstrip("=%\\") + "z"
        coded = base64.b64encode(secret.encode()).decode()
        for text in (coded, quoted(coded), php(coded)):
            got = shown(probe, ["-", secret], b"<%s>" % text.encode())
            # the last digit may hold two or four bits of the last byte
            assert re.fullmatch(rb"<\(secret\)[\w+/]?(=|%3D)*>", got), (secret, got)


def test_L6_base64_of_more_than_the_secret(probe):
    """Of a header or a whole request: three ways in which bytes become digits."""
    for n in range(8, 40):
        secret = "".join(chr(33 + 7 * i % 90) for i in range(n)).rstrip("=%\\") + "z"
        for before in range(7):
            coded = base64.b64encode(b"-" * before + secret.encode() + b"--")
            got = shown(probe, ["-", secret], b"<%s>" % coded)
            assert re.fullmatch(rb"<[\w+/]{%d}\(secret\)[\w+/]{2,4}=*>"
                                % -(-8 * before // 6), got), (secret, got)


def test_L6_pieces(probe):
    """Of a secret that was cut, broken into lines or changed, 7 bytes at most
    are seen."""
    r = random.Random(16)
    for secret in random_secrets("pieces", 100):
        at, size = r.randrange(len(secret)), r.choice((8, 9, 20, 76))
        for text in (secret[:at], secret[at:], secret[at:at + size], "\n".join(
                secret[i:i + 76] for i in range(0, len(secret), 76)),
                secret[:at] + "|" + secret[at + 1:]):
            got = shown(probe, [secret], b"<%s..." % text.encode()).decode(
                "utf-8", "replace")
            assert len(secret) < 8 or not any(x in got for x in runs(secret)), got


def test_L6_base64_without_padding(probe):
    for n in range(8, 12):
        coded = base64.b64encode(bytes(range(n))).decode()
        for text in (coded, coded.rstrip("="), quoted(coded)):
            got = shown(probe, ["-", "-", "-", coded], b"<%s>" % text.encode())
            assert re.fullmatch(rb"<\(secret\)(=|%3D)*>", got), got


def test_L6_no_quadratic_time(monkeypatch):
    """A long text that begins the secret everywhere, and never ends it."""
    # on by default since GCC 13: it takes four times as long
    monkeypatch.setenv("ASAN_OPTIONS", "detect_stack_use_after_return=0")
    probe = Probe()
    secret = "a" * 1022 + "b"
    begin = time.monotonic()
    for text in (b"a" * 16384, b"%61" * 5000, b"\\u0061" * 2700):
        shown(probe, [secret] * 5, text + b"<")
    assert time.monotonic() - begin < 60  # n x slots x length, and sanitizers
    probe.p.communicate()
    assert probe.p.returncode == 0


BIDI_MARKS = {"ARABIC LETTER MARK", "LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK"}
EMBEDDINGS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def is_shown(c):
    """By Unicode's own tables."""
    noncharacter = ord(c) & 0xfffe == 0xfffe or 0xfdd0 <= ord(c) <= 0xfdef
    return not (unicodedata.category(c) in ("Cc", "Zl", "Zp") or noncharacter
                or unicodedata.bidirectional(c) in EMBEDDINGS
                or unicodedata.name(c, "") in BIDI_MARKS
                or c == "\ufeff")


def escaped(raw):
    return "".join(f"\\x{b:02x}" for b in raw).encode()


def test_printable_is_what_unicode_says(probe):
    for start in range(0, 0x110000, 0x1000):
        chars = [chr(c) for c in range(start, start + 0x1000)
                 if not 0xd800 <= c < 0xe000]
        want = b"".join(c.encode() if is_shown(c) else escaped(c.encode())
                        for c in chars)
        assert bytes.fromhex(probe("t", "".join(chars).encode())) == want


def test_printable_shows_what_is_not_utf8(probe):
    r = random.Random(8)
    for _ in range(3000):
        raw = bytes(r.choice((0x61, 0x80, 0xbf, 0xc3, 0xe2, 0xed, 0xf0, 0xf4,
                              0xff, 0x9f, 0xa0)) for _ in range(r.randrange(9)))
        want = b"".join(
            (escaped(c.encode("utf-8", "surrogateescape"))
             if "\udc80" <= c <= "\udcff" or not is_shown(c) else c.encode())
            for c in raw.decode("utf-8", "surrogateescape"))
        assert bytes.fromhex(probe("t", raw)) == want


# The binary -----------------------------------------------------------------------

BEARER = "AAAAzx%2Fbearer+secret/token==8Qp4"
PASSWORD = "It's an öpen/secret pass"
USER = "someone"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
CODED = {"json": lambda s: json.dumps(s)[1:-1], "php": php, "quote": quoted,
         "unicode": all_unicode, "plain": lambda s: s,
         "for URLs": lambda s: s.replace("+", "-").replace("/", "_"),
         "form": lambda s: s.replace("+", " ")}
AUTHS = {"bearer": [BEARER], "basic": [PASSWORD, BASIC]}


def seen(log):
    """Pieces of a secret in a log, in any form."""
    texts = [log]
    for _ in range(2):
        texts += [urllib.parse.unquote(t) for t in texts]
    texts += [re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), t)
              .replace("\\/", "/").replace('\\"', '"') for t in texts]
    texts += [t.replace("-", "+").replace("_", "/") for t in texts]
    texts += [t.replace(" ", "+") for t in texts]
    secrets = [s for s in (BEARER, urllib.parse.unquote(BEARER), PASSWORD,
                           BASIC.rstrip("="))]
    return sorted({p for s in secrets for p in runs(s) for t in texts if p in t})


def test_the_search_is_not_blind():
    for s in (BEARER, PASSWORD, BASIC):
        for code in CODED.values():
            assert seen("x" + code(s) + "y") and seen(code(s[:12]))
    assert seen("an ordinary line: (secret)") == []


def status(body):
    return response(b"401 Unauthorized", body, [b"Content-Type: text/plain"])


def in_stream(line):
    return stream(tweets(1)) + chunk(line + b"\r\n") + BYE


# What a server may do with what it was sent.
TELLINGS = {
    "json": lambda s: status(b'{"errors":[{"code":89,"message":"%s"}]}' % s),
    "problem": lambda s: status(b'{"title":"Unauthorized","detail":"no %s"}' % s),
    "words": lambda s: status(b"Authorization: Bearer  %s\n" % s),
    "cut excerpt": lambda s: status(
        b"Bearer ".rjust(1024 - len(s) + 1, b".") + s + b" and more"),
    "cut to 8": lambda s: status(b"Bearer ".rjust(1024 - 12, b".") + s + b" more"),
    "location": lambda s: response(
        b"302 Found", b"", [b"Location: http://x/?token=%s&a" % s]),
    "long location": lambda s: response(
        b"302 Found", b"", [b"Location: http://x/" + b"a" * 210 + b"/" + s]),
    "header": lambda s: b"HTTP/1.1 200 OK\r\nX-Echo: %s\r\nTransfer-Encoding: "
                        b"chunked\r\n\r\n%s" % (s, BYE),
    "long header": lambda s: b"HTTP/1.1 200 OK\r\nX-Echo: %s%s\r\nTransfer-"
                             b"Encoding: chunked\r\n\r\n%s" % (b"a" * 490, s, BYE),
    "trailer": lambda s: HEAD + b"0\r\nX-Echo: %s\r\n bad\n" % s,
    "malformed": lambda s: in_stream(b'{"text":"%s' % s),
    "malformed, cut": lambda s: in_stream(b"x" * (120 - 11) + s),
    "plain line": lambda s: in_stream(b"token %s" % s),
    "errors v1.1": lambda s: in_stream(
        b'{"errors":[{"code":32,"message":"bad %s"}]}' % s),
    "errors v2": lambda s: in_stream(
        b'{"errors":[{"title":"%s","detail":"%s"}]}' % (s, s)),
    "error": lambda s: in_stream(b'{"error":"%s"}' % s),
    "warning": lambda s: in_stream(
        b'{"warning":{"code":"%s","percent_full":"%s"}}' % (s, s)),
    "disconnect": lambda s: HEAD + chunk(
        b'{"disconnect":{"code":6,"reason":"%s"}}\r\n' % s),
    "bad status": lambda s: b"HTTP/1.1 %s\r\n\r\n" % s,
    "bad coding": lambda s: b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n\r\n" % s,
    "bad length": lambda s: b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % s,
    "bad chunk": lambda s: HEAD + b"%s\r\n" % s,
}
# Of these nothing is shown, or what is left is too short in one of the codings.
SAYS_NOTHING = {"trailer", "bad status", "bad chunk", "bad length", "bad coding",
                "cut to 8", "long location", "malformed, cut"}
VALID_JSON = {"errors v1.1", "errors v2", "error", "warning", "disconnect"}


@pytest.fixture
def told(tstream, tmp_path):
    path = tmp_path / "credentials"
    path.write_text(f"bearer_token: {BEARER}\nuser: {USER}\n"
                    f"password: \"{PASSWORD}\"\n")
    path.chmod(0o600)

    def run(server, auth, *args, **how):
        return tstream("--auth", auth, "-k", path, "-u", server.url(), "-d", "1",
                       *args, keys=False, timeout=60, **how)

    return run


@pytest.mark.parametrize("telling", TELLINGS)
@pytest.mark.parametrize("auth", AUTHS)
def test_L6_no_secret_reaches_stderr(told, telling, auth):
    """Each secret in each coding, at each level."""
    scripts = []
    for s in AUTHS[auth]:
        for name, code in CODED.items():
            if telling in VALID_JSON and name in ("plain", "quote") and '"' in s:
                continue
            scripts.append(TELLINGS[telling](code(s).encode()))
    for level in ([], ["-v"], ["-q"]):
        def run(script):
            with Server(scripted(script)) as server:
                return told(server, auth, *level).stderr

        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            logs = list(pool.map(run, scripts))
        for log in logs:
            assert seen(log) == [], log
        if level == ["-v"] and telling not in SAYS_NOTHING:
            assert all("(secret)" in log for log in logs), logs


def test_L6_what_somebody_forgot(tstream):
    """Words of our own are searched too: here the host's name is the token."""
    with Server(scripted(stream([]) + BYE)) as server:
        p = tstream("--auth", "bearer", "-d", "2", "-v", "-u", server.url(),
                    keys=False, env={"BEARER_TOKEN": "localhost"})
    assert "connected to (secret) (" in p.stderr, p.stderr


def test_L6_signature_and_token_of_oauth(tstream):
    """The header told back, as it is, in JSON and as a URL has it."""
    for code in (lambda s: s, php, quoted, all_unicode):
        told = []

        def echo(c, request):
            value = request.headers["Authorization"]
            told.append(re.search('oauth_signature="(.*)"', value)[1])
            c.send(response(b"401 x", b"no: " + code(value).encode()))

        with Server(scripted(echo)) as server:
            p = tstream("-u", server.url())
        assert "(secret)" in p.stderr and "no: " in p.stderr
        text = urllib.parse.unquote(re.sub(
            r"\\u00(..)", lambda m: chr(int(m[1], 16)), p.stderr))
        for secret in (told[0], urllib.parse.unquote(told[0]), "c-key+/=%",
                       "807095-token"):
            assert secret.rstrip("=") not in p.stderr
            assert secret.rstrip("=") not in text


def memory(pid):
    """All that a process has in memory."""
    text = b""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if m and "[v" not in line:
                mem.seek(int(m[1], 16))
                text += mem.read(int(m[2], 16) - int(m[1], 16))
    return text


@pytest.mark.skipif(os.geteuid() != 0, reason="memory is read by root alone")
def test_A8_no_signature_between_attempts(tstream, context):
    """While the next attempt is waited for, neither the signature nor its MAC
    is in memory; while one runs the log needs it."""
    during = []

    def refuse(c, request):
        value = request.headers["Authorization"]
        found = urllib.parse.unquote(
            re.search('oauth_signature="(.*)"', value)[1])
        c.send(b"HTTP/1.1 503 x\r\nContent-Length: 1\r\n\r\n")
        during.append((found, found.rstrip("=").lower().encode()
                       in memory(p.pid).lower()))
        c.send(b"x")

    with Server(scripted(refuse), context) as server:
        p = tstream.start("-u", server.url())
        while b"next attempt in" not in (line := p.stderr.readline()):
            assert line
        text = memory(p.pid)
        p.kill()
        p.communicate()
    (signature, was_there), = during
    assert was_there, "the test is blind"
    for form in (signature.rstrip("="), urllib.parse.quote(signature, safe="")):
        assert form.lower().encode() not in text.lower()
    mac = base64.b64decode(signature)
    assert mac not in text and mac[:12] not in text


def test_L6_report_and_own_words(told, tmp_path):
    """A token in the URL's path, in -p, in -H and in a file's name."""
    with Server(scripted(stream(tweets(1)) + BYE)) as server:
        url = server.url("/x/" + quoted(BEARER) + "?token=" + quoted(BEARER))
        p = told(server, "bearer", "-v", "-u", url, "-p", "a=" + BEARER, "-H",
                 "X-Token: " + BEARER, "--report", tmp_path / "r")
    report = (tmp_path / "r").read_text()
    assert p.returncode == 0 and seen(p.stderr) == [] and seen(report) == []
    report = json.loads(report)
    assert "(secret)" in report["url"] and report["parameters"]["a"] == "(secret)"
    assert "X-Token: (secret)" in p.stderr


def test_L6_own_words_are_searched_too(told, tmp_path):
    """A file's name that holds a secret and a control character."""
    name = tmp_path / ("\x1b" + BEARER.replace("/", "\\u002f").replace(
        "%", "\\u0025"))
    name.symlink_to("/dev/full")
    with Server(scripted(stream([b'{"limit":{"track":1}}']) + BYE)) as server:
        p = told(server, "bearer", "-n", name)
    assert p.returncode == 3 and seen(p.stderr) == [] and "\x1b" not in p.stderr
    assert "/\\x1b(secret): No space left" in p.stderr


def test_readable_unicode(tstream):
    """What people write is shown, what would steer a terminal is not."""
    said = "ungültig: 漢字 \U0001f600 a\\b"
    body = said.encode() + b"\x1b[31m \xc2\x9b \xe2\x80\xae \xff"
    with Server(scripted(response(b"401 x", body))) as server:
        p = tstream("-u", server.url())
    assert said + "\\x1b[31m \\xc2\\x9b \\xe2\\x80\\xae \\xff" in p.stderr


# Words ----------------------------------------------------------------------------

@pytest.mark.parametrize("code, name", [
    (b"201", "Created"), (b"202", "Accepted"), (b"203", "changed by a proxy"),
    (b"204", "No Content"), (b"205", "Reset Content"), (b"206", "Partial Content")])
def test_N5_success_that_is_no_stream(tstream, code, name):
    with Server(scripted(response(code + b" x", b""))) as server:
        p = tstream("-u", server.url())
        assert server.accepted == 1
    assert p.returncode == 1 and name in p.stderr and "redirect" not in p.stderr


def test_advice_fits_the_credentials(told, tstream):
    with Server(scripted(response(b"401 x", b""))) as server:
        assert "check the bearer token" in told(server, "bearer").stderr
        assert "check user and password" in told(server, "basic").stderr
        assert "the four credentials" in tstream("-u", server.url()).stderr
        assert "--auth" in tstream("--auth", "none", "-u", server.url()).stderr


# Code and name in Twitter's table; the documentation's words are not ours.
CODES = {1: "shuts down", 2: "too many streams", 3: "control stream",
         4: "too slowly", 5: "disconnected itself", 6: "revoked",
         7: "connected elsewhere", 8: "reserved", 9: "delivered",
         10: "internal fault", 11: "internal fault", 12: "shed load"}


def test_what_ends_the_program_is_told(tstream):
    """Also a disconnect that is no failure."""
    line = b'{"disconnect":{"code":9,"reason":"done with it"}}\r\n'
    with Server(scripted(HEAD + chunk(line))) as server:
        p = tstream("-u", server.url())
    assert p.returncode == 0
    assert "code 9 (all that was asked for was delivered): done with it" in p.stderr


@pytest.mark.parametrize("code", [*CODES, 0, 13, 2**64 - 1])
def test_disconnect_meaning_and_reason(tstream, code):
    line = b'{"disconnect":{"code":%d,"stream_name":"s","reason":"b\xc3\xa4d luck"}}'
    with Server(scripted(HEAD + chunk(line % code + b"\r\n"))) as server:
        p = tstream("-u", server.url(), "-d", "1", "-v")
    meaning = f" ({CODES[code]}" if code in CODES else ""
    said = re.search(rf"code {code}(?: \((.*)\))?: bäd luck", p.stderr)
    assert said, p.stderr
    assert CODES.get(code) in (said[1] or "") if meaning else said[1] is None


def test_errors_objects_as_their_text(tstream):
    v1 = b'{"errors":[{"code":32,"message":"Could not authenticate you."}]}'
    other = b'{"error":"model not found"}'
    long = b'{"error":"y","x":"%s"}' % (b"y" * 5000)
    with Server(scripted(stream([v1, other, long]) + BYE)) as server:
        p = tstream("-u", server.url())
    assert "the service says: 32: Could not authenticate you.\n" in p.stderr
    assert "the service says: model not found\n" in p.stderr
    assert p.stderr.count("the service says") == 2


# The log --------------------------------------------------------------------------

def flood(piece, seconds):
    """A handler that sends as fast as it can be read, for so long; it counts."""
    sent = []

    def send(c, request):
        c.send(HEAD)
        until = time.monotonic() + seconds
        block = chunk(piece * (65536 // len(piece)))
        n = 0
        while time.monotonic() < until:
            c.send(block)
            n += 65536 // len(piece)
        sent.append(n)
        c.send(BYE)

    return send, sent


FLOODS = {"bad": b"x\n", "malformed": b'{"text":1]}\r\n',
          "errors": b'{"errors":[{"title":"x","detail":"y"}]}\r\n',
          "html": b"<p>no</p>\r\n",
          "warnings": b'{"warning":{"code":"FALLING_BEHIND","percent_full":6}}\r\n'}


@pytest.mark.parametrize("rubbish", FLOODS)
@pytest.mark.parametrize("level", ["-q", None])
def test_N10_the_log_stays_small(tstream, rubbish, level):
    """Rubbish at line rate: ten lines, one a second, the number left out."""
    seconds = 12
    handler, sent = flood(FLOODS[rubbish], seconds)
    with Server(scripted(handler)) as server:
        p = tstream("-u", server.url(), *([level] if level else []),
                    stdout=subprocess.DEVNULL, timeout=120)
    assert len(p.stderr) < 65536 // 5  # a minute would be five times as long
    lines = [x for x in p.stderr.splitlines()
             if re.search("malformed line of|service says", x)]
    if rubbish == "warnings" or (rubbish == "errors" and level):
        assert len([x for x in lines if "malformed" not in x]) <= 1
        return
    assert 10 <= len(lines) <= 10 + 3 * seconds
    left = [int(m) for m in re.findall(
        r"\(and (\d+) more such lines left out\)", p.stderr)]
    left += [int(m) for m in re.findall(
        r"(\d+) more lines such as those above were left out", p.stderr)]
    assert sum(left) + len(lines) == sent[0]


def test_N10_lines_of_one_kind_do_not_silence_others(tstream):
    with Server(scripted(stream([b"x"] * 1000) + BYE)) as server:
        p = tstream("-u", server.url())
    assert p.stderr.count("malformed line of") == 10
    assert "990 more lines such as those above were left out" in p.stderr
    assert stats(p.stderr)["malformed"] == 1000
    assert "code 9" in p.stderr or "coverage" in p.stderr


def test_N10_at_v_heads_are_shown_whole(tstream):
    fields = [b"X-%d: y" % i for i in range(100)]
    with Server(scripted(response(b"200 x", b"", fields))) as server:
        p = tstream("-u", server.url(), "-v", "-d", "1")
    assert p.stderr.count("< X-") >= 100


def journal(tstream, name, fd, *args):
    """Run with a JOURNAL_STREAM that is made of fstat(2) of the pipe."""
    st = os.fstat(fd)
    env = {"JOURNAL_STREAM": name.format(st.st_dev, st.st_ino)}
    return tstream.start(*args, env=env, stderr=fd, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name, is_journal", [
    ("{}:{}", True), ("{}:{}0", False), ("0{}:{}", False), ("{}", False),
    ("", False), ("{0}:{1}:", False)])
def test_journal_priorities(tstream, name, is_journal):
    """systemd.exec(5) JOURNAL_STREAM, sd-daemon(3) prefixes."""
    r, w = os.pipe()
    with Server(scripted(stream([b"x"]) + BYE)) as server:
        p = journal(tstream, name, w, "-u", server.url(), "-v")
        os.close(w)
        with os.fdopen(r) as f:
            lines = f.read().splitlines()
        assert p.wait(30) == 0
    if not is_journal:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ tstream: ", x)
                   for x in lines)
        return
    assert {x[:3] for x in lines} == {"<3>", "<6>", "<7>"}
    assert [x[:3] for x in lines if "malformed line of" in x] == ["<3>"]
    assert all(x[:3] == "<7>" for x in lines if x[3:5] in ("> ", "< "))
    assert not any("tstream: " in x for x in lines)


def test_journal_priority_of_usage_errors(tstream):
    r, w = os.pipe()
    p = journal(tstream, "{}:{}", w, "--nonsense")
    os.close(w)
    with os.fdopen(r) as f:
        assert f.read() == ("<3>tstream: there is no option --nonsense; try "
                            "tstream --help\n")
    assert p.wait(30) == 2


def test_long_lines_end_in_one_lf(tstream):
    """What is cut is cut once: no half line, no control byte."""
    with Server(scripted(response(b"401 x", b"\x01" * 1024))) as server:
        p = tstream("-u", server.url(), text=False)
    assert all(len(x) < 2200 for x in p.stderr.splitlines())
    assert "\x01" not in p.stderr and p.stderr.endswith("\n")
