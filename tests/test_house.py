"""The order of the house: who includes whom, and that tests reach all of it."""

import os
import re
import subprocess
import sys

import pytest

from conftest import ROOT

TESTS = ROOT / "tests"


def includes(path):
    return re.findall(r'#include "(?:\.\./)?([a-z0-9_]+)\.h"', path.read_text())


def circles(graph):
    """The headers that can be reached from themselves."""
    def reach(name):
        seen, todo = set(), list(graph[name])
        while todo:
            if (n := todo.pop()) not in seen:
                seen.add(n)
                todo += graph.get(n, ())
        return seen

    return {name for name in graph if name in reach(name)}


def test_no_circle_among_headers():
    graph = {f.stem: includes(f) for f in ROOT.glob("*.h")}
    assert len(graph) > 15 and any(graph.values())
    assert circles(graph) == set()
    # and that the test would see one
    assert circles({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == set("abc")


def test_each_room_has_a_header_that_it_includes_first():
    """So each header stands alone."""
    for c in ROOT.glob("*.c"):
        if c.with_suffix(".h").exists():
            assert includes(c)[0] == c.stem, c.name
        else:
            assert c.stem == "tstream"
    for h in ROOT.glob("*.h"):
        guard = h.name.upper().replace(".", "_")
        assert f"#ifndef {guard}\n#define {guard}\n" in h.read_text(), h.name


def test_every_fuzz_target_has_a_seed_and_is_run():
    table = re.search(r"targets\[\] = \{(.*?)\};", (TESTS / "fuzz.c").read_text(),
                      re.S)[1]
    targets = re.findall(r'\{ "(\w+)"', table)
    run = re.search(r"^FUZZ_TARGETS \?= (.*)", (ROOT / "Makefile").read_text(),
                    re.M)[1].split()
    assert len(targets) > 5 and sorted(targets) == sorted(run)
    for t in targets:
        assert any((TESTS / "seeds" / t).iterdir()), t


def test_tests_name_no_folder_that_all_share():
    """Temporary files go where tests/leave_nothing.py can find them."""
    for f in TESTS.glob("*.py"):
        if f.name != "test_house.py":
            assert not re.search(r"""["'](/var)?/tmp\b""", f.read_text()), f.name


@pytest.mark.parametrize("script, status, said", [
    ("exit 0", 0, None), ("exit 3", 3, None), ("kill -9 $$", 1, None),
    ("sleep 61 & exit 0", 1, "sleep 61"),
    ("(setsid sh -c 'sleep 62; exit' &) ; exit 0", 1, "sleep 62"),
    pytest.param('d=$(mktemp -d) && mount -t tmpfs x $d && exit 0', 1, "mount on",
                 marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")),
    ("mktemp", 1, "file "), ("mktemp -d; exit 4", 4, "file ")])
def test_what_a_run_leaves_behind_is_seen(tmp_path, script, status, said):
    p = subprocess.run(
        [sys.executable, "-B", TESTS / "leave_nothing.py", "sh", "-c", script],
        env=dict(os.environ, TMPDIR=str(tmp_path)), capture_output=True,
        text=True, timeout=60)
    assert p.returncode == status, p.stderr
    left = re.findall(r"^left behind: (.*)", p.stderr, re.M)
    assert bool(left) == bool(said)
    assert not said or any(said in x for x in left)
    for pid in re.findall(r"^left behind: process (\d+):", p.stderr, re.M):
        assert not os.path.exists(f"/proc/{pid}"), "it is named, and not ended"
    kept = "the tests' files are in" in p.stderr
    assert kept == any(tmp_path.iterdir()) == ("exit 0" not in script
                                               and script != "mktemp")


# The audit map ----------------------------------------------------------------

def functions(path):
    """Each function of a file, with the number of its lines."""
    found, name, start = {}, None, 0
    for i, line in enumerate(path.read_text().splitlines()):
        line = re.sub(r"^__attribute__\(\(.*\)\) ?", "", line)
        head = re.match(r"[a-z].*?\b(\w+)\(|(\w+)\(", line)
        if head and line[-1] not in ";=":
            name, start = head[1] or head[2], i
        elif line == "}" and name:
            found[name] = i + 1 - start
            name = None
    return found


def audit_map():
    """(promise, {(room, function)}, [test]) of the README's map."""
    text = (ROOT / "README").read_text()
    text = text.split("\nThe map:\n")[1].split("\n\nIn all ")[0]
    for entry in re.split(r"\n(?= *\d+\. )", text.strip("\n")):
        promise, places, tests = re.fullmatch(
            r" *\d+\. (.*?)\n( +[a-z0-9_]+: .*?)\n +(test_.*)", entry, re.S).groups()
        rooms, room = set(), None
        for word in places.split():
            if word[-1] == ":":
                room = word[:-1]
            else:
                rooms.add((room, word))
        yield promise, rooms, tests.split()


def test_audit_map():
    """What it names is there, and it is as long as it says."""
    defined = {f.stem: functions(f) for f in ROOT.glob("*.c")}
    tests = set(re.findall(r"^def (test_\w+)", "".join(
        f.read_text() for f in TESTS.glob("test_*.py")), re.M))
    entries = list(audit_map())
    assert len(entries) >= 15
    places = set().union(*(e[1] for e in entries))
    for room, name in places:
        assert name in defined[room], f"{room}: {name}"
    for _, _, named in entries:
        for t in named:
            assert t in tests, t

    def lines(entries):
        places = set().union(*(e[1] for e in entries))
        return sum(defined[room][name] for room, name in places)

    said = re.search(r"\nIn all (\d,\d+) lines of functions; those of the first nine "
                     r"are (\d,\d+)\.", (ROOT / "README").read_text())
    assert [int(n.replace(",", "")) for n in said.groups()] == [
        lines(entries), lines(entries[:9])]
    assert lines(entries) <= 2500 and lines(entries[:9]) <= 1300
