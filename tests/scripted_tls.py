"""A TLS 1.2 server whose every record is written by hand, for what OpenSSL
refuses to send: RFC 5246, with ECDHE-ECDSA-AES128-GCM-SHA256 (RFC 5289)."""

import hashlib
import hmac
import os
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ALERT, HANDSHAKE, DATA = 21, 22, 23
SUITE = 0xC02B


def prf(secret, label, seed, size):
    out, a = b"", label + seed
    while len(out) < size:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + label + seed, "sha256")
    return out[:size]


def record(kind, data, version=0x0303):
    return struct.pack(">BHH", kind, version, len(data)) + data


def message(kind, data):
    return bytes([kind]) + struct.pack(">I", len(data))[1:] + data


def server_hello(suite=SUITE, version=0x0303, compression=0, extensions=b""):
    return message(2, struct.pack(">H", version) + os.urandom(32) + b"\0"
                   + struct.pack(">HB", suite, compression)
                   + (struct.pack(">H", len(extensions)) + extensions
                      if extensions else b""))


def certificate(chain):
    """A Certificate message of these DER certificates."""
    def sized(b):
        return struct.pack(">I", len(b))[1:] + b
    return message(11, sized(b"".join(map(sized, chain))))


class ScriptedTls:
    """Over a connected socket. accept() is the handshake; afterwards record()
    encrypts anything at all."""

    def __init__(self, sock, pem):
        self.sock, self.rest, self.sent = sock, b"", 0
        raw = pem.read_bytes()
        self.key = serialization.load_pem_private_key(raw, None)
        self.chain = [x509.load_pem_x509_certificate(raw).public_bytes(
            serialization.Encoding.DER)]

    def read_record(self):
        while len(self.rest) < 5 or \
                len(self.rest) < 5 + int.from_bytes(self.rest[3:5], "big"):
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("the client closed")
            self.rest += more
        size = int.from_bytes(self.rest[3:5], "big")
        kind, data = self.rest[0], self.rest[5:5 + size]
        self.rest = self.rest[5 + size:]
        return kind, data

    def accept(self):
        _, hello = self.read_record()
        log, client_random = hello, hello[6:38]
        mine = server_hello()
        server_random = mine[6:38]
        share = ec.generate_private_key(ec.SECP256R1())
        point = share.public_key().public_bytes(
            serialization.Encoding.X962,
            serialization.PublicFormat.UncompressedPoint)
        params = b"\x03\x00\x17" + bytes([len(point)]) + point
        signature = self.key.sign(client_random + server_random + params,
                                  ec.ECDSA(hashes.SHA256()))
        flight = mine + certificate(self.chain) + message(
            12, params + b"\x04\x03" + struct.pack(">H", len(signature))
            + signature) + message(14, b"")
        log += flight
        self.sock.sendall(record(HANDSHAKE, flight))
        _, exchange = self.read_record()
        log += exchange
        secret = share.exchange(ec.ECDH(), ec.EllipticCurvePublicKey
                                .from_encoded_point(ec.SECP256R1(),
                                                    exchange[5:]))
        master = prf(secret, b"master secret", client_random + server_random,
                     48)
        keys = prf(master, b"key expansion", server_random + client_random, 40)
        self.reader, self.read_salt, self.received = \
            AESGCM(keys[:16]), keys[32:36], 0
        self.writer, self.write_salt = AESGCM(keys[16:32]), keys[36:40]
        assert self.read_record() == (20, b"\x01")
        _, finished = self.read_record()
        finished = self.open(HANDSHAKE, finished)
        digest = hashlib.sha256(log).digest()
        assert finished[4:] == prf(master, b"client finished", digest, 12)
        digest = hashlib.sha256(log + finished).digest()
        self.sock.sendall(record(20, b"\x01") + self.record(
            HANDSHAKE, message(20, prf(master, b"server finished", digest, 12))))

    def open(self, kind, data):
        nonce = self.read_salt + data[:8]
        head = struct.pack(">QBHH", self.received, kind, 0x0303,
                           len(data) - 24)
        self.received += 1
        return self.reader.decrypt(nonce, data[8:], head)

    def record(self, kind, data):
        explicit = struct.pack(">Q", self.sent)
        head = explicit + struct.pack(">BHH", kind, 0x0303, len(data))
        self.sent += 1
        return record(kind, explicit + self.writer.encrypt(
            self.write_salt + explicit, data, head))

    def send(self, data, kind=DATA):
        self.sock.sendall(self.record(kind, data))

    def request(self):
        """Read until the form is there."""
        got = b""
        while b"filter_level=none" not in got:
            kind, data = self.read_record()
            got += self.open(kind, data)
        return got
