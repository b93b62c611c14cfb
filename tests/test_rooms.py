"""The pure rooms against independent judges: Python's json, hashlib and hmac,
http.client, python3-oauthlib, and the rules of the README written again."""

import base64
import hashlib
import hmac
import http.client
import io
import itertools
import json
import os
import random
import re
import struct
import subprocess
import threading
import urllib.parse

import pytest

import peer
from conftest import DATA, ROOT

CLASSES = ["disconnect", "text", "limit", "delete", "warning"]
SIZES = (1, 7, 64, 1 << 20)


class Probe:
    """tests/probe.c, one answer a request."""

    def __init__(self, program="probe", emulator=()):
        self.p = subprocess.Popen([*emulator, ROOT / "build/tests" / program],
                                  stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)

    def __call__(self, letter, payload):
        self.p.stdin.write(letter.encode() + struct.pack(">I", len(payload))
                           + payload)
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        assert line, f"the probe died: {self.p.wait()}"
        return line.decode("utf-8", "surrogateescape").rstrip("\n")

    def many(self, letter, payloads):
        """The answers to many requests, without a turn of the pipe for each."""
        payloads = list(payloads)
        wire = b"".join(letter.encode() + struct.pack(">I", len(p)) + p
                        for p in payloads)
        writer = threading.Thread(
            target=lambda: (self.p.stdin.write(wire), self.p.stdin.flush()))
        writer.start()
        answers = [self.p.stdout.readline().decode("utf-8", "replace").rstrip()
                   for _ in payloads]
        writer.join()
        assert all(answers), "the probe died"
        return answers

    def sized(self, letter, step, payload):
        return self(letter, struct.pack(">I", step) + payload)


@pytest.fixture(scope="module", params=["probe", "probe_portable"])
def probe(request):
    """With vector instructions, and without."""
    p = Probe(request.param)
    yield p
    p.p.stdin.close()
    assert p.p.wait() == 0, "a sanitizer stopped the probe"


# JSON -----------------------------------------------------------------------

def strict(document):
    """Python's json as RFC 8259 has it: an object, UTF-8, no NaN, at most 1,024
    deep. Returns its class, or None."""
    def refuse(x):
        raise ValueError(x)

    try:
        text = document.decode("utf-8")
        pairs = json.loads(text, parse_constant=refuse, parse_int=lambda s: s,
                           parse_float=lambda s: s,
                           object_pairs_hook=lambda pairs: dict(pairs))
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, dict) or text[:1] == "\ufeff":
        return None
    for i, name in enumerate(CLASSES):
        if name in pairs:
            return i
    return 5


TWEETS = [
    '{"created_at":"Mon Nov 23 17:00:00 +0000 2026","id":1234567890123456789,'
    '"id_str":"1234567890123456789","text":"Grüße aus Köln \\u2764\\ufe0f 🎈",'
    '"user":{"id":1,"name":"Ä","followers_count":-0,"verified":false,'
    '"description":null},"entities":{"urls":[],"hashtags":[{"text":"x",'
    '"indices":[0,2]}]},"coordinates":[6.95,50.9375e0],"lang":"de"}',
    '{ "text" : "white space\\t\\"quoted\\" \\\\ \\/" ,\r "n" : [ 1 , 2.5E-7 ,'
    ' true , [ ] , { } ] }',
    '{"limit":{"track":1234}}', '{"delete":{"status":{"id":1}}}', '{}',
    '{"disconnect":{"code":2,"reason":"x"},"text":1}',
    '{"\\u0074ext":"a key with an escape"}', '{"tex":1,"texts":2,"":3}',
    '{"a":{"text":1}}', '{"a":["text"]}', '{"text":1,"text":{"limit":2}}',
    '{"' + "k" * 70000 + '":1,"warning":2}',
    '{"\\u0074\\u0065\\u0078\\u0074":1}', '{"text\\u0000":1}', '{"te\\xt":1}',
]
BAD = [
    "", " ", "[]", "1", '"text"', "null", "{", "}", '{"a"}', '{"a":}', '{,}',
    '{"a":1,}', '{"a":[1,]}', '{"a":[,1]}', '{"a":[}', '{"a":]}', "{'a':1}",
    '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":-}', '{"a":+1}', '{"a":1e}',
    '{"a":1e+}', '{"a":0x1}', '{"a":NaN}', '{"a":Infinity}', '{"a":tru}',
    '{"a":nulll}', '{"a":"\\x41"}', '{"a":"\\u12g4"}', '{"a":"\t"}',
    '{"a":"\x7f"}', '{"a":1}{"b":2}', '{"a":1} x', '{"a":1}}', '{"a" 1}',
    '\ufeff{"a":1}', '{"a":1\x00}', '\x00', '{"a":1}\x0b', '{a:1}',
    '{"a":"b""c":1}', '{"a":1 "b":2}', '{"a"::1}', '{"a":-01}', '{"a":1e1.5}',
    '{"a":--1}', '{"":0,"text":}', '{"a":[1 2]}', '{"a":"' + "x" * 100,
    '{"a":00000000000000000000001}',
    '{"a":' + "0" * 40 + "}", '{"a":[' + "1," * 40 + "]}",
]


