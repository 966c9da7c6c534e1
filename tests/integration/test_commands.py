"""What the administrator can ask and order, on a server whose guard enforces.

Clients come from any address there is: they speak through a listener that believes
PROXY headers.
"""
import json
import os
import re
import signal
import socket
import struct

import pytest

from conftest import PATIENCE, Talk, free_port, wait_for

SETTINGS = """
run: { edges = 2; };
guard: {
  mode = "enforce"; known-good-after = 2; connect-rate = 0;
  delay = "0s"; late-at = 100; /* straight to the ban */
};
firewall: { enabled = false; };
proxy-from = [ "127.0.0.0/8" ];
"""
CODE = re.compile(rb"\b([A-Z][0-9A-HJKMNP-TV-Z]{6})\b")


class Client(Talk):
    """A client at any address."""

    def __init__(self, server, address):
        super().__init__(server.proxy_port)
        family = "TCP6" if ":" in address else "TCP4"
        own = "2001:db8:ffff::1" if family == "TCP6" else "203.0.113.1"
        self.send(f"PROXY {family} {address} {own} 40000 25\r\n")


def with_proxy(server):
    """One more listener, where PROXY comes first."""
    server.proxy_port = free_port()
    text = server.config.read_text()
    server.config.write_text(text.replace(
        'service = "smtp"; } );',
        f'service = "smtp"; }}, {{ address = "127.0.0.1:{server.proxy_port}"; '
        'service = "smtp"; proxy = true; } );', 1))
    return server.start()


@pytest.fixture
def guarded(make_server):
    return with_proxy(make_server(start=False, settings=SETTINGS))


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def parts(server, *words):
    """Of an explanation: the first row of each part."""
    found = {}
    for row in rows(server, "explain", *words):
        found.setdefault(row["part"], row)
    return found


def greeting(server, address):
    client = Client(server, address)
    line = client.reply()
    client.close()
    return line


def refused(line):
    return line[:3] in (b"421", b"554")


def offend(server, address, times=12):
    """Ask for relaying until nothing is answered any more, or so often."""
    client = Client(server, address)
    if client.reply().startswith(b"220") and client.ask("EHLO bot.example"):
        client.ask("MAIL FROM:<a@bot.example>")
        for i in range(times):
            if not client.ask(f"RCPT TO:<victim{i}@elsewhere.example>"):
                break
    client.close()


def deliver(server, address):
    client = Client(server, address).hello()
    client.envelope("alice")
    assert client.ask("DATA").startswith(b"354")
    assert client.ask("Subject: x\r\n\r\nhello\r\n.").startswith(b"250")
    client.ask("QUIT")
    client.close()


def befriend(server, address, messages=3):
    for _ in range(messages):
        deliver(server, address)
    wait_for(f"{address} to be known-good",
             lambda: parts(server, address).get("standing", {}).get("known-good"))


def test_wrong_usage_says_what_is_right(guarded):
    for words, code, text in [
            (("ban",), 2, "usage: holdfast ban"),
            (("explain",), 2, "usage: holdfast explain"),
            (("ban", "192.0.2.7/24"), 1, "did you mean 192.0.2.0/24?"),
            (("ban", "somebody"), 1, "neither an address nor a prefix"),
            (("ban", "192.0.2.7", "--for", "soon"), 1, "30m, 12h, 7d"),
            (("ban", "192.0.2.7", "--until", "x"), 1, "no option --until"),
            (("ban", "192.0.2.7", "192.0.2.8"), 1, "one word too many"),
            (("ban", "0.0.0.0/0"), 1, "wider than what may be banned"),
            (("ban", "::/16"), 1, "wider than what may be banned"),
            (("ban", "127.0.0.1"), 1, "add --force"),
            (("unban", "192.0.2.7"), 1, "is not banned"),
            (("allow", "192.0.2.7", "--remove"), 1, "is not allowed by an order"),
            (("kick", "192.0.2.7"), 1, "has no session here"),
            (("kick", "192.0.2.700"), 1, "neither an address nor a prefix"),
            (("kick", "nobody@example.test"), 1, "has no session here"),
            (("sessions", "--limit", "0"), 1, "from 1 to"),
            (("lockdown", "maybe"), 1, "lockdown on | off"),
            (("top", "--by", "luck"), 1, "--by points"),
            (("watch", "somebody"), 1, "neither an address nor a prefix")]:
        got = guarded.cli(*words, check=False)
        assert got.returncode == code and text in got.stderr, (words, got)
    assert rows(guarded, "bans") == []


