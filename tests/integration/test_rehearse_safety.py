"""holdfast-rehearse attacks this machine and nothing else.

All of it happens in a network namespace that leads nowhere: with an interface that has addresses of
its own and a default route, with listeners, names and a resolver, and with somebody who writes down
every SYN on every interface. This file is also the program that is run in there.
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("HOLDFAST_BUILD", TOP / "build")).resolve()
REHEARSE = BUILD / "holdfast-rehearse"
SCENARIO = TOP / "rehearse/scenarios/a4-relay-bots.conf"
SHORT = ["--no-progress", "--ceiling", "0", "--quiet", "0s", "--attack", "1s", "--after", "0s",
         "--beside", "none", "--scale", "0.01"]
OTHER4, OTHER6 = "10.77.0.1", "fd77::1"  # of the other interface
PORT, CANNED_PORT = 2525, 2526
TCP, UDP = 6, 17
MARK = "127.9.9.9"  # where nobody listens
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>

HOSTS = f"""\
127.0.0.1 here.example.test localhost
{OTHER4} elsewhere.example.test
127.0.0.1 mixed.example.test
{OTHER4} mixed.example.test
127.0.0.1 mixed6.example.test
{OTHER6} mixed6.example.test
::ffff:{OTHER4} mapped.example.test
::ffff:127.0.0.1 mappedhere.example.test
0.0.0.0 zero.example.test
{OTHER4} 127.1 2130706433 0177.1 0x7f000001
"""
# What a resolver says: the first time, and whenever it is asked again.
ZONE = {
    "rebind.example.test": (["127.0.0.1"], [OTHER4]),
    "dns-elsewhere.example.test": ([OTHER4], [OTHER4]),
    "dns-mixed.example.test": (["127.0.0.1", OTHER4], ["127.0.0.1", OTHER4]),
    "dns-mixed-last.example.test": ([OTHER4, "127.0.0.1"], [OTHER4, "127.0.0.1"]),
    "dns-six.example.test": ([OTHER6], [OTHER6]),
}

REFUSED = [
    # other interfaces of this machine, and elsewhere
    f"{OTHER4}:{PORT}", OTHER4, f"[{OTHER6}]:{PORT}", "8.8.8.8:25", "192.0.2.7:25", "10.0.0.1:25",
    "169.254.169.254:80", "[2001:db8::1]:25", "[fe80::1]:25", "[fe80::1%lo]:25", "[::1%lo]:25",
    "126.255.255.255:25", "128.0.0.1:25", "198.18.0.1:25", "198.19.255.254:25",
    # nobody, everybody
    f"0.0.0.0:{PORT}", f"[::]:{PORT}", "255.255.255.255:25", "224.0.0.1:25", "[ff02::1]:25",
    "10.77.0.255:25",
    # IPv4 inside IPv6
    f"[::ffff:{OTHER4}]:{PORT}", f"[::ffff:127.0.0.1]:{PORT}", "[::ffff:8.8.8.8]:25",
    "[::127.0.0.1]:25", "[::8.8.8.8]:25", "[64:ff9b::808:808]:25", "[2002:808:808::1]:25",
    # numbers of other kinds: in the hosts file all of these are names for the other interface
    "127.1:25", "2130706433:25", "0177.1:25", "0x7f000001:25", "0177.0.0.1:25", "0x7f.0.0.1:25",
    "127.0.1:25", "127.0.0.01:25",
    # names
    f"elsewhere.example.test:{PORT}", f"mixed.example.test:{PORT}", f"mixed6.example.test:{PORT}",
    f"mapped.example.test:{PORT}", f"mappedhere.example.test:{PORT}", f"zero.example.test:{PORT}",
    f"dns-elsewhere.example.test:{PORT}", f"dns-mixed.example.test:{PORT}",
    f"dns-mixed-last.example.test:{PORT}", f"dns-six.example.test:{PORT}",
    f"nowhere.example.test:{PORT}", f"alias:{PORT}",
    # ports and junk
    "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:smtp", "127.0.0.1:", ":25", "", "[::1", "::1]:25",
    f"127.0.0.1:25@{OTHER4}:{PORT}", f"127.0.0.1,{OTHER4}:{PORT}", f"smtp://{OTHER4}:{PORT}",
    f"{OTHER4}:{PORT}#127.0.0.1", "x" * 5000, "[" * 300, "1" * 300,
]


# Inside the namespace.

class Sniffer(threading.Thread):
    """Every SYN on every interface, and datagrams that do not go to the loopback."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
        # all that a run sends may wait here while we stand still; what does not fit is lost
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        with contextlib.suppress(PermissionError):  # of the real root alone
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.seen, self.more, self.marks = [], threading.Condition(), 0
        self.start()

    def run(self):
        while True:
            packet, (_, protocol, *_) = self.socket.recvfrom(200)
            with contextlib.suppress(IndexError, struct.error, ValueError):
                self.look(packet, protocol)

    def look(self, p, protocol):
        if protocol == 0x0800:
            kind, to, rest = p[9], socket.inet_ntop(socket.AF_INET, p[16:20]), p[(p[0] & 15) * 4:]
        elif protocol == 0x86DD:
            kind, to, rest = p[6], socket.inet_ntop(socket.AF_INET6, p[24:40]), p[40:]
        else:
            return
        port = struct.unpack("!H", rest[2:4])[0]
        if kind == TCP and rest[13] & 0x12 == 0x02:
            self.note(to, port)
        elif kind == UDP and not to.startswith("127."):
            self.note(to, port)

    def note(self, *one):
        with self.more:
            self.seen.append(one)
            self.more.notify()

    def all(self):
        """All that was sent before this call: a packet of our own is the last one. Each is seen twice,
        going out and coming in, and the second time may be the next call's: so no two are alike."""
        first = self.marks + 1

        def passed():
            return any(to == MARK and port >= first for to, port in self.seen)
        while self.marks < first + 60:  # where there was no room for one, there is for another
            self.marks += 1
            with contextlib.suppress(OSError):
                socket.create_connection((MARK, self.marks), timeout=60).close()
            with self.more:
                if self.more.wait_for(passed, 1):
                    seen, self.seen = self.seen, []
                    return [s for s in seen if s[0] != MARK]
        raise AssertionError("the sniffer does not see its own marks")


