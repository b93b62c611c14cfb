"""The other side of the wire for the tests and the demo: certificates, a
server that does on each connection what a function says, and the check of
OAuth signatures by python3-oauthlib."""

import datetime
import ipaddress
import pathlib
import re
import socket
import ssl
import subprocess
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

KEYS = {
    "client_key": "c-key+/=%",
    "client_secret": "c-secret&~!",
    "resource_owner_key": "807095-token",
    "resource_owner_secret": "t-secret/'x'",
}


def keys_text(keys=None):
    return "".join(f"{k}: {v}\n" for k, v in (keys or KEYS).items())


# Certificates ---------------------------------------------------------------

DAY = datetime.timedelta(days=1)


def make_key(kind="ec"):
    if kind in ("ec", "p521"):
        return ec.generate_private_key(ec.SECP256R1() if kind == "ec"
                                       else ec.SECP521R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=kind)


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder, name="tstream test CA", key=None, days=(-1, 30)):
        self.folder = pathlib.Path(folder)
        self.key = key or make_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.cert = self._build(self.name, self.key, days, ca=True)
        self.file = self.folder / (name.replace(" ", "-") + ".pem")
        self.file.write_bytes(self.pem(self.cert))

    @staticmethod
    def pem(cert):
        return cert.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def private(key):
        return key.private_bytes(serialization.Encoding.PEM,
                                 serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption())

    @classmethod
    def bare(cls, key, name):
        """One without a certificate or a folder."""
        authority = cls.__new__(cls)
        authority.key, authority.name = key, name
        return authority

    def _build(self, subject, key, days, ca=False, names=None,
               digest=None, extra=()):
        if isinstance(digest, str):
            return self._build_weak(subject, key, days, ca, names, digest=digest,
                                    extra=extra)
        now = datetime.datetime.now(datetime.timezone.utc)
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(self.name).public_key(key.public_key())
             .serial_number(x509.random_serial_number())
             .not_valid_before(now + days[0] * DAY)
             .not_valid_after(now + days[1] * DAY)
             .add_extension(x509.BasicConstraints(ca, None), True))
        if names:
            b = b.add_extension(x509.SubjectAlternativeName([
                x509.IPAddress(ipaddress.ip_address(n[3:]))
                if n.startswith("IP:") else x509.DNSName(n)
                for n in names]), False)
        for e in extra:
            b = b.add_extension(*e)
        return b.sign(self.key, digest or hashes.SHA256())

    def _build_weak(self, subject, key, *args, digest, **how):
        """SHA-1 or MD5, by openssl, which takes what its own key has signed:
        python3-cryptography no longer signs certificates with these."""
        cert = self.bare(key, subject)._build(subject, key, *args, **how)
        signer = self.folder / "signer.pem"
        signer.write_bytes(self.private(self.key) + self.pem(self.cert))
        p = subprocess.run(
            ["openssl", "x509", "-CA", signer, "-set_serial",
             str(cert.serial_number), "-preserve_dates", f"-{digest}"],
            input=self.pem(cert), check=True, capture_output=True)
        return x509.load_pem_x509_certificate(p.stdout)

    def server(self, name="localhost", names=("localhost",), kind="ec",
               days=(-1, 30), digest=None, chain=(), extra=(), self_signed=False):
        """A server's certificate and key in one file; returns its path."""
        key = make_key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = self
        if self_signed:
            issuer = self.bare(key, subject)
        cert = issuer._build(subject, key, days, names=names, digest=digest,
                             extra=extra)
        path = self.folder / f"server-{cert.serial_number}.pem"
        path.write_bytes(
            self.private(key) + self.pem(cert) + b"".join(self.pem(c) for c in chain))
        return path