def test_a_ban_holds_on_every_edge_and_outlives_a_restart(guarded):
    said = guarded.cli("ban", "192.0.2.0/24", "--for", "7d", "--why", "scans since Monday")
    assert "refused from now on, for 7d" in said
    lines = [greeting(guarded, f"192.0.2.{i}") for i in range(1, 21)]
    assert all(refused(line) for line in lines), lines
    assert greeting(guarded, "198.51.100.7").startswith(b"220")
    ban, = rows(guarded, "bans")
    assert (ban["prefix"], ban["by"], ban["why"]) == ("192.0.2.0/24", "administrator",
                                                      "scans since Monday")
    guarded.wait_log(r"log=ordered .*what=ban prefix=192\.0\.2\.0/24 .*why=\"scans since Monday\"")

    guarded.stop()
    guarded.start()
    assert refused(greeting(guarded, "192.0.2.7"))
    assert rows(guarded, "bans")[0]["until"] == ban["until"]

    assert "lifted" in guarded.cli("unban", "192.0.2.0/24")
    assert greeting(guarded, "192.0.2.7").startswith(b"220")
    assert rows(guarded, "bans") == []


def test_what_is_allowed_is_not_taken_back_by_unban(guarded):
    bot = "198.51.100.9"
    offend(guarded, bot, times=3)
    wait_for("points", lambda: parts(guarded, bot).get("standing", {}).get("points", 0) > 0)
    guarded.cli("allow", bot)
    got = guarded.cli("unban", bot, check=False)
    assert got.returncode == 1 and f"holdfast allow --remove {bot}" in got.stderr
    assert [row["prefix"] for row in rows(guarded, "allow")] == [bot]
    guarded.cli("allow", "--remove", bot)
    assert "forgiven" in guarded.cli("unban", bot)


def test_an_order_outlives_watch_and_all_edges(guarded):
    guarded.cli("ban", "2001:db8:1::/56")
    guarded.kill_role("watch")
    guarded.kill_role("edge")
    guarded.wait_ready()
    assert refused(greeting(guarded, "2001:db8:1::7"))
    assert [b["prefix"] for b in rows(guarded, "bans")] == ["2001:db8:1::/56"]


def test_orders_on_disk_that_are_torn_are_put_aside_by_name(guarded):
    guarded.cli("ban", "192.0.2.0/24")
    guarded.stop()
    file = guarded.dir / "log" / "orders.state"
    file.write_bytes(file.read_bytes()[:-4])
    guarded.start()
    guarded.wait_log(r"log=trouble .*key=orders .*orders\.state: its end is missing.*put aside as")
    assert rows(guarded, "bans") == []
    assert len(list(file.parent.glob("orders.state.bad-*"))) == 1


def test_the_code_of_a_refusal_explains_who_why_and_how_to_lift_it(guarded):
    offend(guarded, "192.0.2.9")
    line = wait_for("a refusal", lambda: (x := greeting(guarded, "192.0.2.9")) and refused(x) and x)
    code = CODE.search(line)
    assert code, line
    # if watch has not heard of it yet it searches all clients, and not for long
    found = wait_for("an explanation", lambda: "verdict" in (p := parts(guarded, code[1].decode())) and p)
    assert found["code"]["client"] == "192.0.2.9"
    verdict = found["verdict"]
    assert verdict["state"].startswith("refused") and verdict["decided-by"] == "the guard"
    assert verdict["rule"] == "points" and verdict["until"] > verdict["since"]
    assert found["seen"]["relay-denied"] >= 1
    assert found["ban"]["tries-since"] >= 1 and "tries per hour before" in found["ban"]["effect"]
    assert found["diagnosis"]["is"] == "relay-prober"
    assert found["history"]["connections"] >= 2
    ban = wait_for("the ban to be listed", lambda: rows(guarded, "bans"))[0]
    assert ban["prefix"] == "192.0.2.9" and ban["by"] == "guard"
    guarded.wait_log(r"log=banned .*prefix=192\.0\.2\.9 .*rule=points")

    # and the command it names lifts it, at once
    guarded.cli(*verdict["lift"].split()[1:])
    assert greeting(guarded, "192.0.2.9").startswith(b"220")
    assert rows(guarded, "bans") == []
    assert parts(guarded, "192.0.2.9")["verdict"]["state"].startswith("let in")
    guarded.wait_log(r"log=ban-ended .*prefix=192\.0\.2\.9 .*how=lifted")


def test_a_prefix_is_explained_by_who_is_inside(guarded):
    offend(guarded, "192.0.2.9")
    wait_for("it to be known", lambda: "seen" in parts(guarded, "192.0.2.9"))
    # what was seen within less than a tenth of a second
    found = wait_for("all of it", lambda: not (p := parts(guarded, "192.0.2.0/24"))["inside"].get("partial") and p)
    assert found["inside"]["clients"] == 1 and found["inside"]["offenders"] == 1
    assert found["client"]["client"] == "192.0.2.9"


def test_known_good_clients_are_not_banned_by_accident(guarded):
    befriend(guarded, "198.51.100.5")
    got = guarded.cli("ban", "198.51.100.0/24", check=False)
    assert got.returncode == 1 and "1 known-good client" in got.stderr
    assert "198.51.100.5" in got.stderr
    assert greeting(guarded, "198.51.100.5").startswith(b"220")
    guarded.cli("ban", "198.51.100.0/24", "--force")
    assert refused(greeting(guarded, "198.51.100.6"))


