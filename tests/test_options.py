"""The command line: help, hints, what is sent."""

import re
import socket
import subprocess
import time
from urllib.parse import parse_qsl

import pytest

import peer
from conftest import BINARY, clean_environment
from peer import HEAD, Server, chunk, response, scripted
from test_stream import BYE, ENV, joined, stream, tweets


def run(*args, env=None, cwd="/"):
    return subprocess.run([BINARY, *args], text=True, capture_output=True,
                          cwd=cwd, env=clean_environment(ENV | (env or {})),
                          timeout=20)


def dry(*args, **how):
    p = run("--dry-run", *args, **how)
    assert p.returncode == 0, p.stderr
    return p


# Help ---------------------------------------------------------------------------

def test_help_fits_a_terminal():
    for option in ("-h", "--help"):
        p = run(option)
        lines = p.stdout.splitlines()
        assert p.returncode == 0 and not p.stderr
        assert len(lines) <= 24 and max(map(len, lines)) <= 80
    for word in ("--track", "--keys", "--v2", "--duration", "--help all", "man"):
        assert word in p.stdout, word


def test_help_all():
    p = run("--help", "all")
    assert p.returncode == 0 and not p.stderr
    assert run("-h", "all").stdout == p.stdout
    assert max(map(len, p.stdout.splitlines())) <= 80
    short = {x for x in run("-h").stdout.splitlines() if x.startswith("  ")}
    long = {x for x in p.stdout.splitlines() if x.startswith("  ")}
    assert short < long and len(long) >= 25
    for word in ("--tweet-key", "--stall", "--cafile"):
        assert word in p.stdout, word


# Hints ---------------------------------------------------------------------------

@pytest.mark.parametrize("args, says", [
    (["--trak", "x"], "no option --trak; try tstream --help"),
    (["--trak=x"], "no option --trak; try"), (["-Z"], "no option -Z; try"),
    (["-t"], "takes a # that is not quoted as a comment"),
    (["-q", "--track"], "takes a # that is not quoted as a comment"),
    (["-t", ""], "takes a # that is not quoted as a comment"),
    (["-c"], "-c needs a value; try"), (["-qv"], "-q and -v"),
    (["-v", "--quiet"], "-q and -v"),
    (["--report", ""], "--report: the value is empty"),
    (["--cafile="], "--cafile: the value is empty"),
    (["-o", ""], "--output: the value is empty"),
    (["-t", "a\x1b[31m\u202eb"], r"`a\x1b[31m\xe2\x80\xaeb'"),
    (["-t", "a", "x\x07"], r"`x\x07' is not an option"),
    (["-t", b"caf\xe9"], "is not UTF-8"), (["-p", b"a=\xe9"], "in UTF-8"),
    (["-t", b"\xed\xa0\x80"], "is not UTF-8"),
    (["-u", "https://bücher.example/x"], "xn--"),
    (["-u", "https://münchen.example:8443"], "xn--"),
    (["-u", "https://h.example/ü"], "%XX"),
    (["-p", "delimited=length"], "one object a line"),
    (["--v2", "-f", "1"], "/2/tweets/search/stream/rules"),
    (["-d", "7x"], "is no time"), (["-d", "d"], "is no time"),
    (["-d", "7dd"], "is no time"), (["-d", "0d"], "is no time"),
    (["-s", "0"], "is no time"), (["-d", "4294967296"], "is no time"),
    (["--stall", "1w"], "is no time"), (["--buffer", "0"], "is no size"),
    (["--buffer", "1k"], "is no size"), (["-c", "1K"], "whole number"),
])
def test_errors_help(args, says):
    p = subprocess.run([BINARY, *args, "--dry-run"] if args[-1] not in
                       ("-t", "--track", "-c") else [BINARY, *args],
                       capture_output=True, env=clean_environment(ENV))
    err = p.stderr.decode(errors="replace")
    assert p.returncode == 2 and says in err and not p.stdout, err
    assert err.count("\n") == 1


def test_url_with_a_password_is_not_shown():
    p = run("-u", "https://me:S3CRET@h.example/")
    assert p.returncode == 2 and "S3CRET" not in p.stderr
    assert "user name" in p.stderr


X = "https://api.x.com/2/tweets/search/stream"
POWER = "https://api.x.com/2/powerstream"
BEARER = {"BEARER_TOKEN": "t"}
NEEDS = "-u: a URL of X API v2 needs --v2"


