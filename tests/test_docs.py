"""What is said about the program: help, manual, README and completions agree,
and every example does what it says."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

import peer
from conftest import BINARY, ROOT, clean_environment
from peer import Server, response, scripted
from test_stream import stream, wait_until

MANUAL = (ROOT / "tstream.1").read_text()
README = (ROOT / "README").read_text()
# What stands there is run by test_recipes.py.
RECIPES = MANUAL.split(".Sh WITH OTHER PROGRAMS")[1].split(".Sh ")[0]
EXAMPLES = MANUAL.replace(RECIPES, "")
BASH = ROOT / "completions/tstream.bash"
ZSH = ROOT / "completions/_tstream"


@pytest.fixture(scope="module")
def options():
    """(long, short or "", has a value) of --help all."""
    text = subprocess.run([BINARY, "--help", "all"], text=True,
                          capture_output=True, check=True).stdout
    found = re.findall(r"^  (?:-(\w), |    )--([a-z0-9-]+) ([A-Z=]*) ", text,
                       re.M)
    assert len(found) == len([x for x in text.splitlines() if x[:2] == "  "])
    return {(name, letter, label != "") for letter, name, label in found}


# Manual ---------------------------------------------------------------------------

def test_manual_has_each_option(options):
    listed = re.findall(r"^\.It (?:Fl (\w) , )?Fl -([a-z0-9-]+)( Ar .*)?$",
                        MANUAL.split(".Sh RULES")[0], re.M)
    assert {(name, letter, bool(label)) for letter, name, label in listed} == \
        options
    # the synopsis has the short name, if there is one
    synopsis = MANUAL.split(".Sh SYNOPSIS")[1].split(".Sh")[0]
    short = set("".join(re.findall(r"^\.(?:Op )?Fl (\w+)", synopsis, re.M)))
    long = set(re.findall(r"Fl -([a-z0-9-]+)", synopsis))
    assert short == {letter for _, letter, _ in options if letter}
    assert long == {name for name, letter, _ in options if not letter}


def test_manual_renders_without_a_warning():
    for command in (["mandoc", "-T", "lint", "-W", "style"],
                    ["groff", "-mandoc", "-ww", "-z"],
                    ["man", "--warnings", "-E", "UTF-8", "-l", "-"]):
        p = subprocess.run(command, text=True, capture_output=True, input=MANUAL,
                           env=clean_environment({"MANWIDTH": "80"}))
        said = p.stderr + (p.stdout if command[0] == "mandoc" else "")
        said = "".join(x for x in said.splitlines(True)
                       if "outdated mandoc.db" not in x
                       # which is of another package, manpages-dev
                       and "not found: Xr strftime" not in x)
        assert not said, command[0]


@pytest.mark.parametrize("command", [
    ["mandoc", "-T", "utf8"], ["man", "-E", "UTF-8", "-l", "-"]])
def test_manual_fits_a_terminal(command):
    """No table breaks: no line is longer, and none begins behind the middle."""
    text = subprocess.run(command, capture_output=True, text=True, input=MANUAL,
                          env=clean_environment({"MANWIDTH": "80"}),
                          check=True).stdout
    text = re.sub(r".\x08", "", text)
    for line in text.splitlines()[1:-1]:
        assert len(line) <= 80 and len(line) - len(line.lstrip()) < 40, line
    assert "EXIT STATUS" in text


def test_manual_names_the_statistics(tstream):
    """Those of today's line, and those of the report."""
    with Server(scripted(stream([b'{"text":"a"}']))) as server:
        p = tstream("-u", server.url(), "-c", "1")
    line = [x for x in p.stderr.splitlines() if " stats " in x][-1]
    named = set(re.findall(r"\w+", " ".join(
        re.findall(r"^\.It Cm (.*)$", MANUAL, re.M)).replace(",", " ")))
    for name in re.findall(r"(\w+)=", line):
        assert name in named, name


# Examples -------------------------------------------------------------------------