def test_an_allow_wins_over_bans_until_it_is_removed(guarded):
    guarded.cli("allow", "192.0.2.0/28", "--for", "1h", "--why", "our printer")
    got = guarded.cli("ban", "192.0.2.0/24", check=False)
    assert got.returncode == 1 and "holdfast allow --remove 192.0.2.0/28" in got.stderr
    assert [a["prefix"] for a in rows(guarded, "allow")] == ["192.0.2.0/28"]
    offend(guarded, "192.0.2.3", 30)
    assert greeting(guarded, "192.0.2.3").startswith(b"220")
    assert parts(guarded, "192.0.2.3")["verdict"]["why"] == "our printer"
    guarded.cli("allow", "192.0.2.0/28", "--remove")
    assert rows(guarded, "allow") == []


def test_sessions_are_listed_and_kicked(guarded):
    mine, other = Client(guarded, "192.0.2.9").hello(), Client(guarded, "192.0.2.77").hello()
    seen = wait_for("both sessions", lambda: len(s := rows(guarded, "sessions")) == 2 and s)
    one = next(s for s in seen if s["peer"] == "192.0.2.9")
    assert one["helo"] == "client.example" and one["standing"] == "stranger"
    assert len(rows(guarded, "sessions", "--client", "192.0.2.0/26")) == 1
    assert len(rows(guarded, "sessions", "--limit", "1")) == 1

    assert "1 session" in guarded.cli("kick", one["session"])
    mine.reply()
    assert mine.reply() == b""
    assert other.ask("NOOP").startswith(b"250")
    guarded.cli("kick", "192.0.2.64/26")
    other.reply()
    assert other.reply() == b""
    wait_for("nobody to be there", lambda: rows(guarded, "sessions") == [])


def test_lockdown_sheds_strangers_and_lets_known_good_ones_in(guarded):
    befriend(guarded, "198.51.100.5")
    stranger = Client(guarded, "192.0.2.9").hello()
    guarded.cli("lockdown", "on")
    assert greeting(guarded, "192.0.2.10").startswith(b"421")
    stranger.reply()
    assert stranger.reply() == b""
    deliver(guarded, "198.51.100.5")
    assert rows(guarded, "status")[0]["lockdown"] is True
    assert parts(guarded, "192.0.2.10")["verdict"]["lift"] == "holdfast lockdown off"

    guarded.stop()
    guarded.start(wait=False)
    wait_for("the server to answer",
             lambda: guarded.cli("lockdown", "--json", check=False).returncode == 0)
    assert rows(guarded, "lockdown")[0]["lockdown"] is True
    guarded.cli("lockdown", "off")
    guarded.wait_ready()
    wait_for("strangers to get in", lambda: greeting(guarded, "192.0.2.10").startswith(b"220"))


def test_all_is_answered_while_an_edge_stands_still(guarded):
    client = Client(guarded, "192.0.2.9").hello()
    wait_for("the session alone", lambda: [s["peer"] for s in rows(guarded, "sessions")] == ["192.0.2.9"])
    stopped = list(guarded.pids("edge"))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert rows(guarded, "sessions")[0]["peer"] == "192.0.2.9"
        for words in [("status",), ("bans",), ("explain", "192.0.2.9"), ("top",),
                      ("explain", "192.0.2.0/24"), ("ban", "203.0.113.0/24"),
                      ("unban", "203.0.113.0/24"), ("counters",)]:
            guarded.cli(*words)
    finally:
        for pid in stopped:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
    client.close()


def test_top_says_once_what_a_screen_would_show(guarded):
    offend(guarded, "192.0.2.9")
    wait_for("it to be known", lambda: "seen" in parts(guarded, "192.0.2.9"))
    # it looks for a short time only, and tells what it has seen by then
    found = []

    def seen():
        found[:] = rows(guarded, "top")
        return {"192.0.2.9", "192.0.2.0/26"} <= {r.get("prefix") for r in found}
    wait_for("it to be seen", seen)
    server = next(r for r in found if r["part"] == "server")
    assert server["sessions-max"] == 10000 and server["guard"] == "enforce"
    assert any(r["part"] == "rate" and r["count"] == "relay-denied" and r["total"] > 0
               for r in found)
    assert next(r for r in found if r["part"] == "offender")["prefix"] == "192.0.2.9"
    assert {r["prefix"] for r in found if r["part"] == "prefix"} >= {"192.0.2.0/26"}
    wait_for("the same by another order", lambda: "192.0.2.9" in guarded.cli("top", "--by", "rate", "--limit", "5"))


def test_watch_shows_what_one_client_does_and_nobody_else(guarded):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(PATIENCE)
    s.connect(str(guarded.control))
    words = b"".join(struct.pack("<H", len(w)) + w for w in (b"watch", b"192.0.2.0/26"))
    s.sendall(struct.pack("<I", len(words) + 1) + b"C" + words)
    # the command has been taken once the server has answered a later one
    guarded.cli("status")
    offend(guarded, "192.0.2.99", 2)
    offend(guarded, "192.0.2.9", 2)
    got = b""
    while b"192.0.2.9" not in got:
        more = s.recv(65536)
        assert more, got
        got += more
    assert b"192.0.2.99" not in got
    s.close()
    guarded.cli("status")