@pytest.mark.parametrize("args, said", [
    (["-u", X], True), (["-u", "https://api.twitter.com/2/x"], True),
    (["-u", X, "--get", "--auth", "bearer"], True),
    (["-u", X, "--get", "--auth", "bearer", "--tweet-key", "data"], False),
    (["-u", POWER], True), (["-u", POWER, "--get", "--auth", "bearer"], False),
    (["-u", POWER + "?partition=1", "--get", "--auth", "bearer"], False),
    (["--v2"], False), (["--v2", "-u", X], False), ([], False),
    (["-u", "https://api.x.com/1.1/x.json"], False),
    (["-u", "https://h.example/2/x"], False),
])
def test_a_v2_url_without_v2_is_said_once(args, said):
    p = dry(*args, env=BEARER)
    assert p.stderr.count(NEEDS) == said, p.stderr


def test_a_bearer_token_that_is_not_used_is_said_once():
    said = "BEARER_TOKEN is set and not used"
    assert dry(env=BEARER).stderr.count(said) == 1
    assert dry("--auth", "none", env=BEARER).stderr.count(said) == 1
    assert said not in dry("--v2", env=BEARER).stderr
    assert said not in dry("--auth", "bearer", env=BEARER).stderr
    assert said not in dry().stderr
    p = subprocess.run([BINARY], capture_output=True, text=True, cwd="/",
                       env=clean_environment(BEARER))
    assert p.returncode == 2 and said in p.stderr


def test_where_credentials_go_is_said_once():
    said = "the credentials go to "
    p = dry("-u", "https://h.example/x")
    assert p.stderr.count(said + "h.example") == 1
    p = dry("-u", "https://stream.twitter.com.h.example/1.1/x")
    assert p.stderr.count(said + "stream.twitter.com.h.example") == 1
    p = dry("-u", "https://stream.twitter.co/1.1/x")
    assert p.stderr.count(said) == 1
    for args in ([], ["-u", "https://stream.twitter.com/1.1/x"], ["--v2"],
                 ["--v2", "-u", "https://api.x.com/2/tweets/sample/stream"],
                 ["--auth", "none", "-u", "https://h.example/x"]):
        assert said not in dry(*args, env=BEARER).stderr, args


# What is sent ---------------------------------------------------------------------

def test_dry_run_shows_what_the_comma_made():
    out = dry("-t", "snow, ice,straße", "-f", "1").stdout
    lines = [x for x in out.splitlines() if x.startswith("phrase: ")]
    assert lines == ["phrase: `snow', 4 of at most 60 bytes",
                     "phrase: ` ice', 4 of at most 60 bytes",
                     "phrase: `straße', 7 of at most 60 bytes"]
    for limit in ("3 of at most 400 phrases", "1 of at most 5000 users",
                  "of at most 64 parameters", "0 of at most 16 headers"):
        assert limit in out, limit
    assert out.startswith("to stream.twitter.com port 443, TLS\n")


def test_dry_run_shows_no_credentials():
    for args in ([], ["--v2"], ["--auth", "basic"]):
        p = dry(*args, env={"BEARER_TOKEN": "S3CRET-b", "BASIC_USER": "me",
                            "BASIC_PASSWORD": "S3CRET-p"})
        for form in ("S3CRET", "UzNDUkVU", "signature=", "bWU6"):
            assert form not in p.stdout + p.stderr
        assert p.stdout.count("> Authorization: (") == 1
        for value in (peer.KEYS["client_secret"], peer.KEYS["client_key"]):
            assert value not in p.stdout + p.stderr or value in \
                p.stdout.split("base string")[-1]
    token = "S3CRET-of-" + "b" * 20
    p = dry("--v2", "-p", "key=" + token, "-H", "X-Key: " + token, "-u",
            "https://h/x?token=" + token, env={"BEARER_TOKEN": token})
    assert p.stdout.count("(secret)") == 3 and "S3CRET" not in p.stdout


def request_for(tstream, *args):
    handler = scripted(stream([]) + BYE)
    with Server(handler) as server:
        p = tstream("-u", server.url(), *args)
    assert p.returncode == 0, p.stderr
    return handler.requests[0]


def test_p_twice_is_sent_twice(tstream):
    r = request_for(tstream, "-p", "a=1", "-p", "b=x", "-p", "a=0")
    assert sorted(parse_qsl(r.body.decode())) == [
        ("a", "0"), ("a", "1"), ("b", "x"), ("filter_level", "none"),
        ("stall_warnings", "true")]
    assert r.is_signed(peer.Validator(peer.KEYS))