class Listener(threading.Thread):
    """A server that would be a fine victim; it counts who comes."""

    def __init__(self, family, address, port):
        super().__init__(daemon=True)
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(100)
        self.came = 0
        self.start()

    def run(self):
        while True:
            with self.socket.accept()[0] as peer:
                self.came += 1
                peer.sendall(b"220 victim ESMTP\r\n")


class Resolver(threading.Thread):
    """Answers for ZONE on 127.0.0.1:53, and remembers what it was asked."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        self.asked = []
        self.start()

    def run(self):
        while True:
            question, peer = self.socket.recvfrom(1000)
            labels, at = [], 12
            while question[at]:
                labels.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            name, (kind, _) = ".".join(labels), struct.unpack("!HH", question[at + 1:at + 5])
            times = self.asked.count((name, kind))
            self.asked.append((name, kind))
            answers = b""
            n = 0
            for address in ZONE.get(name, ([], []))[min(times, 1)]:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                if kind == (28 if family == socket.AF_INET6 else 1):
                    raw = socket.inet_pton(family, address)
                    answers += struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(raw)) + raw
                    n += 1
            status = 0x8180 if name in ZONE else 0x8183
            self.socket.sendto(question[:2] + struct.pack("!HHHHH", status, 1, n, 0, 0)
                               + question[12:at + 5] + answers, peer)


def sh(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


def other_interface():
    """An interface that is not the loopback; not every kernel has every kind."""
    for words in (("dummy",), ("veth", "peer", "name", "other1"), ("bridge",)):
        with contextlib.suppress(subprocess.CalledProcessError):
            sh("ip", "link", "add", "other0", "type", *words)
            break
    with contextlib.suppress(subprocess.CalledProcessError):
        sh("ip", "link", "set", "other1", "up")
    sh("ip", "link", "set", "other0", "up")
    sh("ip", "addr", "add", f"{OTHER4}/24", "dev", "other0")
    sh("ip", "-6", "addr", "add", f"{OTHER6}/64", "dev", "other0", "nodad")
    # a way out, that ends at a neighbour who does not exist
    for neighbour in ("10.77.0.2", "fd77::2"):
        sh("ip", "neigh", "add", neighbour, "lladdr", "02:00:00:00:00:02", "dev", "other0")
    sh("ip", "route", "add", "default", "via", "10.77.0.2")
    sh("ip", "-6", "route", "add", "default", "via", "fd77::2")


def furnish(directory):
    sh("ip", "link", "set", "lo", "up")
    other_interface()
    for name, text in (("hosts", HOSTS), ("nsswitch.conf", "hosts: files dns\n"),
                       ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")):
        (directory / name).write_text(text)
        target = pathlib.Path("/etc", name).resolve()
        if target.exists():
            sh("mount", "--bind", str(directory / name), str(target))
    (directory / "aliases").write_text("alias dns-elsewhere.example.test\n")


def environment(directory):
    """What a program might take as permission."""
    words = ("FORCE", "ALLOW_REMOTE", "UNSAFE", "REHEARSE_FORCE", "REHEARSE_ALLOW", "REHEARSE_TARGET",
             "HOLDFAST_REHEARSE_FORCE", "HOLDFAST_REHEARSE_ALLOW_ANY", "HOLDFAST_ALLOW_REMOTE")
    return {**os.environ, **dict.fromkeys(words, "1"), "HOSTALIASES": str(directory / "aliases"),
            "LOCALDOMAIN": "example.test"}


class Inside:
    def __init__(self, directory):
        self.directory = directory
        furnish(directory)
        self.env = environment(directory)
        self.sniffer, self.resolver = Sniffer(), Resolver()
        self.listeners = [Listener(socket.AF_INET, OTHER4, PORT),
                          Listener(socket.AF_INET6, OTHER6, PORT),
                          Listener(socket.AF_INET, "127.0.0.1", PORT)]

    def came(self):
        return sum(one.came for one in self.listeners)

    def control(self):
        """What must be seen is seen: else the rest would prove nothing."""
        for family, address in ((socket.AF_INET, OTHER4), (socket.AF_INET6, OTHER6),
                                (socket.AF_INET, "127.0.0.1")):
            with socket.socket(family) as s:
                s.connect((address, PORT))
                s.recv(100)
        for family, address in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:db8::1")):
            with socket.socket(family) as s:
                s.setblocking(False)
                s.connect_ex((address, 25))
        names = {}
        for name in ("elsewhere.example.test", "rebind.example.test", "127.1"):
            names[name] = [sorted({a[4][0] for a in socket.getaddrinfo(name, 25)}) for _ in "12"]
        self.resolver.asked.clear()
        return {"came": self.came(), "seen": self.sniffer.all(), "names": names}

    def run(self, *words, patience=60):
        """One run of the program: how it ended, what it said, and whom it called."""
        came, begun = self.came(), time.monotonic()
        self.resolver.asked.clear()
        try:
            got = subprocess.run([REHEARSE, *map(str, words)], capture_output=True, env=self.env,
                                 timeout=patience, stdin=subprocess.DEVNULL, cwd=self.directory)
            status, out, err = got.returncode, got.stdout, got.stderr
        except subprocess.TimeoutExpired as e:
            status, out, err = "hung", e.stdout or b"", e.stderr or b""
        return {"words": list(map(str, words)), "status": status, "out": out.decode(errors="replace"),
                "err": err.decode(errors="replace"), "took": time.monotonic() - begun,
                "seen": self.sniffer.all(), "came": self.came() - came,
                "asked": list(self.resolver.asked)}

    def canned(self):
        process = subprocess.Popen([REHEARSE, "canned", "--port", str(CANNED_PORT)],
                                   stdout=subprocess.PIPE, text=True)
        line = process.stdout.readline()
        assert "listening" in line, line
        return process

    def with_canned(self, *words):
        process = self.canned()
        try:
            return self.run(*words)
        finally:
            process.terminate()
            process.wait(60)

    def scenario_with(self, name, setting, inside_actor):
        text = SCENARIO.read_text()
        at = text.index("dialogue = [") if inside_actor else text.index("attackers")
        path = self.directory / f"{name}.conf"
        path.write_text(text[:at] + setting + "\n" + text[at:])
        return path

    def everything(self):
        found = {"control": self.control()}
        found["refused"] = [self.run("--to", text, *SHORT, SCENARIO) for text in REFUSED]

        help_text = self.run("--help")
        found["help"] = help_text
        services = re.findall(r"--([a-z0-9-]+) HOST:PORT", help_text["out"])
        found["services"] = [self.run(f"--{service}", f"{OTHER4}:{PORT}", *SHORT, SCENARIO)
                             for service in services]
        found["canned"] = [self.run("canned", "--address", address, "--port", PORT + 100)
                           for address in (OTHER4, "0.0.0.0", "::", OTHER6, "localhost", "::ffff:127.0.0.1",
                                           "198.18.0.1")]
        found["rebind"] = self.with_canned("--to", f"rebind.example.test:{CANNED_PORT}", *SHORT, SCENARIO)
        found["scenario"] = [
            self.with_canned("--to", f"127.0.0.1:{CANNED_PORT}", *SHORT,
                             self.scenario_with(f"{key}-{inside}", f'{key} = "{OTHER4}:{PORT}";', inside))
            for key in ("to", "target", "address", "host") for inside in (False, True)]
        found["namespace"] = [
            self.run("--namespace", "--to", text, *SHORT, SCENARIO, "--", "sleep", "20")
            for text in (f"{OTHER4}:{PORT}", f"elsewhere.example.test:{PORT}", "8.8.8.8:25",
                         "192.0.2.7:25", "198.20.0.1:25", "[2001:db9::1]:25", f"[{OTHER6}]:{PORT}")]
        return found


if __name__ == "__main__":
    print(json.dumps(Inside(pathlib.Path(sys.argv[1])).everything()))
    sys.exit(0)


# Outside: the tests.

import pytest  # noqa: E402 (not needed inside)

APART = ["unshare", "-n", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-n", "-m"]

pytestmark = [
    pytest.mark.skipif(not shutil.which("ip"), reason="iproute2 is not installed"),
    pytest.mark.skipif(subprocess.run([*APART, "true"], capture_output=True).returncode != 0,
                       reason="namespaces cannot be made here"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    assert REHEARSE.exists(), f"{REHEARSE} was not built"
    got = subprocess.run([*APART, sys.executable, __file__, tmp_path_factory.mktemp("inside")],
                         capture_output=True, text=True, timeout=600,
                         env={**os.environ, "HOLDFAST_BUILD": str(BUILD)})
    assert got.returncode == 0, got.stderr
    return json.loads(got.stdout)


def calls(run):
    """Whom a run called that is not the loopback."""
    return [to for to in map(tuple, run["seen"]) if not to[0].startswith("127.") and to[0] != "::1"]


def test_what_looks_on_sees_what_there_is_to_see(found):
    control = found["control"]
    assert control["came"] == 3
    seen = {tuple(one) for one in control["seen"]}
    assert {(OTHER4, PORT), (OTHER6, PORT), ("127.0.0.1", PORT), ("8.8.8.8", 25),
            ("2001:db8::1", 25)} <= seen
    # and the names are what they should be: the hosts file is used, the resolver changes its mind
    assert control["names"]["elsewhere.example.test"] == [[OTHER4], [OTHER4]]
    assert control["names"]["rebind.example.test"] == [["127.0.0.1"], [OTHER4]]


@pytest.mark.parametrize("i", range(len(REFUSED)), ids=[r[:40] or "empty" for r in REFUSED])
def test_what_is_not_loopback_is_refused_without_a_single_packet(found, i):
    run = found["refused"][i]
    assert run["words"][1] == REFUSED[i]
    assert run["status"] == 2, run["err"]
    assert run["seen"] == [] and run["came"] == 0
    assert run["took"] < 30
    assert run["err"].startswith("holdfast-rehearse: ") and run["err"].count("\n") == 1, run["err"]
    if "nowhere" not in REFUSED[i]:
        assert "127.0.0.0/8" in run["err"] and "::1" in run["err"], run["err"]


def test_no_option_of_a_service_is_a_way_round(found):
    assert {r["words"][0] for r in found["services"]} >= {"--to", "--submission", "--imap", "--pop3s"}
    for run in found["services"]:
        assert run["status"] == 2, run
        assert run["seen"] == [] and run["came"] == 0, run
        assert "127.0.0.0/8" in run["err"]


def test_the_help_knows_no_option_that_permits_more(found):
    assert found["help"]["status"] == 0
    options = set(re.findall(r"--([a-z0-9-]+)", found["help"]["out"]))
    assert {"to", "seed", "namespace"} <= options
    wrong = re.compile("force|allow|unsafe|insecure|remote|extern|overrid|danger|public|know|trust"
                       "|any|permit|bypass|outside|non-|no-check|no-safe|skip|yes")
    assert [o for o in options if wrong.search(o)] == []


@pytest.mark.parametrize("name", ["target.c", "space.c"])
def test_no_variable_of_the_environment_or_the_build_is_asked(name):
    text = (TOP / "rehearse" / name).read_text()
    for word in ("getenv", "environ", "#if", "/etc/", "fopen"):
        assert not re.search(rf"\b{word}\b" if word.isalpha() else word, text), word


def test_a_name_is_looked_up_once_and_what_was_checked_is_what_is_called(found):
    run = found["rebind"]
    assert run["status"] == 0, run["err"]
    assert ["127.0.0.1", CANNED_PORT] in run["seen"]
    assert calls(run) == [] and run["came"] == 0
    assert run["asked"].count(["rebind.example.test", 1]) == 1, run["asked"]


def test_a_scenario_file_cannot_say_where_to_go(found):
    for run in found["scenario"]:
        assert calls(run) == [] and run["came"] == 0, run
        assert run["status"] in (0, 2), run["err"]


def test_a_namespace_permits_its_own_nets_and_no_others(found):
    for run in found["namespace"]:
        assert run["status"] == 2, run["err"]
        assert run["seen"] == [] and run["came"] == 0, run
        assert "198.18.0.0/15" in run["err"], run["err"]
        assert run["took"] < 30


def test_the_server_with_fixed_answers_listens_on_the_loopback_only(found):
    for run in found["canned"]:
        assert run["status"] == 2, run
        assert "listening" not in run["out"]
