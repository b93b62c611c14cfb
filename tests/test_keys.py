"""Credentials as people have them (row K8): what is sent is compared with what
PyYAML and configparser read from the same file."""

import base64
import configparser
import ctypes
import os
import signal
import subprocess
import threading

import pytest
import yaml

import peer
from conftest import DATA
from peer import Server, scripted
from test_stream import ENV, tweets, stream

SECRET = "S3CRET-value"
OAUTH = ("consumer_key", "consumer_secret", "access_token",
         "access_token_secret")


@pytest.fixture
def sent(tstream, tmp_path):
    """What goes out with a keys file of this text, or in this environment:
    (user, password), a bearer token, or a request for OAuth."""
    def run(text=None, auth="basic", env=None, mode=0o600, **how):
        handler = scripted(stream(tweets(1)))
        args = ["--auth", auth, "-c", "1"] + ["--get"] * (auth != "oauth1")
        if text is not None:
            path = tmp_path / "k"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            path.chmod(mode)
            args += ["-k", path]
        with Server(handler) as server:
            p = tstream(*args, "-u", server.url(), keys=False, env=env, **how)
        run.log = p.stderr
        assert SECRET not in p.stderr
        if p.returncode != 0:
            assert p.returncode == 2 and not handler.requests
            return p.stderr
        request, = handler.requests
        if auth == "oauth1":
            return request
        kind, value = request.headers["Authorization"].split(" ", 1)
        if auth == "bearer":
            assert kind == "Bearer"
            return value
        return tuple(base64.b64decode(value).decode().split(":", 1))

    return run


def test_an_empty_variable_is_none(tstream):
    """As containers have them: the file of before is used."""
    (tstream.cwd / "keys.yaml").write_text(peer.keys_text())
    (tstream.cwd / "keys.yaml").chmod(0o600)
    with Server(scripted(stream(tweets(1)))) as server:
        p = tstream("-u", server.url(), "-c", "1", keys=False,
                    env={"CONSUMER_KEY": "", "BEARER_TOKEN": ""})
    assert p.returncode == 0 and "BEARER_TOKEN" not in p.stderr, p.stderr


# Each is one thing to YAML too.
@pytest.mark.parametrize("text", [
    "user: reader\npassword: 'it''s open'\n",
    "user: reader\npassword: ''''\n",
    'user: "rea\\"der"\npassword: "\\"a\\\\b\\\\"\n',
    "user: 'reader' # who\npassword: \"open\"  # sesame\n",
    "user: reader\npassword: '# no comment'\n",
    "user: rea'd\"er\npassword: don't \"\n",
    "user: reader\npassword: open sesame ü # a comment\n",
    "user: reader\npassword: a#b:c=d\n",
    "---\nuser:    reader   \npassword: 'é\u00a0 '\n",
    "password: '\"'\nuser: \"'\"\n",
    "user: r\r\npassword: 'a''b'\r\n",
])
def test_K8_quotes_as_yaml_has_them(sent, text):
    want = yaml.safe_load(text)
    assert sent(text) == (want["user"], want["password"])


def test_K8_quotes_in_the_field(sent):
    if not DATA.exists():
        pytest.skip("no folder with real input beside the project")
    got = sent((DATA / "field/keys-yaml-quotes.yaml").read_text())
    assert got == ("reader", "it's open")


def oauth_text(prefix, between=" = "):
    return "".join(f"{name}{between}{prefix}-{name}\n" for name in OAUTH)


def signed_by(request, prefix):
    values = [f"{prefix}-{name}" for name in OAUTH]
    return request.is_signed(peer.Validator(dict(zip(peer.KEYS, values))))


