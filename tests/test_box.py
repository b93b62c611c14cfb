"""What is given up after the start, the look-up process, and what is drawn,
judged and sent only once a connection is up."""

import datetime
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

import peer
from conftest import BINARY, ROOT, clean_environment
from peer import HEAD, Server, chunk, response, scripted
from test_failures import (NameServer, Rooted, enter_client, needs_root,
                           network, torture)  # noqa: F401
from test_stream import (BYE, BYE_LINE, find_secrets, joined, stream, tweets,
                         wait_until)

BEARER = "AAAAbearer-of-the-box%2F"


# The sandbox ------------------------------------------------------------------

TRIALS = re.findall(r'^\t\{ "([a-z_]+)"',
                    (ROOT / "tests/sandbox.c").read_text(), re.M)
KILLS = {"start_program", "trace_program"}


@pytest.mark.parametrize("trial", TRIALS)
def test_P3_refused_and_noted(trial, tmp_path):
    (tmp_path / "secret").write_text("x")
    got = subprocess.run([ROOT / "build/tests/sandbox", trial,
                          tmp_path / "secret"], stdin=subprocess.DEVNULL)
    if got.returncode == 77:
        pytest.skip("this kernel does not have it")
    assert got.returncode == (-signal.SIGSYS if trial in KILLS else 0)


def test_v_says_what_the_kernel_limits(tstream):
    with Server(scripted(stream([]) + BYE)) as server:
        said = tstream("-v", "-u", server.url()).stderr
    assert re.search(r"system calls are (not )?limited; Landlock's version: \d+$",
                     said, re.M)


def faulty(keys_file, *args, fault="", **how):
    return subprocess.run([ROOT / "build/tests/faults", "-k", keys_file, *args],
                          env=clean_environment({"FAULT": fault}), text=True,
                          capture_output=True, timeout=30, **how)


def test_P4_refused_to_a_look_up_is_logged(keys_file):
    p = faulty(keys_file, "-u", "http://refused.example/", "-d", "2")
    assert p.stderr.count("was refused to a look-up: please report") >= 1
    assert "system call 99 " in p.stderr  # sysinfo


def test_P4_refused_after_the_last_turn_is_logged(keys_file):
    with Server(scripted(stream([]) + BYE)) as server:
        p = faulty(keys_file, "-u", server.url(), fault="end")
    assert p.returncode == 0
    assert "system call 110 was refused" in p.stderr  # getppid


def test_streaming_process_opens_and_maps_nothing(tstream, context, tmp_path):
    """strace of a whole run: from the filter on the streaming process makes no
    call that opens files, maps memory or starts processes."""
    trace = tmp_path / "trace"
    script = scripted(HEAD + b"4\r\n{\"te", response(b"503 x", b"no"),
                      stream(tweets(50)) + BYE)
    with Server(script, context) as server:
        p = subprocess.run(["strace", "-f", "-qq", "-o", trace, *tstream.command(
            "-u", server.url())], capture_output=True, timeout=60,
            env=clean_environment())
    assert p.returncode == 0, p.stderr
    lines = trace.read_text().splitlines()
    main, shut, made = lines[0].split()[0], False, set()
    for line in lines:
        pid, _, call = line.partition(" ")
        if pid == main and shut:
            made.add(re.match(r" *(?:<\.\.\. )?([a-z0-9_]+)", call)[1])
        shut = shut or (pid == main and "PR_SET_SECCOMP" in call)
    assert "recvfrom" in made
    assert not made & {"open", "openat", "mmap", "munmap", "mprotect", "brk",
                       "clone", "fork", "wait4", "kill", "bind"}


def test_bearssl_has_stack_protectors():
    """The archive that the binary is linked from, and the binary itself."""
    nm = subprocess.run(["nm", "-A", ROOT / "build/libbearssl.a"], text=True,
                        capture_output=True, check=True).stdout
    guarded = set(re.findall(r":([a-z0-9_]+\.o):.* U __stack_chk_fail", nm))
    # those that work on the peer's keys and signatures
    assert {"ssl_hs_client.o", "rsa_i31_pkcs1_vrfy.o", "ec_prime_i31.o",
            "ecdsa_i31_vrfy_raw.o"} <= guarded
    assert len(guarded) > 80
    code = subprocess.run(["objdump", "-d", BINARY], text=True,
                          capture_output=True, check=True).stdout
    if os.uname().machine == "x86_64":  # 283 without BearSSL's
        assert code.count("%fs:0x28") > 400