def judge(probe, documents, steps=SIZES):
    """Our verdict on documents in pieces of these sizes is Python's."""
    documents = [d.encode() if isinstance(d, str) else d for d in documents]
    cases = [(d, step) for d in documents for step in steps]
    answers = probe.many("j", (struct.pack(">I", step) + b"text\0" + d
                               for d, step in cases))
    for (document, step), got in zip(cases, answers):
        want = strict(document)
        want = "bad" if want is None else f"ok {want}"
        assert got == want or (want == "bad" and got.startswith("bad ")), \
            (document[:200], step, got)


def test_S8_S9_S15_json_documents(probe):
    judge(probe, TWEETS + BAD)
    # padded, so that the fast way sees what the slow one saw
    judge(probe, ['{"pad":"' + "." * 80 + '","x":' + text + ',"pad":"'
                  + "." * 80 + '"}' for text in TWEETS + BAD
                  if text.startswith("{")], (1 << 20, 64))


def test_json_every_truncation_and_byte(probe):
    for text in TWEETS[:2]:
        whole = text.encode()
        judge(probe, [whole[:i] for i in range(len(whole))], (1, 1 << 20))
        judge(probe, [whole[:i] + bytes([c]) + whole[i + 1:]
                      for i in range(len(whole))
                      for c in b'"\\{}[]:, \x00\x1f\x80\xc3\xed0e.-tn\r'],
              (1 << 20,))


def test_json_random_mutations(probe):
    rng = random.Random(1)
    documents = []
    for _ in range(20000):
        doc = bytearray(rng.choice(TWEETS[:11] + BAD).encode())
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(doc) + 1)
            doc[at:at + rng.randrange(3)] = rng.choice(
                [b"", bytes([rng.randrange(256)]), b'"', b"{", b"]", b"\\u",
                 b"1e5", "é".encode(), "🎈".encode()[:rng.randrange(1, 4)]])
        # a bare LF between tokens is for lines to judge
        documents.append(bytes(doc).replace(b"\n", b" "))
    for step in (1, 7, 64, 1 << 20):
        judge(probe, documents[step % 4::2], (step,))


def test_S7_json_depth(probe):
    for depth, ok in ((1, True), (1023, True), (1024, False), (100000, False)):
        for a, core, b in ((b"[", b"1", b"]"), (b"[", b"", b"]"),
                           (b'{"a":', b"1", b"}")):
            inner = a * depth + core + b * depth
            document = b'{"x":' + inner + b',"pad":"' + b"." * 80 + b'"}'
            for step in (13, 1 << 20):
                assert probe.sized("j", step, b"text\0" + document).startswith(
                    "ok" if ok else "bad nested"), (depth, a, core)


def test_S6_json_utf8(probe):
    """All leads with all second bytes, and the boundaries of the rest."""
    edge = (0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff)
    sequences = [bytes(s) for s in itertools.product(range(0x80, 0x100),
                                                     range(0x80, 0x100))]
    sequences += [bytes(s) for s in itertools.product(
        (0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef), edge, edge)]
    sequences += [bytes(s) for s in itertools.product(
        (0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8), edge, edge, edge)]
    judge(probe, [b'{"a":"' + raw + b'"' + b" " * 64 + b"}"
                  for raw in sequences], (1, 1 << 20))


def test_longest_tweet_key_in_escapes(probe):
    """32 bytes that stand there as 32 escapes, cut at every byte."""
    key = "k" * 31 + "Z"
    raw = ('{"a":1,"' + "".join(f"\\u{ord(c):04x}" for c in key)
           + '":"x"}').encode()
    cases = [(struct.pack(">I", step) + key.encode() + b"\0" + raw, want)
             for step in range(1, len(raw) + 1) for want in ["ok 1"]]
    cases += [(struct.pack(">I", 7) + key[1:].encode() + b"\0" + raw, "ok 5")]
    assert probe.many("j", (c for c, _ in cases)) == [w for _, w in cases]


def test_keys_without_power(probe):
    """In streams that are not Twitter's, only the tweet's key says anything."""
    for key, document, want in (
            ("text", '{"disconnect":{}}', 0), ("data", '{"disconnect":{}}', 0),
            ("seq", '{"disconnect":{}}', 5), ("seq", '{"limit":1,"seq":2}', 1),
            ("seq", '{"delete":1}', 5), ("seq", '{"warning":1}', 5),
            ("data", '{"data":1,"disconnect":{}}', 0)):
        assert probe("j", struct.pack(">I", 99) + key.encode() + b"\0"
                     + document.encode()) == f"ok {want}", (key, document)


def test_find(probe):
    document = ('{"x":[1,{"limit":{"track":9}}],"\\u006cimit":{"y":"}{\\"",'
                '"track" : 1234 },"errors":[{"title":"a \\"b\\"","n":[]}],'
                '"e":[],"s":"\\\\"}').encode()
    for path, want in ((["limit", "track"], b"1234"), (["limit", "z"], None),
                       (["errors", "title"], b'a \\"b\\"'), (["s"], b"\\\\"),
                       (["x", "limit"], None), (["limit", "y"], b'}{\\"'),
                       (["e", "title"], None), (["e"], b"[]"),
                       (["limit"], b'{"y":"}{\\"","track" : 1234 }')):
        fields = b"".join(p.encode() + b"\0" for p in path) + b"\0"
        got = probe("f", fields + document)
        assert got == ("none" if want is None else want.hex()), path