@pytest.mark.parametrize("text, prefix", [
    ("[main]\n" + oauth_text("a") + "\n[other]\n" + oauth_text("b"), "a"),
    ("[other]\n" + oauth_text("b") + "[main]\n" + oauth_text("a"), "a"),
    ("[one]\n" + oauth_text("a") + "[two]\n" + oauth_text("b"), "a"),
    ("# mine\n\n[one]\r\n" + oauth_text("a") + "[two]\njust words\n", "a"),
    ("; mine\n[one]\n; and\n" + oauth_text("a", ": "), "a"),
])
def test_K8_sections(sent, text, prefix):
    ini = configparser.ConfigParser()
    ini.read_string(text.replace("just words", "x=y").replace("\r", ""))
    section = "main" if "main" in ini else ini.sections()[0]
    assert ini[section]["consumer_key"] == f"{prefix}-consumer_key"
    assert signed_by(sent(text, "oauth1"), prefix)


def test_K8_lines_before_a_section(sent):
    """They are the first one, but where there is a [main]."""
    a, b = oauth_text("a"), oauth_text("b")
    assert signed_by(sent(a + "[two]\n" + b, "oauth1"), "a")
    assert signed_by(sent(b + "[main]\n" + a, "oauth1"), "a")


def test_K8_two_profiles_in_the_field(sent):
    if not DATA.exists():
        pytest.skip("no folder with real input beside the project")
    path = DATA / "field/twarc-two-profiles.ini"
    ini = configparser.ConfigParser()
    ini.read(path)
    keys = dict(zip(peer.KEYS, (ini["main"][name] for name in OAUTH)))
    assert sent(path.read_text(), "oauth1").is_signed(peer.Validator(keys))


@pytest.mark.parametrize("names", [
    ("api_key", "api_key_secret", "access_token_key", "access_token_secret"),
    ("API_KEY", "Api_Secret", "oauth_token", "oauth_token_secret"),
])
def test_K8_names(sent, names):
    text = "".join(f"{a}: a-{b}\n" for a, b in zip(names, OAUTH))
    assert signed_by(sent(text, "oauth1"), "a")


def test_K8_export(sent):
    """A file for the shell means here what it means there."""
    text = ("export\tBEARER_TOKEN='abc%2F'  # for sh\nexport BASIC_USER=x\n"
            "export  USER=\"re\\\\a\\\"der\"\n  export PASSWORD='op en'\n")
    shell = subprocess.run(["sh", "-c", text + 'printf "%s\\n" "$USER" '
                            '"$PASSWORD" "$BEARER_TOKEN"'],
                           capture_output=True, text=True).stdout.splitlines()
    assert sent(text) == tuple(shell[:2])
    assert sent(text, "bearer") == shell[2]


def test_K8_a_user_with_a_colon(sent):
    """RFC 7617: the server would take it for where the password begins."""
    assert "has a colon in the user name" in sent("user: a:b\npassword: c\n")


@pytest.mark.parametrize("text", [
    "bearer_token: Bearer abc%2F\n", "bearer_token: 'bearer   abc%2F'\n",
    "bearer_token: abc%2F\n"])
def test_K8_the_word_bearer(sent, text):
    assert sent(text, "bearer") == "abc%2F"
    env = {"BEARER_TOKEN": text.split(": ")[1].strip().strip("'")}
    assert sent(None, "bearer", env=env) == "abc%2F"


@pytest.mark.parametrize("size", [255, 256, 1023])
def test_K8_long_values(sent, size):
    token = "x" * size
    assert sent(f"bearer_token: {token}\n", "bearer") == token
    assert sent(None, "bearer", env={"BEARER_TOKEN": token}) == token
    pair = ("u" * size, "p" * size)
    assert sent("user: %s\npassword: '%s'\n" % pair) == pair
    values = [c * size for c in "abcd"]
    text = "".join(f"{n}: {v}\n" for n, v in zip(OAUTH, values))
    assert sent(text, "oauth1").is_signed(
        peer.Validator(dict(zip(peer.KEYS, values))))