# The look-up process -------------------------------------------------------------

def below(pid):
    """All processes that came from this one."""
    found = []
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(
            ).split():
        found += [int(child), *below(int(child))]
    return found


def memory(pid):
    """All that is to be read in a process's memory."""
    raw = b""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb",
                                                 0) as mem:
        for line in maps:
            begin, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if rights[0] != "r" or "[v" in line:
                continue
            mem.seek(int(begin, 16))
            raw += mem.read(int(end, 16) - int(begin, 16))
    return raw


class Switched(NameServer):
    """A name server that is silent where it is told to be."""

    def __init__(self):
        self.silent = True
        super().__init__(lambda kind, raw: None if self.silent else
                         ["127.0.0.1"] if kind == "A" else [])


def start(rooted, url, *args, env=None, **how):
    def into():
        os.chroot(rooted.root)
        os.chdir("/")

    return subprocess.Popen(
        ["/tstream", "-u", url, *args], env=env or {}, preexec_fn=into,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, **how)


def hanging(p):
    """The processes of a look-up that hangs: supervisor and worker."""
    wait_until(lambda: len(below(p.pid)) == 2)
    return below(p.pid)


@needs_root
def test_L7_memory_of_the_look_up_process(tstream, context):
    """While a look-up hangs that follows a connection: whatever was ever secret
    in the streaming process, and what stood in the environment."""
    env = {"BEARER_TOKEN": BEARER, "CONSUMER_SECRET": "s3cret-of-environ",
           "https_proxy": "http://u:s3cret-of-proxy@x/", "no_proxy": "*"}
    handler = scripted(stream(tweets(1)))
    with Server(handler, context) as server, Switched() as names:
        names.silent = False
        rooted = Rooted(tstream, dns="127.0.0.77")
        p = start(rooted, server.url(), "-k", "/keys", "--cafile", "/ca",
                  env=env)
        p.stdout.readline()
        names.silent = True
        while b"next attempt" not in (line := p.stderr.readline()):
            assert line
        # a stream of less than 16 s: the next attempt is 250 ms later
        pids = hanging(p)
        raw = [memory(pid) for pid in pids]
        environ = [pathlib.Path(f"/proc/{pid}/environ").read_bytes()
                   for pid in pids]
        p.kill()
        p.communicate()
    sent = handler.requests[0].headers["Authorization"]
    signature = re.search(r'oauth_signature="([^"]+)"', sent)[1]
    nonce = re.search(r'oauth_nonce="([^"]+)"', sent)[1]
    for one in raw + environ:
        for text in (BEARER, "s3cret-of", signature, nonce, "807095-token",
                     *peer.KEYS.values()):
            assert text.encode() not in one, text
        assert find_secrets(one) == []
    assert all(len(one) > 100000 for one in raw)


def test_L7_seed_and_nonce_are_drawn_once_connected(tstream, context, tmp_path):
    trace = tmp_path / "trace"
    with Server(scripted(stream([]) + BYE), context) as server:
        subprocess.run(["strace", "-f", "-qq", "-o", trace, *tstream.command(
            "-u", server.url())], capture_output=True, timeout=60,
            env=clean_environment())
    calls = re.findall(r"^\d+ +(connect|getrandom|fork|clone)\(",
                       trace.read_text(), re.M)
    assert calls.count("getrandom") >= 2
    first = calls.index("getrandom")
    assert "connect" in calls[:first] and not {"fork", "clone"} & set(
        calls[first:])


@needs_root
def test_N13_a_killed_worker_is_followed_by_another(tstream):
    with Server(scripted(stream([]) + BYE)) as server, Switched() as names:
        p = Rooted(tstream, dns="127.0.0.77").start(
            server.url(host="x.example"))
        worker = hanging(p)[1]
        names.silent = False
        os.kill(worker, signal.SIGKILL)
        out, err = p.communicate(timeout=30)
    assert b"x.example: the look-up failed; next attempt in 0.25 s" in err
    assert out == BYE_LINE and p.returncode == 0