def tls_context(server_pem, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:  # first, as it also sets which keys are too small
        context.set_ciphers(ciphers)
    context.load_cert_chain(server_pem)
    return context


# Signatures -----------------------------------------------------------------

class Validator(RequestValidator):
    """Knows one client; refuses a nonce that was used before."""

    enforce_ssl = False
    allowed_signature_methods = ["HMAC-SHA1"]
    timestamp_lifetime = 600
    dummy_client = dummy_request_token = dummy_access_token = "dummy"

    def __init__(self, keys):
        self.keys = keys
        self.seen = set()

    def check_client_key(self, key):
        return True

    check_access_token = check_request_token = check_client_key

    def check_nonce(self, nonce):
        return re.fullmatch(r"[0-9a-f]{32}", nonce) is not None

    def validate_client_key(self, key, request):
        return key == self.keys["client_key"]

    def validate_access_token(self, key, token, request):
        return token == self.keys["resource_owner_key"]

    def validate_timestamp_and_nonce(self, key, timestamp, nonce, request,
                                     request_token=None, access_token=None):
        if (timestamp, nonce) in self.seen:
            return False
        self.seen.add((timestamp, nonce))
        return True

    def get_client_secret(self, key, request):
        return self.keys["client_secret"]

    def get_access_token_secret(self, key, token, request):
        return self.keys["resource_owner_secret"]


class Request:
    """A request as it came."""

    def __init__(self, head, body, scheme):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        self.body = body
        self.url = f"{scheme}://{self.headers['Host']}{self.target}"

    def is_signed(self, validator):
        valid, _ = SignatureOnlyEndpoint(validator).validate_request(
            self.url, self.method, self.body.decode("ascii"), self.headers)
        return valid


# The server -----------------------------------------------------------------

HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def response(status, body=b"", headers=()):
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Connection:
    def __init__(self, sock, scheme):
        self.sock, self.scheme, self.rest = sock, scheme, b""

    def request(self):
        """Read one request; None if the client went away."""
        data = self.rest
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        size = int(length[1]) if length else 0
        while len(body) < size:
            body += self.sock.recv(65536)
        self.rest = body[size:]
        return Request(head, body[:size], self.scheme)

    def send(self, data):
        self.sock.sendall(data)

    def wait_closed(self, timeout=30):
        """Block until the client closes."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass

    def reset(self):
        """Close with an RST."""
        raw = self.sock
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                       b"\x01\0\0\0\0\0\0\0")
        raw.close()


class Server:
    """Runs handler(connection) for each connection in a thread of its own.

    requests has all that were read by stream() and the like; errors has what
    handlers raised, but for the client going away."""

    def __init__(self, handler, context=None, family=socket.AF_INET,
                 host=None, port=0, backlog=50):
        self.handler, self.context = handler, context
        self.scheme = "https" if context else "http"
        self.sock = socket.socket(family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((host or
                        ("127.0.0.1" if family == socket.AF_INET else "::1"),
                        port))
        self.sock.listen(backlog)
        self.port = self.sock.getsockname()[1]
        self.errors, self.accepted = [], 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def url(self, path="/1.1/statuses/sample.json", host="localhost"):
        return f"{self.scheme}://{host}:{self.port}{path}"

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.handler(Connection(sock, self.scheme))
        except (ConnectionError, ssl.SSLError, BrokenPipeError):
            pass
        except Exception as e:  # shown by the test that owns the server
            self.errors.append(e)
        finally:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join()
        if exc[0] is None and self.errors:
            raise self.errors[0]


def scripted(*scripts):
    """A handler: the n-th connection reads a request and sends the n-th script,
    the last one for all that follow. A script is bytes, or a function of
    connection and request. The connection is then closed."""
    lock, state = threading.Lock(), {"n": 0, "requests": []}

    def handle(connection):
        request = connection.request()
        if request is None:
            return
        with lock:
            script = scripts[min(state["n"], len(scripts) - 1)]
            state["n"] += 1
            state["requests"].append(request)
        if callable(script):
            script(connection, request)
        else:
            connection.send(script)

    handle.requests = state["requests"]
    return handle