def test_K8_too_long(sent):
    long = SECRET + "x" * (1024 - len(SECRET))
    says = sent(f"bearer_token: {long}\n", "bearer")
    assert "too many bytes in the bearer token (bearer_token)" in says
    says = sent(None, "bearer", env={"BEARER_TOKEN": long})
    assert "bearer token" in says and "too many bytes" in says
    assert "has no" not in says


@pytest.mark.parametrize("text, says", [
    ("bearer_token: '%s' x\n", "line 1 has text behind the closing quote"),
    ("bearer_token: '%s'#x\n", "line 1 has text behind the closing quote"),
    ('\nbearer_token: "%s\n', "line 2 has a quote that is not closed"),
    ("bearer_token: '%s''\n", "line 1 has a quote that is not closed"),
    ("bearer_token: # %s\n", "has no bearer token"),
    ("bearer_token: ''\nx: %s\n", "has no bearer token"),
    ("bearer_token: a %s\n", "not visible ASCII in the bearer token"),
    ("bearer_token: \u00a0%s\n", "not visible ASCII in the bearer token"),
    ("bearer_token: \u200b%s\n", "not visible ASCII in the bearer token"),
    ("bearer_token: a\x7f%s\n", "not visible ASCII in the bearer token"),
    ("bearer_token: %s\nBEARER_TOKEN = x\n", "line 2 has a credential that"),
    ('{"bearer_token": "%s"}\n', "it is JSON"),
    (' \n\t{"bearer_token": "%s"}\n', "it is JSON"),
    ("\ufeff{\"bearer_token\": \"%s\"}\n", "it is JSON"),
    ("bearer_token: %s\n\0", "it is not text"),
    ("[main]\n[x]\nbearer_token: %s\n", "has no bearer token"),
    ("%s\n", "line 1 is neither"),
])
def test_K8_what_is_wrong_is_named(sent, text, says):
    assert says in sent(text % SECRET, "bearer")


@pytest.mark.parametrize("code", ["utf-16", "utf-16-le", "utf-16-be"])
def test_K8_utf16(sent, code):
    text = f"bearer_token: {SECRET}\n"
    assert "it is UTF-16" in sent(text.encode(code), "bearer")
    if DATA.exists() and code == "utf-16":
        raw = (DATA / "field/keys-utf16.yaml").read_bytes()
        assert "it is UTF-16" in sent(raw, "oauth1")


def test_K8_password(sent):
    """More than visible ASCII, but no control characters."""
    assert sent("user: a\npassword: ü b\n") == ("a", "ü b")
    for bad in (b"\x1b", b"\xff", b"\xc3"):
        says = sent(b"user: a\npassword: x" + bad + SECRET.encode())
        assert "control character, or no UTF-8, in the password" in says


def test_K8_environment_is_named(sent):
    says = sent(None, "oauth1", env=dict(ENV, ACCESS_TOKEN=SECRET + "\n"))
    assert "not visible ASCII in the access token (ACCESS_TOKEN)" in says


@pytest.mark.parametrize("kind", ["stdin", "fifo", "substitution"])
def test_K8_pipes(sent, tstream, tmp_path, kind):
    """As for any tool that reads a file; a writer may take its time."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text = b"user: a\n" + b"# x\n" * 5000 + b"password: b\n"
    handler = scripted(stream(tweets(1)))
    read, write = os.pipe()
    source = {"stdin": "/dev/stdin", "fifo": fifo,
              "substitution": f"/dev/fd/{read}"}[kind]
    with Server(handler) as server:
        how = {"stdin": read} if kind == "stdin" else {"pass_fds": [read]}
        p = tstream.start("--auth", "basic", "--get", "-c", "1", "-u",
                          server.url(), "-k", source, keys=False, **how)
        with open(fifo if kind == "fifo" else write, "wb", buffering=0) as f:
            f.write(text[:100])
            f.write(text[100:])
        out, err = p.communicate(timeout=20)
    os.close(read)
    if kind == "fifo":
        os.close(write)
    assert p.returncode == 0, err
    assert handler.requests[0].headers["Authorization"] == \
        "Basic " + base64.b64encode(b"a:b").decode()
    assert b"chmod" not in err


def test_K8_pipe_that_nobody_fills(tstream, tmp_path):
    """It is waited for as cat does, and a signal ends that."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    p = tstream.start("-k", fifo, keys=False)
    write = None
    while write is None and p.poll() is None:
        try:  # which fails as long as nobody reads
            write = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            pass
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20)
    os.close(write)
    assert p.returncode == -signal.SIGINT