@needs_root
def test_N13_a_killed_supervisor_ends_with_3(tstream):
    """The unit starts it again then, not so after 1."""
    with Switched():
        p = Rooted(tstream, dns="127.0.0.77").start("http://x.example/")
        supervisor, worker = hanging(p)
        os.kill(supervisor, signal.SIGKILL)
        out, err = p.communicate(timeout=30)
    assert p.returncode == 3
    assert b"names up is gone: tstream must be started again" in err
    wait_until(lambda: not pathlib.Path(f"/proc/{worker}/mem").exists())


@needs_root
def test_look_up_processes_end_with_the_program(tstream):
    with Switched():
        p = Rooted(tstream, dns="127.0.0.77").start("http://x.example/")
        pids = hanging(p)
        p.kill()
        p.communicate(timeout=30)
    wait_until(lambda: not any(pathlib.Path(f"/proc/{pid}/mem").exists()
                               for pid in pids))


@needs_root
def test_a_replaced_resolv_conf_is_seen(tstream):
    with Server(scripted(stream([]) + BYE)) as server, Switched() as names:
        names.silent = False
        rooted = Rooted(tstream, dns="127.0.0.66")  # nobody is there
        conf = rooted.root / "etc/resolv.conf"
        p = rooted.start(server.url(host="x.example"))
        while b"next attempt" not in (line := p.stderr.readline()):
            assert line
        new = rooted.root / "etc/new"
        new.write_text("nameserver 127.0.0.77\n")
        os.replace(new, conf)
        out, err = p.communicate(timeout=60)
    assert out == BYE_LINE and b"was refused" not in err