# Lines ----------------------------------------------------------------------

def lines(probe, body, step):
    words = probe.sized("l", step, body).split()
    out = []
    for w in words:
        kind, _, rest = w.partition(":")
        if kind == "message":
            c, _, raw = rest.partition(":")
            out.append((int(c), bytes.fromhex(raw)))
        else:
            out.append((kind, rest))
    return out


T1, T2 = b'{"text":"a"}', b'{"text":"b"}'


@pytest.mark.parametrize("body, want", [
    (T1 + b"\r\n" + T2 + b"\r\n", [(1, T1), (1, T2)]),
    (T1 + b"\n" + T2 + b"\n", [(1, T1), (1, T2)]),
    (b"\r\n\n \t\r\n" + T1 + b"\r\n", ["keepalive"] * 3 + [(1, T1)]),
    # one CR belongs to the end; another is white space of the line
    (T1 + b"\r\r\n", [(1, T1 + b"\r")]),
    (b"\r\r\n", ["keepalive"]),
    # an inner LF is written as a space
    (b'{"limit":\n{"track":\n5}\n}\r\n', [(2, b'{"limit": {"track": 5} }')]),
    (b'{"text":1\n}\n', [(1, b'{"text":1 }')]),
    # what does not go on is one bad line, and the next is read on its own
    (b'{"text":\n' + T1 + b"x\r\n" + T2 + b"\r\n",
     ["malformed", "malformed", (1, T2)]),
    (b'{"a":1,\n' + T1 + b"\n" + T2 + b"\n", ["malformed", (1, T1), (1, T2)]),
    (b'{"a":1\n\n' + T1 + b"\r\n", ["malformed", (1, T1)]),
    (b'{"a":\n' + T1 + b"\r\n" + T2 + b"\r\n", ["malformed", (1, T1), (1, T2)]),
    (b'{"a":[1,\n2,\n' + T1 + b'\n"\r\n', ["malformed", "malformed"]),
    # an LF in a string or a literal ends the line
    (b'{"text":"a\n' + T1 + b"\n", ["malformed", (1, T1)]),
    (b'{"text":tr\nue}\n' + T1 + b"\n", ["malformed", "malformed", (1, T1)]),
    (b'{"text":"cut\r\n' + T1 + b"\r\n", ["malformed", (1, T1)]),
    (b'{"text":1\r\n' + T1 + b"\r\n", ["malformed", (1, T1)]),
    (T1 + T2 + b"\r\n", ["malformed"]), (b"12\r\n", ["malformed"]),
    (b"[1]\r\n" + T1 + b"\r\n", ["malformed", (1, T1)]),
    (b"Exceeded connection limit for user\r\n", ["malformed"]),
    (T1 + b"\r\n" + T2[:-1], [(1, T1)]), (T1, []),
])
def test_S2_S14_lines(probe, body, want):
    for step in (*range(1, 40), 1 << 20):
        got = lines(probe, body, step)
        assert got[-1][0] == "end"
        assert [g if isinstance(g[0], int) else g[0] for g in got[:-1]] == want


@pytest.mark.parametrize("body, want", [
    (T1, "message:12"), (T1 + b"\r", "message:12"), (T1[:-1], "more:11"),
    (b'{"a":[\n1', "more:8"), (b"", "more:0"), (b" \r", "more:0"),
    (T1 + b"\n", "more:0"), (b'{"a":"x\\u12', "more:11"), (b'{"a":tru', "more:8"),
    (b'{"a":-', "more:6"), (b'{"a":"\xe3\x81', "more:8"),
    # of a text that is bad already no more is needed
    (b"Exceeded connection limit for user", "malformed:34"),
    (b"Exceeded connection limit for user\r", "malformed:34"),
    # what does not go on is bad, and the rest is read on its own
    (b'{"a":1,\n{"b":2', "malformed:7"),
])
def test_N1_N2_end_without_a_line_end(probe, body, want):
    """What is complete where the body ends is a message; of what is not, the
    bytes are told."""
    for step in (1, 5, 1 << 20):
        assert lines(probe, T2 + b"\r\n" + body, step)[-1] == ("end", want)


def test_N9_blanks_are_no_part_of_a_line(probe):
    blanks = b" \t" * (1 << 20)
    for step in (4096, 1 << 20):
        got = lines(probe, blanks + T1 + b"\n" + blanks + T2 + b"\r\n", step)
        assert got[:-1] == [(1, T1), (1, T2)]


def test_S3_lines_every_three_way_split(probe):
    body = T1 + b"\r\n\r\n" + b'{"limit":\n{"track":1}}\r\nbad\r\n' + T2 + b"\r\n"
    want = lines(probe, body, 1 << 20)
    for step in range(1, len(body) + 1):
        assert lines(probe, body, step) == want
    assert [w[0] for w in want] == [1, "keepalive", 2, "malformed", 1, "end"]


def test_S4_line_length_limit(probe):
    most = 1 << 20

    def tweet(size):
        return b'{"text":"' + b"x" * (size - 11) + b'"}'

    for step in (4096, 65536, 4 << 20):
        for end in (b"\r\n", b"\n"):
            body = tweet(most) + end + T1 + end
            assert lines(probe, body, step)[:2] == [(1, tweet(most)), (1, T1)]
            for size in (most + 1, most + 2, most + 3, 2 * most):
                got = lines(probe, tweet(size) + end + T1 + end, step)
                assert got[:2] == [("long", str(size)), (1, T1)], (size, step)