def test_p_replaces_a_default(tstream):
    r = request_for(tstream, "-p", "filter_level=low", "-p", "filter_level=m",
                    "-p", "stall_warnings=")
    assert sorted(parse_qsl(r.body.decode(), keep_blank_values=True)) == [
        ("filter_level", "low"), ("filter_level", "m"), ("stall_warnings", "")]
    assert r.is_signed(peer.Validator(peer.KEYS))


def test_p_has_a_limit(tstream):
    many = [x for i in range(62) for x in ("-p", f"n{i}=1")]
    assert len(parse_qsl(request_for(tstream, *many).body.decode())) == 64
    p = run("--dry-run", *many, "-p", "x=1")
    assert p.returncode == 2 and "64 parameters" in p.stderr


def test_user_agent_is_replaced(tstream):
    """Not added: Request would keep the last of two, so the head is read."""
    heads = []

    def keep(c):
        head = c.sock.recv(65536)
        heads.append(head)
        c.send(stream([]) + BYE)
        c.wait_closed()

    with Server(keep) as server:
        p = tstream("-u", server.url(), "-H", "user-agent: me@h.example")
    assert p.returncode == 0, p.stderr
    agents = re.findall(rb"(?im)^user-agent: (.*)\r$", heads[0])
    assert agents == [b"me@h.example"]


# Times ----------------------------------------------------------------------------

@pytest.mark.parametrize("word, seconds", [
    ("90", 90), ("90s", 90), ("15m", 15 * 60), ("3h", 3 * 3600),
    ("7d", 7 * 86400), ("4294967295d", 4294967295 * 86400)])
def test_times_have_units(word, seconds):
    assert f"an end after {seconds} s," in dry("-d", word).stdout
    assert f"limits: {seconds} s without" in dry("--stall", word).stdout
    dry("-s", word)


@pytest.mark.parametrize("word, size", [
    ("1", 1), ("64K", 65536), ("3M", 3 << 20), ("2G", 2 << 30)])
def test_sizes_have_units(word, size):
    assert f" {size} bytes for a slow" in dry("--buffer", word).stdout


def test_defaults():
    assert ("limits: 90 s without a byte; 16777216 bytes for a slow reader; an "
            "end after 0 s, after 0 tweets") in dry().stdout
    assert "limits: 45 s" in dry("--v2", env=BEARER).stdout
    assert "limits: 0 s" in dry("--v2", "--stall", "0", env=BEARER).stdout


def test_duration_is_in_seconds(tstream):
    def send(c, request):
        c.send(stream(tweets(1)))
        c.wait_closed()

    with Server(scripted(send)) as server:
        begin = time.monotonic()
        p = tstream("-u", server.url(), "-d", "1s")
    assert p.returncode == 0 and 1 <= time.monotonic() - begin < 3


# Ends -----------------------------------------------------------------------------

def test_duration_without_a_stream_exits_1(tstream):
    with Server(scripted(response(b"503 x"))) as server:
        p = tstream("-u", server.url(), "-d", "1")
    assert p.returncode == 1 and p.stdout == b""
    assert "no stream in all that time" in p.stderr


def test_test_says_what_does_not_work(tstream):
    with Server(scripted(response(b"403 x"))) as server:
        p = tstream("--test", "-u", server.url())
    assert p.returncode == 1 and p.stdout.startswith(b"does not work: HTTP status 403")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        p = tstream("--test", "-d", "1", "-u",
                    f"http://127.0.0.1:{s.getsockname()[1]}/", timeout=40)
    assert p.returncode == 1
    assert re.fullmatch(rb"does not work: .*refused.*\n", p.stdout), p.stdout


def test_test_works_and_ends(tstream):
    """A 200 came; that it ended for good is said beside it."""
    script = HEAD + chunk(b'{"text":"x"}\r\n{"disconnect":{"code":6}}\r\n')
    with Server(scripted(script)) as server:
        p = tstream("--test", "-u", server.url())
    assert (p.returncode, p.stdout) == (
        0, b"works: 1 tweets in 0 s: a disconnect message came, code 6 (a token "
           b"was revoked)\n")


@pytest.mark.parametrize("script, says", [
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
     "the response breaks the protocol: a Content-Encoding nobody asked for: gzip"),
    (b"SSH-2.0-x\r\n", "the response breaks the protocol: not an HTTP/1.0 or "
     "HTTP/1.1 response"),
    (lambda c, r: c.wait_closed(), "the time is over while the server's answer was awaited"),
])
def test_test_says_why(tstream, script, says):
    with Server(scripted(script)) as server:
        p = tstream("--test", "-d", "2", "-u", server.url(), timeout=40)
        assert p.returncode == 1
        assert p.stdout.decode() == f"does not work: {says}\n"
        p = tstream("-q", "-d", "2", "-u", server.url(), timeout=40)
        assert p.returncode == 1 and says in p.stderr