def shell_of(manual):
    """The text of a manual's examples as it is read."""
    lines = re.findall(r"^\.Dl (.*)$", manual, re.M)
    for block in re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", manual, re.M):
        lines += block.splitlines()
    return "\n".join(lines).replace("\\e", "\\")


def commands():
    text = re.sub(r"^\$ ", "    ", shell_of(EXAMPLES), flags=re.M)
    found = re.findall(r"^    (tstream -(?:.*[\\|]\n)*.*)", README + "\n" + text,
                       re.M)
    return [re.sub(r"\n +", "\n", c) for c in found]


# As it stands the command is only checked; then it meets the peer.
WRAPPER = """#!/bin/sh
case " $* " in *" --dry-run "*) exec "$BINARY" "$@" ;; esac
"$BINARY" "$@" --dry-run >/dev/null || exit 99
exec "$BINARY" "$@" -u "$PEER" -c "$COUNT" --cafile my-ca.pem
"""


@pytest.fixture
def shell(tmp_path, authority):
    """Run a command in a folder as the manual supposes it."""
    keys = peer.keys_text() + "bearer_token: token\nuser: me\npassword: p\n"
    (tmp_path / "keys.yaml").write_text(keys)
    (tmp_path / "my-ca.pem").write_bytes(authority.file.read_bytes())
    (tmp_path / "bin").mkdir()
    for name, text in (("tstream", WRAPPER), ("slow", "#!/bin/sh\nexec cat\n"),
                       ("curl", '#!/bin/sh\nexec /usr/bin/curl -sS --cacert '
                        'my-ca.pem --connect-to "::$PEER" "$@"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)

    def run(command, peer_at, count=2):
        env = clean_environment({"BINARY": str(BINARY), "PEER": peer_at,
                                 "COUNT": str(count), "BEARER_TOKEN": "token"})
        env["PATH"] = f"{tmp_path}/bin:" + env["PATH"]
        return subprocess.run(["bash", "-o", "pipefail", "-c", command],
                              capture_output=True, text=True, env=env,
                              cwd=tmp_path, timeout=30)

    return run


def test_examples_are_found():
    assert len(commands()) == len(re.findall(
        r"^(?:    |\.Dl \$ |\$ )tstream -", README + EXAMPLES, re.M)) > 25


@pytest.mark.parametrize("command", commands())
def test_each_example(shell, tmp_path, context, command):
    line = b'{"text":"a","data":{"id":"1"},"seq":1,"MESSAGE":"m"}'
    handler = scripted(stream([line] * 3))
    into = re.search(r">>\s*(\S+)", command)
    assert not re.search(r"[^>]>[^>]", command), "this empties a file"
    if into:
        (tmp_path / into[1]).write_text("old\n")
    with Server(handler, context) as server:
        p = shell(command, server.url())
    assert p.returncode == 0, p.stderr
    out = (tmp_path / into[1]).read_text() if into else p.stdout
    if "-o %F.ndjson" in command:
        file, = tmp_path.glob("20*.ndjson")
        assert out == "" and re.fullmatch(r"(\d\d-?){4}.ndjson", file.name)
        out = file.read_text()
    if "--dry-run" in command or "--test" in command:
        assert out.count("\n") >= 1
    elif "jq" in command:
        assert out == "a\na\n"
    else:
        assert out == ("old\n" if into else "") + (line.decode() + "\n") * 2
    if "--dry-run" in command:
        assert not handler.requests
        return
    request, = handler.requests
    if "--v2" in command or "bearer" in command:
        assert request.headers["Authorization"] == "Bearer token"
    elif "--auth" not in command:
        assert request.is_signed(peer.Validator(peer.KEYS))


def test_rules_by_curl(shell, authority):
    """The lines that make, list and delete a rule, in both texts the same."""
    blocks = re.findall(r"^(rules=.*\n(?:.*\$rules\n|bearer.*\n)+)",
                        README.replace("\n    ", "\n") + "\n" + shell_of(MANUAL)
                        + "\n", re.M)
    assert len(blocks) == 2 and blocks[0] == blocks[1]
    ok = response(b"200 OK", b'{"data":[]}')
    handler = scripted(ok)
    context = peer.tls_context(authority.server(names=("api.x.com",)))
    with Server(handler, context) as server:
        p = shell("set -e\n" + blocks[0], f"localhost:{server.port}")
    assert p.returncode == 0 and p.stdout == '{"data":[]}' * 3, p.stderr
    make, show, delete = handler.requests
    for r in handler.requests:
        assert r.target == "/2/tweets/search/stream/rules"
        assert r.headers["Host"] == "api.x.com"
        assert r.headers["Authorization"] == "Bearer token"
    assert (make.method, show.method, delete.method) == ("POST", "GET", "POST")
    assert json.loads(make.body) == {"add": [{"value": "snow"}]}
    assert json.loads(delete.body) == {"delete": {"ids": ["1234"]}}
    assert make.headers["Content-Type"] == "application/json"


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_container(tmp_path, tstream, context, number):
    """What the README's recipe puts into it is enough; it ends as process 1."""
    recipe = re.search(r"^    FROM scratch\n((?:    .*\n)+)", README, re.M)[1]
    root = tmp_path / "root"
    root.mkdir()
    for name in re.findall(r"COPY (\S+) /$", recipe, re.M):
        shutil.copy(BINARY.parent / name, root)
    (root / "posts").mkdir()
    os.chown(root / "posts", 65534, 65534)
    shutil.copy(tstream.keys_file, root)
    shutil.copy(tstream.authority.file, root / "ca.pem")
    (root / "keys.yaml").chmod(0o444)
    (root / "etc").mkdir()  # docker makes it
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    user = re.search(r"USER (\d+)", recipe)[1]
    entry = re.search(r'ENTRYPOINT \["(.*)"\]', recipe)[1]

    def serve(connection):
        connection.request()
        connection.send(stream([b'{"text":"a"}']))
        connection.wait_closed()

    with Server(serve, context) as server:
        p = tstream.started(subprocess.Popen(
            ["unshare", "-pf", "--kill-child", "chroot", f"--userspec={user}",
             root, entry, "-k", "/keys.yaml", "--cafile", "/ca.pem", "-u",
             server.url(), "-o", "/posts/%F.ndjson"],
            env=clean_environment(), stderr=subprocess.PIPE))
        files = (root / "posts").glob
        wait_until(lambda: [f for f in files("*.ndjson") if f.stat().st_size])
        children = pathlib.Path(f"/proc/{p.pid}/task/{p.pid}/children")
        os.kill(int(children.read_text()), number)
        _, err = p.communicate(timeout=10)
    assert p.returncode == 128 + number, err
    assert b"\n".join(f.read_bytes() for f in files("*")) == b'{"text":"a"}\n'


def test_readme_and_manual_begin_with_v2():
    for text in (README.split("\nUSE\n")[1], MANUAL.split(".Sh EXAMPLES")[1]):
        assert text.index("tstream --v2") == text.index("tstream -") or \
            text.index("tstream --v2") < text.index("tstream -k")


# Completions ----------------------------------------------------------------------

def test_completions_have_each_option(options):
    zsh = ZSH.read_text()
    found = set()
    for letter, name, equals in re.findall(
            r"^\t(?:'\*')?(?:\{-(\w)\+?,)?'?--([a-z0-9-]+)(=?)[}\[]", zsh, re.M):
        found.add((name, letter, equals == "="))
    assert found == options
    cases, words = BASH.read_text().split("\t*)")
    assert set(re.findall(r"--[a-z0-9-]+", words.split("compgen")[1])) - {"--"} \
        == {"--" + name for name, _, _ in options}
    with_value = set(re.findall(r"(?<![\w-])--?[a-zA-Z0-9-]+(?= [|)\\]|\))", cases))
    want = {x for name, letter, value in options if value
            for x in ("--" + name, "-" + letter) if x != "-"}
    assert with_value == want | {"-h", "--help"}


def complete(shell, typed, folder):
    """What an interactive shell makes of this and the key TAB."""
    if shell == "bash":
        words = ["bash", "--norc", "--noprofile", "-i"]
        setup = f". {BASH}"
    else:
        words = ["zsh", "-f", "-i"]
        setup = (f"fpath=({ZSH.parent} $fpath); autoload -Uz compinit; "
                 "compinit -D -u; bindkey -e")
    main, side = pty.openpty()
    p = subprocess.Popen(words, stdin=side, stdout=side, stderr=side, cwd=folder,
                         env=clean_environment({"TERM": "dumb", "PS1": "",
                                                "COLUMNS": "200"}),
                         start_new_session=True)
    os.close(side)
    seen = b""

    def wait_for(pattern):
        nonlocal seen
        deadline = time.monotonic() + 20
        while not (found := re.search(pattern, seen)):
            assert select.select([main], [], [], deadline - time.monotonic())[0], \
                seen
            seen += os.read(main, 65536)
        seen = seen[found.end():]
        return found

    try:
        os.write(main, f"{setup}; echo re''ady\n".encode())
        wait_for(rb"ready\r?\n")
        # TAB; then the line is put into quotes and printed
        os.write(main, f"{typed}\t\x01echo '<\x05>'\n".encode())
        line = wait_for(rb"(?:^|\n)<(.*)>\r?\n")[1].decode()
        os.write(main, b"exit\n")
        return line.rstrip()
    finally:
        p.kill()
        p.wait()
        os.close(main)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("typed, want", [
    ("tstream --auth=be", "tstream --auth=bearer"),
    ("tstream --auth be", "tstream --auth bearer"),
    ("tstream --dup", "tstream --dup"), ("tstream --dry", "tstream --dry-run"),
    ("tstream --keys=my-k", "tstream --keys=my-keys.yaml"),
    ("tstream -k my-k", "tstream -k my-keys.yaml"),
    ("tstream --report my-k", "tstream --report my-keys.yaml"),
    ("tstream --help a", "tstream --help all"),
    ("tstream -q --verb", "tstream -q --verbose"),
])
def test_completion(tmp_path, shell, typed, want):
    (tmp_path / "my-keys.yaml").touch()
    assert complete(shell, typed, tmp_path) == want


def test_install_and_uninstall(tmp_path):
    def files():
        return sorted(str(f.relative_to(tmp_path))
                      for f in tmp_path.rglob("*") if f.is_file())

    def make(target):
        subprocess.run(["make", "-s", target, f"DESTDIR={tmp_path}",
                        "PREFIX=/usr"], cwd=ROOT, check=True, capture_output=True)

    make("install")
    assert files() == [
        "usr/bin/tstream", "usr/lib/systemd/system/tstream@.service",
        "usr/share/bash-completion/completions/tstream",
        "usr/share/doc/tstream/LICENSE", "usr/share/doc/tstream/LICENSES",
        "usr/share/man/man1/tstream.1", "usr/share/zsh/site-functions/_tstream"]
    unit = tmp_path / "usr/lib/systemd/system/tstream@.service"
    assert "ExecStart=/usr/bin/tstream " in unit.read_text()
    assert os.access(tmp_path / "usr/bin/tstream", os.X_OK)
    make("uninstall")
    assert files() == [] and not (tmp_path / "usr/share/doc/tstream").exists()
    p = subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}", "PREFIX=/my opt"],
                       cwd=ROOT, capture_output=True, text=True)
    assert p.returncode != 0 and "PREFIX has a blank" in p.stderr and files() == []


def test_version_names_what_is_inside():
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True,
                          check=True).stdout.splitlines()
    assert len(said) == 2
    version, = re.findall(r"^tstream (\d+\.\d+\.\d+) \(BearSSL 0\.6, .*\d+ roots of ",
                          said[0])
    assert re.match(version + "\n", (ROOT / "CHANGES").read_text())
    licences = (ROOT / "LICENSES").read_text()
    for name in ("BearSSL", "musl", "MIT", "Mozilla Public License"):
        assert name in licences
    assert "BearSSL and musl MIT" in said[1] and "MPL-2.0" in said[1]