def test_real_tweets_any_split(probe):
    if not DATA.exists():
        pytest.skip("no folder with real tweets beside the project")
    body = (DATA / "tweets.ndjson").read_bytes()
    want = body.rstrip(b"\n").split(b"\n")
    for end in (b"\r\n", b"\n"):
        wire = end.join(want) + end
        for step in (1, 1000, 5461, 16384, 1 << 20):
            got = lines(probe, wire, step)[:-1]
            assert [g[1] for g in got] == want
            assert [g[0] for g in got] == [strict(w) for w in want]


# HTTP -----------------------------------------------------------------------

class FakeSocket:
    def __init__(self, data):
        self.data = data

    def makefile(self, *args, **how):
        return io.BytesIO(self.data)


def http_client(raw):
    """Python's answer: (status, body), or None if it refuses."""
    r = http.client.HTTPResponse(FakeSocket(raw), method="POST")
    try:
        r.begin()
        return r.status, r.read()
    except (http.client.HTTPException, ValueError):
        return None


def head(*fields, status="200 OK", version="1.1"):
    return "\r\n".join([f"HTTP/{version} {status}", *fields]).encode() + b"\r\n\r\n"


CHUNKED = head("Transfer-Encoding: chunked")
GOOD_RESPONSES = [
    CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
    CHUNKED + b"00005;a=b;c=\"d\"\r\nhello\r\n0;x\r\n\r\n",
    CHUNKED + b"A \r\n0123456789\r\n0\r\n\r\n",
    CHUNKED + b"b\t;q\r\n0123456789a\r\n0\r\n\r\n",
    head("tRANSFER-eNCODING:CHUNKED") + b"1\r\nx\r\n0\r\n\r\n",
    head("Content-Length: 5") + b"hello", head("Content-Length: 0"),
    head("Content-Length: 5", "Content-Length: 5") + b"hello",
    head("Server: x") + b"until close", head(version="1.0") + b"old",
    head("Content-Length: 3", status="503 Busy") + b"no!",
    head(status="100 Continue") + head("Content-Length: 1") + b"x",
    head("Content-Encoding: identity", "Content-Length: 1") + b"x",
    head("Content-Length: 4", status="404") + b"none",
]
BAD_RESPONSES = {
    "sizes": [CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n" for size in (
        b"0x5", b"+5", b"-5", b"5_0", b"", b" 5", b"g", b";", b"5 5",
        b"f" * 17, b"10000000000000005", b"1" + b"0" * 40)],
    "ends": [CHUNKED + x for x in (
        b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n", b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\0b\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX: " + b"y" * 20000 + b"\r\n\r\n", b"0\r\nX\ny\r\n\r\n",
        b"0\r\nX\0\r\n\r\n")],
    "heads": [
        head("Transfer-Encoding: chunked", "Content-Length: 5"),
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: 5, 5"), head("Content-Length: -1"),
        head("Content-Length: +1"), head("Content-Length: 1x"),
        head("Content-Length:"), head("Content-Length: 18446744073709551616"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: chunked, gzip"),
        head("Transfer-Encoding: xchunked"), head("Transfer-Encoding: gzip"),
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked", version="1.0"),
        head("Content-Encoding: gzip"), head("X: y", " folded: z"),
        head("X : y"), head(": y"), head("no colon"), head("X: a\0b"),
        head("X: a\nY: b"), head("X: a\rY: b"), head("X\x80: y"),
        head("X: a\x01b"), head("X: a\x7fb"),
        b"HTTP/1.1 200 OK\nX: y\n\n", b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n", b"ICY 200 OK\r\n\r\n", b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n", b"\r\n\r\n" + head(), b"\n" + head(),
        head(status="101 Switching Protocols"),
        head(status="100 Continue") * 17 + head("Content-Length: 0"),
        head("X: " + "y" * 17000), head(*["X: y"] * 5000),
    ],
}


@pytest.mark.parametrize("raw", GOOD_RESPONSES)
def test_H10_H13_K2_K4_http_good(probe, raw):
    want = http_client(raw)
    for step in (1, 2, 3, 5, 1 << 20):
        answer = probe.sized("h", step, raw).split(" ")
        status, how, body = int(answer[0]), answer[1], answer[4]
        assert (status, bytes.fromhex(body)) == want
        assert how == "whole"


@pytest.mark.parametrize("kind", sorted(BAD_RESPONSES))
def test_H11_H14_H16_H17_K1_K2_K4_http_bad(probe, kind):
    for raw in BAD_RESPONSES[kind]:
        for step in (1, 1 << 20):
            assert probe.sized("h", step, raw).startswith("bad "), raw[:100]


def test_H17_http_leading_crlf(probe):
    assert probe.sized("h", 1, b"\r\n" + head("Content-Length: 0")).startswith(
        "200 whole")


def test_H18_http_cut(probe):
    raw = CHUNKED + b"5;x\r\nhello\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"
    for i in range(len(raw)):
        answer = probe.sized("h", 1 << 20, raw[:i])
        want = "cut" if i < len(CHUNKED) else "200 cut "
        assert answer.startswith(want)
    assert probe.sized("h", 9, head("Content-Length: 5") + b"hell").startswith(
        "200 cut ")