@needs_root
def test_E4_no_foreign_process_is_killed(tstream):
    """SIGCHLD ignored by our parent: our children are gone unwaited for, and
    their numbers may be another's."""
    root = Rooted(tstream, "127.0.0.1 x.example\n")
    with Server(scripted(stream(tweets(1)), stream([]) + BYE)) as server:
        p = subprocess.run(
            ["strace", "-f", "-qq", "-e", "trace=kill,tkill,tgkill", "-o",
             root.root / "trace", shutil.which("chroot"), root.root, "/tstream", "-k",
             "/keys", "-u", server.url(host="x.example")], env={},
            capture_output=True, timeout=60,
            preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert p.returncode == 0, p.stderr
    assert "kill" not in (root.root / "trace").read_text()


@needs_root
def test_N13_a_dot_at_the_end_avoids_the_search_list(tstream, authority):
    """A server of the search list that fails spoils the look-up of musl; the
    dot goes neither to Host nor to the certificate's check."""
    def answer(kind, raw):
        if b"\x04corp" in raw:
            return int(dns.rcode.SERVFAIL)
        return ["127.0.0.1"] if kind == "A" else []

    handler = scripted(stream([]) + BYE)
    context = peer.tls_context(authority.server("x.example", ("x.example",)))
    with Server(handler, context) as server, NameServer(answer):
        rooted = Rooted(tstream, dns="127.0.0.77")
        (rooted.root / "elsewhere/conf").write_text(
            "nameserver 127.0.0.77\nsearch corp\noptions ndots:3\n")
        without = rooted(server.url(host="x.example"), "-d", "8")
        p = rooted(server.url(host="x.example."))
    assert "no name server answers" in without.stderr
    assert p.stdout == BYE_LINE, p.stderr
    assert handler.requests[0].headers["Host"] == f"x.example:{server.port}"


@needs_root
def test_N13_an_answer_that_was_cut(tstream):
    """musl 1.2.3 takes what did fit; a later one asks by TCP, where the answer
    is whole. Either way there is an address, and no call is refused."""
    def answer(kind, raw):
        reply = dns.message.make_response(dns.message.from_wire(raw))
        reply.flags |= dns.flags.RA | dns.flags.TC
        if kind == "A":
            reply.answer.append(dns.rrset.from_text(
                reply.question[0].name, 60, "IN", "A", "127.0.0.1"))
        return reply.to_wire()

    def whole(kind, raw):
        return [f"127.0.0.{i}" for i in range(1, 41)] if kind == "A" else []

    with Server(scripted(stream([]) + BYE), host="0.0.0.0") as server, \
            NameServer(answer, by_tcp=whole):
        p = Rooted(tstream, dns="127.0.0.77")(server.url(host="x.example"))
    assert p.stdout == BYE_LINE and "was refused" not in p.stderr, p.stderr


# What goes in the clear ----------------------------------------------------------

@pytest.fixture
def bearer_keys(tmp_path):
    path = tmp_path / "bearer.yaml"
    path.write_text(f"bearer_token: {BEARER}\nuser: u\npassword: p\n")
    path.chmod(0o600)
    return path


@needs_root
@pytest.mark.parametrize("auth", ["bearer", "basic"])
def test_L8_localhost_that_dns_sends_elsewhere(tstream, bearer_keys, auth):
    with NameServer(lambda kind, raw: ["192.0.2.2"] if kind == "A" else []):
        rooted = Rooted(tstream, dns="127.0.0.77")
        shutil.copy(bearer_keys, rooted.root / "bearer")
        p = start(rooted, "http://localhost/", "--auth", auth, "-k", "/bearer",
                  "-d", "5")
        out, err = p.communicate(timeout=30)
    assert p.returncode == 1
    assert ("the credentials would go over the network in the clear to 192.0.2.2; "
            "use https://") in err.decode()


@pytest.mark.parametrize("host, family", [
    ("127.0.0.1", socket.AF_INET), ("127.9.9.9", socket.AF_INET),
    ("[::1]", socket.AF_INET6), ("localhost", socket.AF_INET),
    ("[::ffff:127.0.0.1]", socket.AF_INET)])
def test_L8_this_machine_is_reached(tstream, bearer_keys, host, family):
    with Server(scripted(stream([]) + BYE), family=family,
                host="0.0.0.0" if family == socket.AF_INET else None) as server:
        p = tstream("--auth", "bearer", "-k", bearer_keys, "-u",
                    server.url(host=host), keys=False)
    assert p.returncode == 0, p.stderr


@pytest.mark.parametrize("host", ["[::ffff:192.0.2.1]", "192.0.2.1",
                                  "[::127.0.0.1]", "[fe80::7f00:1]"])
def test_L8_other_addresses_are_not(tstream, bearer_keys, host):
    p = tstream("--auth", "bearer", "-k", bearer_keys, "-u", f"http://{host}/",
                "-d", "3", keys=False)
    assert p.returncode == 1 and "in the clear to" in p.stderr


@pytest.mark.parametrize("host", ["[127.cafe.de]", "[127.0.0.1]", "[1:2]",
                                  "[::1.2.3]", "[:::]", "[12345::]"])
def test_L8_brackets_hold_ipv6(tstream, bearer_keys, host):
    p = tstream("--auth", "bearer", "-k", bearer_keys, "-u", f"http://{host}/",
                "-d", "1", keys=False)
    assert p.returncode == 2 and "IP" in p.stderr  # IPv6, IP address


# What is sent ------------------------------------------------------------------------

def long_headers(n):
    return ["-H", "A: " + "a" * 120000, "-H", "B: " + "b" * 120000, "-H",
            "C: " + "c" * n]


def test_M6_a_request_is_sent_whole_or_not_at_all(tstream):
    """At all lengths around the longest one; a signature's length varies, too,
    with the number of its characters that are percent-encoded."""
    body = b"stall_warnings=true&filter_level=none"
    came, ends = [], set()

    def serve(connection):
        raw = b""
        while not raw.endswith(body):
            raw += connection.sock.recv(1 << 20)
        came.append(raw)
        connection.send(stream([]) + BYE)

    with Server(serve) as server:
        begin = 262144 + 16384 - 240000 - 500
        for n in range(begin, begin + 120, 2):
            came.clear()
            p = tstream("-u", server.url(), *long_headers(n))
            ends.add(p.returncode)
            if came:
                assert b"\r\n\r\n" + body in came[0], came[0][-80:]
            else:
                assert p.returncode != 0 and "too long" in p.stderr
    assert {0, 2} <= ends


def test_M6_a_request_that_does_not_fit_is_not_sent(keys_file):
    came = []

    def serve(connection):
        came.append(connection.sock.recv(100))

    with Server(serve) as server:
        p = faulty(keys_file, "-u", server.url(), "-d", "5", fault="build")
        wait_until(lambda: came)
    assert p.returncode == 1 and "the request is too long" in p.stderr
    assert came == [b""]


@pytest.mark.parametrize("tls", [False, True])
def test_T25_no_randomness_is_irrecoverable(tstream, context, tls):
    came = []

    def serve(connection):
        came.append(connection.sock.recv(1000))

    with Server(serve) as server:
        url = server.url().replace("http:", "https:" if tls else "http:")
        p = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e",
             "inject=getrandom:error=ENOSYS", *tstream.command("-u", url)],
            capture_output=True, timeout=30, env=clean_environment())
        wait_until(lambda: came)
    assert p.returncode == 1 and came == [b""]
    assert (b"no random numbers from the kernel: Function not implemented"
            in p.stderr)