def test_K8_too_much(tstream, tmp_path):
    read, write = os.pipe()
    p = tstream.start("-k", "/dev/stdin", keys=False, stdin=read)
    os.close(read)
    threading.Thread(target=lambda: os.write(write, b"#\n" * 40000)).start()
    out, err = p.communicate(timeout=20)
    os.close(write)
    assert p.returncode == 2 and b"larger than 64 KiB" in err
    p = tstream("-k", tmp_path, keys=False)
    assert p.returncode == 2 and "directory" in p.stderr


def test_A2_advice_fits_the_file(sent):
    """chmod is for one's own regular file that others can read."""
    text = "bearer_token: x\n"
    assert sent(text, "bearer", mode=0o644) == "x"
    assert "can be read by others: chmod 600" in sent.log
    assert sent(text, "bearer", mode=0o600) == "x"
    assert "chmod" not in sent.log


def test_A2_no_advice_for_what_is_not_ones_own(tstream, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("another user's file is made by root")
    path = tmp_path / "k"
    path.write_text("bearer_token: x\n")
    path.chmod(0o644)
    os.chown(path, 65534, 65534)
    with Server(scripted(stream(tweets(1)))) as server:
        p = tstream("--auth", "bearer", "--get", "-c", "1", "-k", path, "-u",
                    server.url(), keys=False)
    assert p.returncode == 0 and "chmod" not in p.stderr


def environ_of(tstream, start):
    """What /proc shows of the process that start(server) runs, once it
    streams."""
    opened = threading.Event()

    def send(c, request):
        c.send(stream(tweets(1)))
        opened.set()
        c.wait_closed()

    with Server(scripted(send)) as server:
        p = tstream.started(start(server))
        assert opened.wait(20)
        with open(f"/proc/{p.pid}/environ", "rb") as f:
            environ = f.read()
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=20)
    return environ


@pytest.mark.parametrize("first, auth", [("first-" + SECRET, "bearer"), ("", "none")])
def test_A7_a_variable_that_is_there_twice(tstream, first, auth):
    """execve(2) hands on whatever a parent put there."""
    libc = ctypes.CDLL(None)
    env = (ctypes.c_char_p * 3)(b"BEARER_TOKEN=" + first.encode(),
                                b"BEARER_TOKEN=second-" + SECRET.encode(), None)

    def start(server):
        words = [x.encode() for x in tstream.command(
            "--v2", "--auth", auth, "-u", server.url(), keys=False)]
        argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
        return subprocess.Popen(
            ["false"], preexec_fn=lambda: libc.execve(words[0], argv, env),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    environ = environ_of(tstream, start)
    assert environ.count(b"BEARER_TOKEN=") == 2
    assert SECRET.encode() not in environ


@pytest.mark.parametrize("auth", ["oauth1", "bearer", "basic", "none"])
def test_A7_environment_is_wiped_whatever_is_used(tstream, auth):
    secrets = {name: SECRET + name for name in (
        *ENV, "BEARER_TOKEN", "BASIC_USER", "BASIC_PASSWORD")}
    environ = environ_of(tstream, lambda server: tstream.start(
        "--auth", auth, "--get", "-u", server.url(), keys=False, env=secrets))
    assert b"PATH=" in environ and SECRET.encode() not in environ