def test_http_random_chunks(probe):
    rng = random.Random(3)
    for _ in range(500):
        parts = [os.urandom(rng.randrange(1, 3000))
                 for _ in range(rng.randrange(1, 8))]
        raw = CHUNKED + b"".join(
            b"%x%s\r\n%s\r\n" % (len(p), rng.choice([b"", b";e", b" ;e=f"]), p)
            for p in parts) + b"0\r\n\r\n"
        answer = probe.sized("h", rng.choice((1, 11, 700, 1 << 20)), raw)
        assert bytes.fromhex(answer.split(" ")[4]) == http_client(raw)[1] \
            == b"".join(parts)


@pytest.mark.parametrize("value, want", [
    ("120", 120), ("0", 0), ("-5", 0), ("+5", 0), ("1.5", 0),
    ("4294967296", 2**32), ("18446744073709551616", 2**64 - 1),
    ("9" * 100, 2**64 - 1), ("Sun, 06 Nov 1994 08:51:37 GMT", 120),
    ("Sun, 06 Nov 1994 08:49:36 GMT", 0), ("", 0), ("12 s", 0)])
def test_H7_N4_retry_after(probe, value, want):
    raw = head("Date: Sun, 06 Nov 1994 08:49:37 GMT", f"Retry-After: {value}",
               "Content-Length: 0", status="503 x")
    assert probe.sized("h", 1 << 20, raw).split(" ")[2] == str(want)


@pytest.mark.parametrize("name, values, want", [
    ("Content-Encoding", ("gzip", "identity"),
     "bad a Content-Encoding nobody asked for"),
    ("Content-Encoding", ("identity", "gzip"),
     "bad a Content-Encoding nobody asked for"),
    ("Content-Encoding", ("gzip", "gzip"),
     "bad a Content-Encoding nobody asked for"),
    ("Content-Encoding", ("identity", "Identity"), "200 whole 0 0 "),
    ("Content-Length", ("0", "00"), "bad two different Content-Lengths"),
    ("Retry-After", ("7", "8"), "200 whole 0 0 "),
    ("Retry-After", ("7", "8", "7"), "200 whole 0 0 "),
    ("Retry-After", ("7", "7"), "200 whole 7 0 "),
    ("Date", ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"),
     "200 whole 0 0 "),
])
def test_N7_fields_that_differ(probe, name, values, want):
    raw = head(*[f"{name}: {v}" for v in values],
               *([] if name == "Content-Length" else ["Content-Length: 0"]))
    assert probe.sized("h", 1 << 20, raw).strip() == want.strip()


@pytest.mark.parametrize("n, want", [(16380, "200 whole"), (16384, "bad "),
                                     (1 << 20, "bad ")])
def test_N8_zeros_of_a_chunk_size(probe, n, want):
    """Size, its extension and its end have 16 KiB; one byte at a time, too."""
    for more in (b"0" * n, b"0" * (n - 200) + b"1;" + b"x" * 198):
        raw = CHUNKED + (more + b"\r\n\r\n" if b";" not in more
                         else more + b"\r\nA\r\n0\r\n\r\n")
        for step in (1, 1 << 20):
            assert probe.sized("h", step, raw).startswith(want)


@pytest.mark.parametrize("value, want", [
    # RFC 9110, section 5.6.7
    ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
    ("Tue, 29 Feb 2028 23:59:59 GMT", 1835481599),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
    ("Sun, 06 Nox 1994 08:49:37 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 UTC", 0)])
def test_date(probe, value, want):
    raw = head(f"Date: {value}", "Content-Length: 0")
    assert probe.sized("h", 1 << 20, raw).split(" ")[3] == str(want)


@pytest.mark.parametrize("url, want", [
    ("https://stream.twitter.com/1.1/statuses/sample.json",
     "1 stream.twitter.com 443 https://stream.twitter.com/1.1/statuses/"
     "sample.json /1.1/statuses/sample.json - 0 stream.twitter.com"),
    ("HTTP://EXAMPLE.com:80/r%20v/X?id=123",  # RFC 5849, section 3.4.1.2
     "0 example.com 80 http://example.com/r%20v/X /r%20v/X id=123 0 "
     "example.com"),
    ("https://www.example.net:8080/?q=1",
     "1 www.example.net 8080 https://www.example.net:8080/ / q=1 0 "
     "www.example.net:8080"),
    ("http://[::1]:9?x", "0 ::1 9 http://[::1]:9/ / x 1 [::1]:9"),
    ("https://a.example.", "1 a.example 443 https://a.example/ / - 0 a.example"),
    ("http://127.0.0.1", "0 127.0.0.1 80 http://127.0.0.1/ / - 1 127.0.0.1"),
    # what inet_aton(3) takes for an address is none of a name server's business
    ("http://127.1/", "0 127.1 80 http://127.1/ / - 1 127.1"),
    ("http://1.2.3.x/", "0 1.2.3.x 80 http://1.2.3.x/ / - 0 1.2.3.x"),
])
def test_url(probe, url, want):
    assert probe("u", url.encode()) == want