@pytest.mark.parametrize("script, says", [
    (HEAD + chunk(b"Exceeded connection limit for user\r\n"), "too many connections"),
    (HEAD + chunk(b'{"disconnect":{"code":7}}\r\n'), "a disconnect message came, "
     "code 7 (the same credentials connected elsewhere)"),
    (lambda c, r: (c.send(HEAD), c.wait_closed()), "the time is over")])
def test_test_says_why_nothing_came(tstream, script, says):
    with Server(scripted(script)) as server:
        p = tstream("--test", "-d", "2", "-u", server.url())
    assert (p.returncode, p.stdout.decode()) == (
        0, f"connected, but no tweets came in 2 s: {says}\n")


def test_test_has_the_status_of_a_body_without_end(tstream):
    refusal = b"HTTP/1.1 403 Forbidden\r\n\r\nnot you"
    with Server(scripted(lambda c, r: (c.send(refusal), c.wait_closed()))) as server:
        p = tstream("--test", "-d", "1", "-u", server.url())
    assert p.returncode == 1 and p.stdout == (
        b"does not work: the time is over after HTTP status 403: not you\n")


@pytest.mark.parametrize("args, says", [
    (["https://me:hunter2@x/"], "`https' is not an option"),
    (["-H", "Authorization Bearer hunter2"], "-H: `Authorization' is not Name: value"),
    (["-H", "Cookie: hunter2\r"], "-H: `Cookie' is not Name: value"),
    (["-p", "hunter=hunter2\r"], "-p: `hunter' is not NAME=VALUE"),
    ([b"-\xc3\xa9"], "there is no option -"), ([b"-\xff"], "there is no option -")])
def test_refused_words_are_named_without_what_they_may_hold(args, says):
    p = subprocess.run([BINARY, *args], capture_output=True, text=True, env=ENV)
    assert p.returncode == 2 and says in p.stderr and "hunter2" not in p.stderr


def test_names_of_files_are_printable(tstream, authority, tmp_path):
    name = tmp_path / "x\033[31m.pem"
    name.write_bytes(authority.file.read_bytes())
    p = tstream("--dry-run", "--auth", "none", "--cafile", name)
    assert p.returncode == 0
    assert b"x\\x1b[31m.pem" in p.stdout and b"\033" not in p.stdout


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["--dry-run"],
                                  ["--test", "-d", "1"]])
def test_what_cannot_be_printed_is_no_success(tstream, args):
    with Server(scripted(stream([]) + BYE)) as server, open("/dev/full", "wb") as out:
        p = tstream.start("-u", server.url(), *args, stdout=out)
        _, err = p.communicate(timeout=30)
    assert p.returncode == 3 and b"stdout: No space left on device" in err


def test_test_counts_what_comes(tstream):
    def send(c, request):
        assert b"track" not in request.body and "track" not in request.target
        c.send(stream([b'{"data":1}', b'{"data":2}', b'{"errors":[]}']))
        c.wait_closed()

    with Server(scripted(send)) as server:
        env = {"BEARER_TOKEN": "t"}
        p = tstream("--test", "--v2", "-c", "2", "-u", server.url(), env=env,
                    keys=False)
        assert (p.returncode, p.stdout) == (0, b"works: 2 tweets in 0 s\n")
        p = tstream.start("--test", "--v2", "-u", server.url(), env=env,
                          keys=False)
        q = tstream.start("--test", "--get", "-u", server.url())
        came = [x.communicate(timeout=30)[0] for x in (p, q)]
    assert came == [b"works: 2 tweets and 1 other messages in 10 s\n",
                    b"works: 0 tweets and 3 other messages in 10 s\n"]
    assert p.returncode == q.returncode == 0


def test_test_keeps_a_shorter_duration(tstream):
    with Server(scripted(lambda c, r: (c.send(stream(tweets(1))),
                                       c.wait_closed()))) as server:
        p = tstream("--test", "-d", "1", "-u", server.url())
    assert (p.returncode, p.stdout) == (0, b"works: 1 tweets in 1 s\n")


def test_count_is_not_a_time(tstream):
    with Server(scripted(stream(tweets(5)) + BYE)) as server:
        p = tstream("-u", server.url(), "-c", "3", "-d", "1d")
    assert p.returncode == 0 and p.stdout == joined(tweets(3))
