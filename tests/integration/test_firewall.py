"""The kernel's help: bans in nftables, in network namespaces that these tests make.

The server lives in one namespace, its clients in another, with thousands of addresses.
Nothing here touches the tables of the machine itself.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from conftest import PATIENCE, ROLE_IDS, wait_for

NFT = "/usr/sbin/nft"
PORT = 2525
SERVER, SERVER_6 = "10.99.0.1", "fd00:99::1"
ON = """
guard: { mode = "enforce"; lookups = false; };
firewall: { enabled = true; %s };
"""

CONNECT = """
import socket, sys
source, address, port, patience = sys.argv[1:]
try:
    s = socket.create_connection((address, int(port)), float(patience), (source, 0))
    s.settimeout(60)
    print(s.recv(600).decode("ascii", "replace").strip() or "closed")
except (TimeoutError, socket.timeout):
    print("silence")
except OSError as e:
    print("error", e)
"""

OFFEND = """
import socket, sys
source, address, port = sys.argv[1:]
try:
    with socket.create_connection((address, int(port)), 5, (source, 0)) as s, s.makefile("rwb") as f:
        f.readline()
        for line in ["EHLO bot.example", "MAIL FROM:<a@bot.example>"] + 20 * ["RCPT TO:<v@elsewhere.example>"]:
            f.write(line.encode() + b"\\r\\n")
            f.flush()
            while f.readline()[3:4] == b"-":
                pass
except OSError:
    pass
"""


def can_make_namespaces():
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    return subprocess.run(["unshare", "-n", NFT, "list", "ruleset"],
                          capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not pathlib.Path(NFT).exists() or not can_make_namespaces(),
                                reason="needs root, iproute2, nftables and network namespaces")


class Namespace:
    """A network namespace, held by a process of ours."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        own = os.readlink("/proc/self/ns/net")
        wait_for("the namespace", lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own)
        self.enter = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words, check=True):
        got = subprocess.run([*self.enter, *words], capture_output=True, text=True, timeout=PATIENCE)
        if check and got.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: {got.stderr}")
        return got.stdout

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()


class Net:
    """Two of them and a cable; the clients' one has all of 10.98.0.0/16 and fd00:98::/32."""

    def __init__(self):
        self.inside, self.outside = Namespace(), Namespace()
        self.inside.run("ip", "link", "add", "mx", "type", "veth", "peer", "name", "world",
                        "netns", str(self.outside.holder.pid))
        self.inside.run("ip", "addr", "add", f"{SERVER}/24", "dev", "mx")
        self.outside.run("ip", "addr", "add", "10.99.0.2/24", "dev", "world")
        self.inside.run("ip", "link", "set", "mx", "up")
        self.outside.run("ip", "link", "set", "world", "up")
        self.inside.run("ip", "route", "add", "10.98.0.0/16", "via", "10.99.0.2")
        self.outside.run("ip", "route", "add", "local", "10.98.0.0/16", "dev", "lo")
        self.inside.run("ip", "addr", "add", f"{SERVER_6}/64", "dev", "mx", "nodad")
        self.outside.run("ip", "addr", "add", "fd00:99::2/64", "dev", "world", "nodad")
        self.inside.run("ip", "route", "add", "fd00:98::/32", "via", "fd00:99::2")
        self.outside.run("ip", "route", "add", "local", "fd00:98::/32", "dev", "lo")
        self.outside.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind")

    def nft(self, *words, check=True):
        return self.inside.run(NFT, *words, check=check)

    def lists(self, text, what="ruleset"):
        return text in self.nft("list", *what.split(), check=False)

    def connect(self, source, patience=PATIENCE):
        """What a client from there hears first; "silence" after that many seconds."""
        server = SERVER_6 if ":" in source else SERVER
        return self.outside.run(sys.executable, "-c", CONNECT, source, server, str(PORT),
                                str(patience)).strip()

    def offend(self, source):
        """Ask for relaying until nothing is answered any more; once refused, try again."""
        server = SERVER_6 if ":" in source else SERVER
        self.outside.run(sys.executable, "-c", OFFEND, source, server, str(PORT))

    def close(self):
        self.inside.close()
        self.outside.close()


@pytest.fixture
def net():
    made = Net()
    yield made
    made.close()


@pytest.fixture
def make_walled(net, make_server):
    """A server in that net, whose firewall works unless told otherwise."""
    def make(more="", settings="", start=True, run_args=()):
        server = make_server(
            start=False, users=(), under=net.inside.enter, run_args=run_args,
            listen=f'listen = ( {{ address = "{SERVER}:{PORT}"; }}, '
                   f'{{ address = "[{SERVER_6}]:{PORT}"; service = "smtp"; }} );',
            settings=ON % more + settings + "\n")
        return server.start() if start else server
    return make