@pytest.mark.parametrize("url", [
    "", "stream.twitter.com", "ftp://x/", "https:/x", "https://", "https:///x",
    "https://user:pw@host/", "https://host:0/", "https://host:65536/",
    "https://host:/", "https://host:x/", "https://ho st/", "https://h/\r\nX: y",
    "https://h/ä", "https://h/#f", "https://h/a b", "https://h%41/", "http://",
    "https://" + "h" * 300 + "/", "https://h/" + "p" * 3000, "http://[::1/"])
def test_url_refused(probe, url):
    assert probe("u", url.encode()).startswith("bad ")


# SHA-1 and OAuth --------------------------------------------------------------

def test_sha1_and_hmac(probe):
    raw = os.urandom(5000)
    for n in (*range(0, 300), 1000, 4096):
        assert probe("s", raw[:n]) == hashlib.sha1(raw[:n]).hexdigest()
        key = raw[n:n + n % 150]
        assert probe.sized("m", len(key), key + raw[:n]) == \
            hmac.new(key, raw[:n], "sha1").hexdigest()


def test_sha1_published(probe):
    # FIPS 180-4 examples, and RFC 2202's first HMAC
    assert probe("s", b"abc") == \
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert probe("s", b"a" * 1000000) == \
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f"
    assert probe.sized("m", 20, b"\x0b" * 20 + b"Hi There") == \
        "b617318655057264e28bc0b6fb378c8ef146be00"


def oauth(probe, method, url, keys, nonce, time, params):
    fields = [method, url, *keys, nonce, str(time)]
    fields += [x for p in params for x in p]
    answer = probe("o", b"".join(
        f.encode("utf-8", "surrogateescape") + b"\0" for f in fields))
    assert not answer.startswith("bad"), answer
    base, request, body = answer.split(" ")
    request = bytes.fromhex(request).decode()
    return base, request, bytes.fromhex(body)


def signature(request):
    return urllib.parse.unquote(
        re.search('oauth_signature="([^"]*)"', request)[1])


def test_oauth_twitter_example(probe):
    """Twitter's page "Creating a signature"."""
    base, request, _ = oauth(
        probe, "POST",
        "https://api.twitter.com/1.1/statuses/update.json?include_entities=true",
        ["xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
         "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
         "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"],
        "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", 1318622958,
        [("status", "Hello Ladies + Gentlemen, a signed OAuth request!")])
    assert signature(request) == "hCtSmYh+iHYCEqBWrE7C7hYmtUk="
    assert base == (
        "POST&https%3A%2F%2Fapi.twitter.com%2F1.1%2Fstatuses%2Fupdate.json&"
        "include_entities%3Dtrue%26oauth_consumer_key%3Dxvz1evFS4wEEPTGEFPHBog"
        "%26oauth_nonce%3DkYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg%26"
        "oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1318622958%26"
        "oauth_token%3D370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb%26"
        "oauth_version%3D1.0%26status%3DHello%2520Ladies%2520%252B%2520"
        "Gentlemen%252C%2520a%2520signed%2520OAuth%2520request%2521")


def test_oauth_core_example(probe):
    """OAuth Core 1.0, appendix A.5."""
    base, request, _ = oauth(
        probe, "GET",
        "http://photos.example.net/photos?file=vacation.jpg&size=original",
        ["dpf43f3p2l4k3l03", "kd94hf93k423kf44", "nnch734d00sl2jdk",
         "pfkkdhi9sl3r4s00"], "kllo9940pd9333jh", 1191242096, [])
    assert signature(request) == "tR3+Ty81lMeYAr/Fid0kMTYa/WM="


class AnyTime(peer.Validator):
    timestamp_lifetime = 10 ** 10


def verify(method, url, request, body, keys):
    validator = AnyTime(dict(zip(peer.KEYS, keys)))
    r = peer.Request(request.encode().partition(b"\r\n\r\n")[0], body,
                     url.split(":")[0])
    return r.is_signed(validator)


ALPHABETS = ["abcXYZ019-._~", " !*'()&=+%/,;:@$?#[]\"\\<>^`{|}", "äöüßéñ",
             "日本語ツイート", "🎈🎉👩‍💻", "\u0080\u07ff\u0800\uffff\U00010000"]


def random_text(rng, least=0):
    return "".join(rng.choice(rng.choice(ALPHABETS))
                   for _ in range(rng.randrange(least, 25)))


def test_oauth_random(probe):
    """python3-oauthlib's server side accepts what we sign, and the body is the
    form that was asked for."""
    rng = random.Random(4)
    for i in range(1000):
        keys = [random_text(rng, 1) for _ in range(4)]
        names = {random_text(rng, 1) for _ in range(rng.randrange(6))}
        params = [(n, random_text(rng)) for n in sorted(names)]
        method = rng.choice(["GET", "POST"])
        query = urllib.parse.urlencode(
            [(random_text(rng, 1), random_text(rng))
             for _ in range(rng.randrange(4))])
        url = rng.choice(["http", "https"]) + "://h.example:8080/a/b%20c"
        url += "?" + query if query else ""
        _, request, body = oauth(probe, method, url, keys, "f" * 32,
                                 1500000000 + i, params)
        assert verify(method, url, request, body, keys), (keys, params, url)
        sent = body.decode() if method == "POST" else \
            request.split(" ")[1].partition("?")[2]
        got = urllib.parse.parse_qsl(sent, keep_blank_values=True, strict_parsing=bool(sent))
        asked = urllib.parse.parse_qsl(query, keep_blank_values=True)
        assert got == (params if method == "POST" else asked + params)