def test_N11_keepalive_is_asked_for(tstream, tmp_path):
    trace = tmp_path / "trace"
    with Server(scripted(stream([]) + BYE)) as server:
        subprocess.run(["strace", "-f", "-qq", "-o", trace, "-e",
                        "trace=setsockopt", *tstream.command(
                            "-u", server.url(), "--stall", "0")],
                       capture_output=True, timeout=60,
                       env=clean_environment())
    said = trace.read_text()
    for name, value in (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 60),
                        ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        assert f"{name}, [{value}]" in said


@torture
@needs_root
def test_N11_a_peer_that_vanishes_is_noticed(network, tstream):  # noqa: F811
    """With --stall 0 and nothing under way: 60 and 4 x 15 seconds."""
    import time
    open_, gone = threading.Event(), threading.Event()

    def serve(connection, request):
        connection.send(stream(tweets(1)))
        open_.set()
        gone.wait(300)

    with network.server(scripted(serve)) as server:
        p = subprocess.Popen(
            [*enter_client(network), *tstream.command(
                "--stall", "0", "-u", f"http://10.99.0.1:{server.port}/x")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=clean_environment())
        open_.wait(20)
        p.stdout.readline()
        network.cable("down")
        begin = time.monotonic()
        while b"timed out" not in (line := p.stderr.readline()):
            assert line
        assert 100 < time.monotonic() - begin < 180
        p.kill()
        p.communicate()
        gone.set()


# Certificates ------------------------------------------------------------------------

def test_T26_a_root_that_ended_in_1960(tstream, tmp_path):
    key = peer.make_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    old = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
           .public_key(key.public_key()).serial_number(1)
           .not_valid_before(datetime.datetime(1955, 1, 1))
           .not_valid_after(datetime.datetime(1960, 1, 1))
           .add_extension(x509.BasicConstraints(True, None), True)
           .sign(key, hashes.SHA256()))
    path = tmp_path / "old.pem"
    path.write_bytes(peer.Authority.pem(old))
    p = tstream("--cafile", path, "--dry-run", keys=True)
    assert p.returncode == 2 and "no certificate that is of use" in p.stderr


# The build ---------------------------------------------------------------------------

@torture
def test_changed_choices_rebuild(tmp_path, authority):
    """CA_BUNDLE, an updated bundle and CC: the binary is what was asked for."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(
        "build", ".git", "tstream", "interop"))
    (tree / "build").mkdir()
    (tree / "build/tools").touch()
    bundle = tmp_path / "bundle.pem"
    shutil.copy(authority.file, bundle)

    def roots(*args):
        subprocess.run(["make", f"BEARSSL={ROOT / 'build/bearssl'}",
                        f"CA_BUNDLE={bundle}", *args], cwd=tree, check=True,
                       capture_output=True, env={"PATH": os.environ["PATH"]})
        return int(re.search(r"(\d+) roots of", subprocess.run(
            [tree / "tstream", "-V"], capture_output=True,
            text=True).stdout)[1])

    assert roots() == 1
    other = tmp_path / "ca2"
    other.mkdir()
    bundle.write_bytes(bundle.read_bytes() + peer.Authority(
        other, "second").file.read_bytes())
    assert roots() == 2
    assert roots(f"CA_BUNDLE={authority.file}") == 1
    before = (tree / "build/libbearssl.a").stat().st_mtime_ns
    wrapper = tmp_path / "musl-gcc"
    wrapper.symlink_to(shutil.which("musl-gcc"))
    roots(f"CC={wrapper}")
    assert (tree / "build/libbearssl.a").stat().st_mtime_ns > before