def status(server):
    return json.loads(server.cli("status", "--json").splitlines()[0])


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def wait_blocked(net, text):
    wait_for(f"{text} in the kernel", lambda: net.lists(text))


def test_a_banned_client_is_dropped_before_it_reaches_the_process(net, make_walled):
    server = make_walled()
    assert net.connect("10.98.1.7").startswith("220")
    server.wait_log(r"log=session .*peer=10\.98\.1\.7 ")
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.1.7 timeout")
    before = server.log().count("peer=10.98.1.7")
    assert net.connect("10.98.1.7", patience=2) == "silence"
    assert server.log().count("peer=10.98.1.7") == before
    assert net.connect("10.98.1.8").startswith("220")
    wait_for("packets to be counted", lambda: status(server)["kernel-dropped"] >= 1)
    server.cli("unban", "10.98.1.7")
    wait_for("it to be let in", lambda: not net.lists("10.98.1.7 timeout"))
    assert net.connect("10.98.1.7").startswith("220")


def test_a_whole_prefix_is_dropped_and_its_neighbours_are_not(net, make_walled):
    server = make_walled()
    server.cli("ban", "10.98.8.0/21", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.8.0 timeout")
    assert net.connect("10.98.15.255", patience=2) == "silence"
    assert net.connect("10.98.16.1").startswith("220")
    assert net.connect("10.98.7.255").startswith("220")


def test_of_ipv6_a_whole_64_is_dropped_and_its_neighbours_are_not(net, make_walled):
    server = make_walled()
    assert net.connect("fd00:98:1:2::7").startswith("220")
    server.wait_log(r"log=session .*peer=fd00:98:1:2::7 ")
    server.cli("ban", "fd00:98:1:2::/64", "--for", "1h", "--why", "test")
    wait_blocked(net, "fd00:98:1:2:: timeout")
    before = server.log().count("peer=fd00:98:1:2:")
    assert net.connect("fd00:98:1:2::7", patience=2) == "silence"
    assert net.connect("fd00:98:1:2:ffff:ffff:ffff:ffff", patience=2) == "silence"
    assert server.log().count("peer=fd00:98:1:2:") == before
    assert net.connect("fd00:98:1:3::7").startswith("220")
    wait_for("packets to be counted", lambda: status(server)["kernel-dropped"] >= 2)
    server.cli("unban", "fd00:98:1:2::/64")
    wait_for("it to be let in", lambda: not net.lists("fd00:98:1:2:: timeout"))
    assert net.connect("fd00:98:1:2::7").startswith("220")


def test_who_is_allowed_is_not_dropped_with_a_bot_of_the_same_64(net, make_walled):
    server = make_walled()
    text = server.config.read_text()
    server.config.write_text(text.replace('lookups = false;',
                                          'lookups = false; drop-after = 1; kernel-after = 2;'))
    server.cli("reload")
    server.cli("allow", "fd00:98:1:2::7")

    def step():
        net.offend("fd00:98:1:2::8")
        return [ban["step"] for ban in rows(server, "bans")] == ["kernel"]

    wait_for("a ban that is for the kernel", step)
    # what is told to the firewall now comes behind it
    server.cli("ban", "10.98.1.7")
    wait_blocked(net, "10.98.1.7")
    assert not net.lists("fd00:98:1:2::")
    assert net.connect("fd00:98:1:2::7").startswith("220")
    assert not net.connect("fd00:98:1:2::8").startswith("220")


def test_the_role_has_one_capability_and_its_own_user(net, make_walled):
    server = make_walled()
    wait_blocked(net, "made_by_holdfast")
    pid, = server.pids("firewall")
    told = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(rf"^Uid:\s+{ROLE_IDS['firewall']}\s", told, re.M)
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert re.search(rf"^Cap{kind}:\s+0000000000001000$", told, re.M), told
    assert re.search(r"^NoNewPrivs:\s+1$", told, re.M)


def test_stopping_takes_the_table_away_and_no_other(net, make_walled):
    net.nft("table inet filter { chain c { type filter hook input priority 0; counter; }; }")
    before = net.nft("list", "ruleset")
    server = make_walled()
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.1.7 timeout")
    assert server.stop() == 0
    shape = re.compile(r"packets \d+ bytes \d+")
    assert shape.sub("", net.nft("list", "ruleset")) == shape.sub("", before)


def test_after_a_flush_all_is_put_back(net, make_walled):
    server = make_walled()
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.1.7 timeout")
    net.nft("flush", "ruleset")
    wait_blocked(net, "10.98.1.7 timeout")
    server.wait_log(r"^log=firewall .*put back|log=firewall.*put back")


def test_after_the_death_of_firewall_or_watch_the_bans_are_there(net, make_walled):
    server = make_walled()
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.1.7 timeout")
    for role in ("firewall", "watch"):
        old = server.kill_role(role)
        wait_for(f"another {role}", lambda: set(server.pids(role)) - set(old))
        wait_blocked(net, "10.98.1.7 timeout")
        net.nft("flush", "ruleset")
        wait_blocked(net, "10.98.1.7 timeout")


def test_our_own_address_and_allowed_ones_are_refused(net, make_walled):
    server = make_walled(settings='allow = [ "10.98.4.0/24" ];')
    wait_blocked(net, "made_by_holdfast")
    for prefix in (SERVER, "10.99.0.0/24", "10.98.4.9", "10.98.0.0/21"):
        server.cli("ban", prefix, "--for", "1h", "--why", "test", check=False)
    server.cli("ban", "10.98.32.1", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.32.1 timeout")
    rules = net.nft("list", "ruleset")
    assert "10.99.0" not in rules and "10.98.4." not in rules and "10.98.0.0" not in rules
    assert net.connect("10.98.4.9").startswith("220")


def test_a_reload_changes_ports_and_what_may_be_blocked(net, make_walled):
    server = make_walled()
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    server.cli("ban", "10.98.2.7", "--for", "1h", "--why", "test")
    wait_blocked(net, "10.98.1.7 timeout")
    wait_blocked(net, "10.98.2.7 timeout")
    text = server.config.read_text().replace(
        'service = "smtp"; } );',
        f'service = "smtp"; }}, {{ address = "{SERVER}:2526"; service = "smtp"; }} );', 1)
    server.config.write_text(text + 'allow = [ "10.98.2.0/24" ];\n')
    server.process.send_signal(signal.SIGHUP)
    wait_for("the new port", lambda: net.lists("2526", "set inet holdfast smtp_ports"))
    wait_for("the allowed one to go", lambda: not net.lists("10.98.2.7 timeout"))
    assert net.lists("10.98.1.7 timeout")
    # the edges hear of the list by themselves
    wait_for("it to be let in", lambda: net.connect("10.98.2.7").startswith("220"))


def test_without_nft_or_with_one_that_hangs_mail_is_served(net, make_walled, home):
    hangs = home / "nft"
    hangs.write_text("#!/bin/sh\nexec sleep 1000\n")
    hangs.chmod(0o755)
    for nft, state, more in (("/nonexistent/nft", "missing", ""),
                             (hangs, "fails", 'run: { sandbox = "off"; };')):
        server = make_walled(f'nft = "{nft}";', settings=more)
        server.wait_log(f"log=firewall.*state={state}")
        server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
        assert net.connect("10.98.1.8").startswith("220")
        assert net.connect("10.98.1.7")[:3] in ("554", "421")
        assert server.stop() == 0


def test_nft_that_comes_later_is_used(net, make_walled, home):
    server = make_walled(f'nft = "{home}/nft";')
    server.wait_log("log=firewall.*state=missing")
    shutil.copy(NFT, home / "nft.new")
    (home / "nft.new").rename(home / "nft")
    wait_blocked(net, "made_by_holdfast")


def test_without_the_capability_mail_is_served(net, make_walled):
    if not shutil.which("setpriv"):
        pytest.skip("util-linux has no setpriv here")
    server = make_walled(start=False)
    server.under += ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    server.start()
    server.wait_log("log=firewall.*state=missing.*CAP_NET_ADMIN")
    server.cli("ban", "10.98.1.7", "--for", "1h", "--why", "test")
    assert net.connect("10.98.1.8").startswith("220")
    assert net.connect("10.98.1.7")[:3] in ("554", "421")
    assert "made_by_holdfast" not in net.nft("list", "ruleset")


def test_a_firewall_without_its_user_stops_nothing(net, make_walled):
    server = make_walled(start=False)
    text = server.config.read_text()
    server.config.write_text(text.replace(f'user-firewall = "{ROLE_IDS["firewall"]}"',
                                          'user-firewall = "nobody-of-that-name"'))
    server.start()
    assert not server.pids("firewall")
    server.wait_log("log=firewall.*nobody-of-that-name")
    assert net.connect("10.98.1.8").startswith("220")