@pytest.mark.parametrize("char", list("!*'()~-._&=+%/ ") + ["ü", "🎈", ","])
def test_A5_oauth_each_character(probe, char):
    keys = list(peer.KEYS.values())
    url = "https://stream.example/1.1/statuses/filter.json"
    _, request, body = oauth(probe, "POST", url, keys, "0" * 32, 1500000000, [
        ("track", f"a{char}b,{char}"), ("stall_warnings", "true")])
    assert verify("POST", url, request, body, keys)
    assert body.decode() == "track=" + urllib.parse.quote(
        f"a{char}b,{char}", safe="~") + "&stall_warnings=true"


# Backoff ----------------------------------------------------------------------

OPENED, NETWORK, ENDED, SERVER, LIMITED, FATAL, COMPLETE = range(7)


class Rules:
    """The README's table, written independently; times in milliseconds."""

    def __init__(self):
        self.last = None          # (time, wait) of the last 420 or 5xx
        self.network = 0
        self.since = None         # the stream's beginning

    def next(self, event, now):
        up = self.since is not None and now - self.since >= 16 * 1000
        self.since = now if event == OPENED else None
        if up:
            self.network = 0
        if event in (OPENED, FATAL, COMPLETE):
            return 0
        if event in (SERVER, LIMITED):
            base = 1000
            if self.last and now - self.last[0] < 1800 * 1000:
                base = self.last[1]
            wait = 2 * max(base, 30 * 1000) if event == LIMITED \
                else min(2 * max(base, 2500), 320 * 1000)
            self.last = (now, wait)
            return wait
        if event == ENDED and up:
            return 0
        self.network += 1
        return min(self.network * 250, 16 * 1000)


def packed(sequence):
    return b"".join(struct.pack(">BQ", *x) for x in sequence)


def backoff(probe, sequence):
    return [int(w) for w in probe("b", packed(sequence)).split()]


def test_backoff_random(probe):
    rng = random.Random(5)
    sequences, wants = [], []
    for _ in range(100000):
        rules, now, sequence, want = Rules(), rng.choice([0, 10**9]), [], []
        for _ in range(rng.randrange(1, 30)):
            event = rng.choice([OPENED, NETWORK, ENDED, ENDED, SERVER, LIMITED,
                                LIMITED, FATAL])
            sequence.append((event, now))
            want.append(rules.next(event, now))
            now += rng.choice([0, want[-1], want[-1] + rng.randrange(20000),
                               15999, 16000, 16001, 1799999, 1800000, 1800001,
                               rng.randrange(4000000)])
        sequences.append(sequence)
        wants.append(want)
    for answer, want, sequence in zip(
            probe.many("b", map(packed, sequences)), wants, sequences):
        assert [int(w) for w in answer.split()] == want, sequence


def run(probe, event, n):
    """The waits in seconds of n errors, each after the wait of the last."""
    rules, now, sequence = Rules(), 0, []
    for _ in range(n):
        sequence.append((event, now))
        now += rules.next(event, now)
    return [w / 1000 for w in backoff(probe, sequence)]


def test_H9_backoff_published(probe):
    assert run(probe, LIMITED, 8) == [60, 120, 240, 480, 960, 1920, 60, 120]
    assert run(probe, SERVER, 9) == [5, 10, 20, 40, 80, 160, 320, 320, 320]
    assert run(probe, SERVER, 1000)[-1] == 320
    assert run(probe, NETWORK, 70) == [min(n / 4, 16) for n in range(1, 71)]
    assert backoff(probe, [(LIMITED, 0), (SERVER, 60000)]) == [60000, 120000]


def test_backoff_codes(probe):
    def code(kind, n):
        return int(probe("c", kind.encode() + struct.pack(">I", n)))

    for n in range(201, 1000):
        want = LIMITED if n in (420, 429) else SERVER \
            if 500 <= n < 600 or n in (408, 425) else FATAL
        assert code("s", n) == want
    special = {2: LIMITED, 6: FATAL, 7: LIMITED, 9: COMPLETE, 401: FATAL,
               403: FATAL, 404: FATAL, 406: FATAL, 413: FATAL, 416: FATAL,
               420: LIMITED, 429: LIMITED, 500: SERVER, 503: SERVER, 599: SERVER}
    for n in (*range(0, 300), *special, 600, 9999):
        assert code("d", n) == special.get(n, ENDED)


# Withheld ---------------------------------------------------------------------

def withheld(probe, values):
    raw = b"".join(struct.pack(">Q", 2**64 - 1 if v is None else v)
                   for v in values)
    return tuple(int(x) for x in probe("w", raw).split())


def test_withheld_interleaved(probe):
    """Four counters that never cross, their notices in random order: once each
    has spoken five times, the sum of their last values comes out exactly."""
    rng = random.Random(6)
    for _ in range(300):
        total = least = 0
        wire = []
        for _ in range(rng.randrange(1, 5)):
            wire.append(None)
            gap = 10000
            counters = [gap * (i + 1) for i in range(4)]
            notices = []
            for _ in range(rng.randrange(5, 60)):
                grow = rng.randrange(1, 60)
                for i in range(4):
                    counters[i] += grow + rng.randrange(60)
                shown = counters[:]
                rng.shuffle(shown)
                notices += shown
            wire += notices
            total += sum(counters)
            least += max(counters)
        assert withheld(probe, wire) == (total, least, 0)


