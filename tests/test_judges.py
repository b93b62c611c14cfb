"""Whole ranges instead of samples, before judges that share nothing with us:
NIST's vectors, OpenSSL, Python, Node. The largest take minutes: make torture."""

import binascii
import hashlib
import hmac
import os
import pathlib
import random
import shutil
import struct
import subprocess
import urllib.parse

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from conftest import ROOT
from test_rooms import (ALPHABETS, TWEETS, BAD, Probe, oauth, probe,  # noqa: F401
                        signature, strict, verify)

torture = pytest.mark.torture
VECTORS = pathlib.Path(cryptography_vectors.__file__).parent


# SHA-1 ------------------------------------------------------------------------

def vectors(name):
    """The blocks of a file of NIST's CAVP, as dictionaries."""
    block = {}
    for line in (VECTORS / name).read_text().splitlines() + [""]:
        if " = " in line and not line.startswith("["):
            k, v = line.split(" = ", 1)
            block[k.strip()] = v.strip()
        elif block and not line:
            yield block
            block = {}


@pytest.mark.parametrize("name", ["SHA1ShortMsg", "SHA1LongMsg"])
def test_sha1_of_nist(probe, name):  # noqa: F811
    n = 0
    for b in vectors(f"hashes/SHA1/{name}.rsp"):
        if "Msg" in b:
            raw = bytes.fromhex(b["Msg"])[:int(b["Len"]) // 8]
            assert probe("s", raw) == b["MD"]
            n += 1
    assert n > 60


def test_sha1_monte_carlo_of_nist(probe):  # noqa: F811
    """FIPS 180-4's validation system: a thousand hashes in a chain."""
    blocks = list(vectors("hashes/SHA1/SHA1Monte.rsp"))
    seed = bytes.fromhex(next(b["Seed"] for b in blocks if "Seed" in b))
    for b in [b for b in blocks if "COUNT" in b][:5]:
        last = [seed] * 3
        for _ in range(1000):
            last = last[1:] + [bytes.fromhex(probe("s", b"".join(last)))]
        seed = last[2]
        assert seed.hex() == b["MD"]


def test_hmac_of_rfc_2202(probe):  # noqa: F811
    n = 0
    for b in vectors("HMAC/rfc-2202-sha1.txt"):
        if "MD" not in b:
            continue
        key = bytes.fromhex(b["Key"])
        raw = bytes.fromhex(b["Msg"])[:int(b["Len"]) // 8]
        assert probe.sized("m", len(key), key + raw) == b["MD"]
        n += 1
    assert n >= 7


def openssl_hmac(key, raw):
    h = HMAC(key, hashes.SHA1())
    h.update(raw)
    return h.finalize().hex()


def test_sha1_and_hmac_of_every_length(probe):  # noqa: F811
    raw = os.urandom(4096)
    keys = [os.urandom(n % 200) for n in range(4097)]
    got = probe.many("s", (raw[:n] for n in range(4097)))
    assert got == [hashlib.sha1(raw[:n]).hexdigest() for n in range(4097)]
    got = probe.many("m", (struct.pack(">I", len(keys[n])) + keys[n] + raw[:n]
                           for n in range(4097)))
    assert got == [hmac.new(keys[n], raw[:n], "sha1").hexdigest()
                   for n in range(4097)]
    assert got == [openssl_hmac(keys[n], raw[:n]) for n in range(4097)]


# OAuth ------------------------------------------------------------------------

def test_oauth_of_twitters_older_page(probe):  # noqa: F811
    _, request, _ = oauth(
        probe, "POST",
        "https://api.twitter.com/1/statuses/update.json?include_entities=true",
        ["xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
         "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
         "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"],
        "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", 1318622958,
        [("status", "Hello Ladies + Gentlemen, a signed OAuth request!")])
    assert signature(request) == "tnnArxj06cWHq44gCs1OSKk/jLY="


def test_hmac_of_rfc_5849(probe):  # noqa: F811
    """Section 1.2, the request for a photo, which has no oauth_version."""
    base = (b"GET&http%3A%2F%2Fphotos.example.net%2Fphotos&file%3Dvacation.jpg"
            b"%26oauth_consumer_key%3Ddpf43f3p2l4k3l03%26oauth_nonce%3DchapoH"
            b"%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D1371312"
            b"02%26oauth_token%3Dnnch734d00sl2jdk%26size%3Doriginal")
    key = b"kd94hf93k423kf44&pfkkdhi9sl3r4s00"
    mac = bytes.fromhex(probe.sized("m", len(key), key + base))
    assert binascii.b2a_base64(mac) == b"MdpQcU8iPSUjWoN/UDMsK2sui9I=\n"


def any_text(rng, least=0):
    """Of all of Unicode, surrogates and NUL left out."""
    def char():
        if rng.random() < 0.5:
            return rng.choice(rng.choice(ALPHABETS))
        c = rng.choice([rng.randrange(1, 0xd800), rng.randrange(0xe000, 0x110000)])
        return chr(c)
    return "".join(char() for _ in range(rng.randrange(least, 12)))


@torture
def test_A5_oauth_ten_thousand_requests(probe):  # noqa: F811
    rng = random.Random(11)
    for i in range(10000):
        keys = [any_text(rng, 1) for _ in range(4)]
        params = [(n, any_text(rng)) for n in sorted(
            {any_text(rng, 1) for _ in range(rng.randrange(6))})]
        query = urllib.parse.urlencode([(any_text(rng, 1), any_text(rng))
                                        for _ in range(rng.randrange(3))])
        url = "https://h.example/a/b" + ("?" + query if query else "")
        _, request, body = oauth(probe, "POST", url, keys, "f" * 32,
                                 1500000000 + i, params)
        assert verify("POST", url, request, body, keys), (keys, params, url)


# JSON -------------------------------------------------------------------------

def mutations(rng, n):
    for _ in range(n):
        doc = bytearray(rng.choice(TWEETS[:11] + BAD).encode())
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(doc) + 1)
            doc[at:at + rng.randrange(3)] = rng.choice(
                [b"", bytes([rng.randrange(256)]), b'"', b"{", b"]", b"\\u",
                 b"1e5", "é".encode(), b"\xed\xa0\x80", b"\xef\xbb\xbf",
                 "🎈".encode()[:rng.randrange(1, 4)]])
        yield bytes(doc)


def every_change(text):
    whole = text.encode()
    yield from (whole[:i] for i in range(len(whole)))
    yield from (whole[:i] + bytes([c]) + whole[i + 1:]
                for i in range(len(whole)) for c in range(256))


def before_the_judges(probe, documents):  # noqa: F811
    """Ours, Python's and Node's verdicts are one. CRLF ends a line for us, and is
    white space for them."""
    documents = [d for d in documents if b"\r\n" not in d]
    ours = [a.split()[-1] if a.startswith("ok") else "bad" for a in probe.many(
        "j", (struct.pack(">I", (7, 64, 1 << 20)[i % 3]) + b"text\0" + d
              for i, d in enumerate(documents)))]
    pythons = [strict(d) for d in documents]
    assert ours == ["bad" if v is None else str(v) for v in pythons]
    if shutil.which("node"):
        wire = b"".join(d.hex().encode() + b"\n" for d in documents)
        node = subprocess.run(["node", ROOT / "tests/judge.js"], input=wire,
                              capture_output=True, check=True)
        assert ours == node.stdout.decode().split()


def test_json_mutations_and_changes(probe):  # noqa: F811
    before_the_judges(probe, mutations(random.Random(12), 5000))
    before_the_judges(probe, every_change(TWEETS[5]))


@torture
def test_json_a_hundred_thousand_mutations(probe):  # noqa: F811
    before_the_judges(probe, mutations(random.Random(13), 100000))


@torture
@pytest.mark.parametrize("tweet", range(2))
def test_json_every_change_of_every_byte(probe, tweet):  # noqa: F811
    before_the_judges(probe, every_change(TWEETS[tweet]))


def is_part_of_a_string(raw):
    """Python's decoder is the judge of UTF-8; the rest is RFC 8259, 7."""
    if raw[0] in b'"\\' or min(raw) < 0x20 or b'"' in raw or b"\\" in raw:
        return None  # not for the decoder to say
    try:
        raw.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def three_bytes(probe, first):  # noqa: F811
    bits = bytes.fromhex(probe("8", bytes([first])))
    for n in range(65536):
        want = is_part_of_a_string(bytes([first, n >> 8, n & 255]))
        got = bits[n >> 3] >> (n & 7) & 1
        assert want is None or want == got, (first, hex(n))


@pytest.mark.parametrize("first", [0x20, 0x7f, 0x80, 0xc2, 0xe0, 0xed, 0xf4])
def test_S6_utf8_of_three_bytes(probe, first):  # noqa: F811
    three_bytes(probe, first)


@torture
def test_S6_utf8_of_all_three_bytes(probe):  # noqa: F811
    for first in range(0x20, 0x100):
        three_bytes(probe, first)
