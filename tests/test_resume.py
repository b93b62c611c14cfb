"""--resume: what a gap missed is asked for."""

import json
import subprocess
import urllib.parse

import pytest

import peer
from conftest import ROOT, clean_environment
from peer import Server, response, scripted
from test_stream import BYE, stream

FAST = ROOT / "build/tests/tstream-fast"
NO = response(b"400 Bad Request", b"since: no such place")


def parameters(handler):
    """The query of each request, decoded."""
    return [urllib.parse.parse_qsl(r.target.partition("?")[2],
                                   keep_blank_values=True)
            for r in handler.requests]


def run(tstream, scripts, *args):
    handler = scripted(*scripts)
    with Server(handler) as server:
        p = tstream("--get", "--auth", "none", "--tweet-key", "seq", "-u",
                    server.url("/feed"), "--report", tstream.cwd / "report",
                    *args, keys=False)
    report = json.loads((tstream.cwd / "report").read_text())
    return p, parameters(handler), report


def test_the_last_value_is_asked_for(tstream):
    """Of the messages' own path, percent-encoded, in place of -p's."""
    lines = [b'{"seq":"1-a/\\u00e4 &+"}', b'{"seq":2,"last":{"seq":9}}',
             b'{"id":3}', b'{"seq":null}', b'{"seq":"end"}']
    p, asked, report = run(tstream, [stream([x]) for x in lines],
                           "--resume", "since=seq", "-p", "since=0", "-p", "a=b",
                           "-c", "4")
    assert p.returncode == 0, p.stderr
    since = [dict(q).get("since") for q in asked]
    assert since == ["0", "1-a/\u00e4 &+", "2", "2", None]
    assert all(q[0] == ("a", "b") or q[1] == ("a", "b") for q in asked)
    assert sorted(g["resumed"] for g in report["longest_gaps"]) == \
        [False, True, True, True]
    assert ["; the server was asked for it" in line
            for line in p.stderr.splitlines() if "tstream: gap of" in line] == \
        [True, True, True, False]


@pytest.mark.parametrize("size, sent", [(256, True), (257, False)])
def test_length_of_a_value(tstream, size, sent):
    line = json.dumps({"seq": "\u00e4" + "x" * (size - 2)}).encode()
    _, asked, _ = run(tstream, [stream([line])] * 2, "--resume", "since=seq",
                      "-c", "2")
    assert [len(q) for q in asked] == [0, int(sent)]


def test_value_in_the_report(tstream):
    """It came from outside: controls are shown as in the log."""
    line = b'{"seq":"a\\u0001\\"\\\\\\u00e4"}'
    _, asked, report = run(tstream, [stream([line])] * 2, "--resume",
                           "since=seq", "-c", "2")
    assert asked[1] == [("since", 'a\1"\\\u00e4')]
    assert report["parameters"] == {"since": 'a\\x01"\\\u00e4'}


@pytest.mark.parametrize("status", [b"400 Bad Request", b"403 Forbidden"])
def test_refused_the_next_goes_without(tstream, status):
    one, two = stream([b'{"seq":1}']), stream([b'{"seq":2}'])
    p, asked, report = run(
        tstream, [one, response(status, b"no"), two, one], "--resume",
        "since=seq", "-c", "3")
    assert p.returncode == 0, p.stderr
    assert asked == [[], [("since", "1")], [], [("since", "2")]]
    assert p.stderr.count("the next request goes without") == 1
    assert sorted(g["resumed"] for g in report["longest_gaps"]) == [False, True]


def test_a_refusal_without_it_stays_irrecoverable(tstream):
    one = stream([b'{"seq":1}'])
    p, asked, _ = run(tstream, [one, NO, NO], "--resume", "since=seq")
    assert p.returncode == 1 and len(asked) == 3
    p, asked, _ = run(tstream, [NO], "--resume", "since=seq")
    assert p.returncode == 1 and len(asked) == 1
    p, asked, _ = run(tstream, [one, response(b"401 Unauthorized")], "--resume",
                      "since=seq")
    assert p.returncode == 1 and len(asked) == 2


def test_a_secret_that_the_server_sends_is_not_in_the_report(tstream):
    keys = tstream.cwd / "keys"
    keys.write_text("user: me\npassword: pass12\n")
    keys.chmod(0o600)
    p, asked, report = run(tstream, [stream([b'{"seq":"pass12"}'])] * 2,
                           "--resume", "since=seq", "-c", "2", "--auth", "basic",
                           "-k", keys)
    assert p.returncode == 0 and asked[1] == [("since", "pass12")]
    assert report["parameters"]["since"] == "(secret)"


def test_it_is_signed(tstream):
    handler = scripted(stream([b'{"text":"a b","id":7}']), stream(
        [b'{"text":"c"}']))
    with Server(handler) as server:
        p = tstream("--get", "-u", server.url("/1.1/x.json"), "--resume",
                    "since=text", "-c", "2")
    assert p.returncode == 0, p.stderr
    assert parameters(handler)[1] == [("since", "a b")]
    for r in handler.requests:
        assert r.is_signed(peer.Validator(peer.KEYS))


def test_minutes_of_the_gap(tstream, context):
    """On a clock that runs faster: 90 s after a 503 are two minutes."""
    handler = scripted(
        stream([b'{"data":{"id":"1"}}']),
        response(b"503 Service Unavailable", b"", [b"Retry-After: 90"]),
        stream([]) + BYE)
    with Server(handler, context) as server:
        p = tstream.started(subprocess.Popen(
            [FAST, *tstream.command(
                "--v2", "-u", server.url("/2/tweets/search/stream"), "--resume",
                "backfill_minutes=minutes", keys=False)[1:]],
            env=clean_environment({"FAST": "30", "BEARER_TOKEN": "t" * 20}),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        _, err = p.communicate(timeout=60)
    assert p.returncode == 0, err
    assert parameters(handler) == [[], [("backfill_minutes", "1")],
                                   [("backfill_minutes", "2")]]


@pytest.mark.parametrize("args, says", [
    (["--resume", "a=b"], "--get or --v2"),
    (["--get", "--resume", "a=b", "--resume", "c=d"], "once"),
    (["--get", "--resume", "a"], "NAME=minutes"),
    (["--get", "--resume", "a=b..c"], "NAME=minutes"),
    (["--get", "--resume", "a=b", "-u", "http://localhost/x?a=1"], "in the URL"),
    (["--get", "--resume", "delimited=b"], "--resume: delimited"),
    (["--get", "--resume", "oauth_nonce=b"], "set by the signature"),
    (["--get", "--resume", "track=b"], "use -t"),
    (["--get", "--resume", "a\x01=b"], "NAME=minutes"),
])
def test_mistaken(tstream, args, says):
    p = tstream(*args)
    assert p.returncode == 2 and says in p.stderr