def test_M7_withheld_bounds(probe):
    assert withheld(probe, []) == (0, 0, 0)
    assert withheld(probe, [5, 5, 7]) == (7, 7, 0)
    assert withheld(probe, [5, 3, 7, None, 1]) == (11, 8, 0)
    top = 2**64 - 2
    assert withheld(probe, [top, 5]) == (2**64 - 1, top, 0)
    assert withheld(probe, [top, None, top]) == (2**64 - 1, 2**64 - 1, 0)
    many = list(range(100, 80, -1))  # 20 counters, 16 are told apart
    assert withheld(probe, many) == (sum(many[:16]), 100, 4)


# Keys -------------------------------------------------------------------------

WANT = ["ck", "cs", "tk", "ts"]


@pytest.mark.parametrize("text", [
    "client_key: ck\nclient_secret: cs\nresource_owner_key: tk\n"
    "resource_owner_secret: ts\n",
    "---\n# a comment\nclient_key: 'ck'\nclient_secret: \"cs\" # why\n\n"
    "resource_owner_key:tk\nresource_owner_secret:   ts   \nother: 1\n",
    "[main]\nconsumer_key = ck\nconsumer_secret = cs\naccess_token = tk\n"
    "access_token_secret = ts\n",
    "\ufeffAPI_KEY=ck\r\nApi_Secret=cs\r\noauth_token=tk\r\n"
    "oauth_token_secret=ts",
])
def test_A3_keys(probe, text):
    got = [bytes.fromhex(x).decode() for x in probe("k", text.encode()).split()]
    assert got == WANT


@pytest.mark.parametrize("text, want", [
    ("client_key: ck\n", "FILE has no consumer secret (client_secret, "
     "consumer_secret, api_secret, api_key_secret)"),
    ("", "FILE has no consumer key (client_key, consumer_key, api_key)"),
    ("client_key: ck\njust words S3CRET\n", "line 2 is neither `name: value' "
     "nor `name = value'"),
    ("client_key: ck\napi_key: S3CRET\n",
     "line 2 has a credential that an earlier line has too"),
    ("client_key: " + "S3CRET" * 200, "FILE has too many bytes in the consumer key "
     "(client_key, consumer_key, api_key)"),
    ("client_key: ck\nclient_secret: S3CRET\x01\nresource_owner_key: a\n"
     "resource_owner_secret: b\n", "FILE has a byte that is not visible "
     "ASCII in the consumer secret (client_secret, consumer_secret, api_secret, "
     "api_key_secret)"),
])
def test_A3_keys_errors(probe, text, want):
    answer = probe("k", text.encode())
    assert answer == "bad " + want
    assert "S3CRET" not in answer


# Structure --------------------------------------------------------------------

def test_every_enum_has_a_text(probe):
    texts = probe("e", b"").split("|")[:-1]
    assert len(texts) > 30
    assert all(t and t != "(null)" for t in texts)


def pure_rooms():
    """The list is the Makefile's."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return re.search(r"^PURE = (.*)", text, re.M)[1].split()


PURE = pure_rooms()


def test_pure_rooms_make_no_system_call():
    """Their objects need nothing but memory and string functions, and each
    other; their sources include nothing else."""
    defined = set()
    for room in PURE:
        out = subprocess.run(["nm", ROOT / f"build/{room}.o"], text=True,
                             capture_output=True, check=True).stdout
        defined |= {x.split()[2] for x in out.splitlines() if " T " in x}
    for room in PURE:
        out = subprocess.run(["nm", "-u", ROOT / f"build/{room}.o"], text=True,
                             capture_output=True, check=True).stdout
        needed = {x.split()[1] for x in out.splitlines()}
        foreign = {x for x in needed - defined
                   if not re.match(r"mem|str|explicit_bzero$|_GLOBAL_OFFSET|"
                                   r"__stack_chk_fail$", x)}
        assert not foreign, room
        for end in "ch":
            source = (ROOT / f"{room}.{end}").read_text()
            headers = set(re.findall(r"#include <(.*)>", source))
            assert headers <= {"stdbool.h", "stddef.h", "stdint.h", "string.h",
                               "emmintrin.h"}, room
            ours = set(re.findall(r'#include "(.*)\.h"', source))
            # of keys the struct alone, by which credentials come
            assert ours <= {*PURE, "moment", "keys"}, room


def test_no_heap():
    sources = " ".join(f.read_text() for f in ROOT.glob("*.[ch]"))
    assert not re.search(r"\b(malloc|calloc|realloc|free|alloca|strcpy|strcat|"
                         r"sprintf|strtok|atoi|sscanf)\s*\(", sources)


def test_base64_of_signatures(probe):
    """Every length of base64 padding is in use elsewhere; here one signature is
    decoded back to its 20 bytes."""
    _, request, _ = oauth(probe, "GET", "http://h/", WANT, "0", 1, [])
    assert len(base64.b64decode(signature(request), validate=True)) == 20
