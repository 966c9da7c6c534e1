"""The guard at work on a real server: who is refused, who is not, and what survives what.

Clients are addresses of 127.0.0.0/8, in prefixes of their own.
"""
import contextlib
import re
import time

import pytest

from conftest import Talk, free_port, wait_for
from test_life import end_as_silent

BOT, OTHER, FRIEND = "127.1.0.9", "127.2.0.9", "127.3.0.9"
ENFORCE = 'run: { edges = 2; };\nguard: { mode = "enforce"; known-good-after = 2; };\n'
# For tests that knock until something has changed, however long that takes: knocking costs nothing.
PATIENT = 'run: { edges = 2; };\nguard: { mode = "enforce"; connect-rate = 0; ban-at = 1000000; };\n'
CODE = r"\[[A-Z][0-9A-HJKMNP-TV-Z]{6}\]"


@pytest.fixture
def guarded(make_server):
    return make_server(settings=ENFORCE)


def greeting(server, source, port=None):
    """What is said at connect; b"" if nothing is."""
    talk = Talk(port or server.port, source)
    line = talk.reply()
    talk.close()
    return line


def ask_for_relaying(server, source, visits=3):
    """The third visit makes a history that is enough for a ban."""
    for i in range(visits):
        talk = server.talk(source)
        if not talk.reply().startswith(b"220"):
            return
        talk.ask("EHLO bot.example")
        talk.ask("MAIL FROM:<a@bot.example>")
        assert talk.ask(f"RCPT TO:<victim{i}@elsewhere.example>").startswith(b"554")
        with contextlib.suppress(ConnectionError):  # who is banned for that was closed, and hears of it late
            talk.ask("QUIT")
        talk.close()


def deliver(server, source):
    talk = server.talk(source).hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    assert talk.ask("Subject: x\r\n\r\nhello\r\n.").startswith(b"250")
    talk.ask("QUIT")
    talk.close()


def befriend(server, source):
    for _ in range(3):
        deliver(server, source)


def refusal(letter, code=b"554"):
    return re.compile(rb"^" + code + rb" \d\.\d\.\d .*\[" + letter + rb"[0-9A-HJKMNP-TV-Z]{6}\]\r\n$")


def expect_refused(server, source, letter, code=b"554"):
    line = greeting(server, source)
    assert refusal(letter, code).match(line), line


def test_who_offended_is_refused_at_connect_and_nobody_else(guarded):
    befriend(guarded, FRIEND)
    ask_for_relaying(guarded, BOT)
    expect_refused(guarded, BOT, b"H")
    assert greeting(guarded, OTHER).startswith(b"220")
    assert greeting(guarded, "127.1.0.10").startswith(b"220")  # of the same prefix
    deliver(guarded, FRIEND)
    guarded.wait_log(rf"log=banned .*{BOT}")
    guarded.wait_log(rf"log=refused .*peer={BOT} .*rule=history code=H")


def test_the_same_client_has_the_same_code_on_every_worker(guarded):
    ask_for_relaying(guarded, BOT)
    codes = {re.search(CODE, greeting(guarded, BOT).decode())[0] for _ in range(6)}
    assert len(codes) == 1


def test_a_ban_survives_the_death_of_all_edges(guarded):
    befriend(guarded, FRIEND)
    ask_for_relaying(guarded, BOT)
    old = guarded.kill_role("edge")
    wait_for("new edges", lambda: len(set(guarded.pids("edge")) - set(old)) == 2)
    expect_refused(guarded, BOT, b"H")
    deliver(guarded, FRIEND)
    assert '"known-good":true' in guarded.cli("explain", FRIEND, "--json")


def test_a_ban_survives_a_reload(guarded):
    ask_for_relaying(guarded, BOT)
    guarded.cli("reload")
    expect_refused(guarded, BOT, b"H")


def test_sessions_of_a_dead_edge_are_not_counted_for_ever(make_server):
    server = make_server(settings=PATIENT + "sessions: { per-address = 4; };\n")
    held = [server.talk(BOT) for _ in range(4)]
    assert all(t.reply().startswith(b"220") for t in held)
    # who finds the row locked is let in, and counted within a second
    wait_for("no room", lambda: refusal(b"S", b"421").match(greeting(server, BOT)))
    old = server.kill_role("edge")
    for t in held:
        t.close()
    wait_for("new edges", lambda: len(set(server.pids("edge")) - set(old)) == 2)
    wait_for("room for it", lambda: greeting(server, BOT).startswith(b"220"))


def test_who_is_on_a_deny_list_is_refused_unless_it_is_allowed(make_server):
    server = make_server(settings=ENFORCE + f'deny = [ "127.1.0.0/16" ];\nallow = [ "{BOT}" ];\n')
    assert greeting(server, BOT).startswith(b"220")
    expect_refused(server, "127.1.0.10", b"D")
    assert greeting(server, OTHER).startswith(b"220")
    ask_for_relaying(server, BOT, 5)
    assert greeting(server, BOT).startswith(b"220")


def test_a_deny_list_is_in_force_after_a_reload(make_server):
    guarded = make_server(settings=PATIENT)
    assert greeting(guarded, BOT).startswith(b"220")
    text = guarded.config.read_text()
    guarded.config.write_text(text + f'deny = [ "{BOT}" ];\n')
    guarded.cli("reload")
    wait_for("every edge to have it", lambda: all(refusal(b"D").match(greeting(guarded, BOT)) for _ in range(8)))
    guarded.config.write_text(text)
    guarded.cli("reload")
    wait_for("it to be gone", lambda: all(greeting(guarded, BOT).startswith(b"220") for _ in range(8)))


def test_a_guard_that_observes_says_whom_it_would_refuse(make_server):
    server = make_server(settings='guard: { mode = "observe"; };\n')
    ask_for_relaying(server, BOT, 4)
    assert greeting(server, BOT).startswith(b"220")
    server.wait_log(rf"log=would-refuse .*{BOT}.*rule=history")
    assert "log=refused" not in server.log()


def test_one_rule_can_be_observed_alone(make_server):
    server = make_server(settings='guard: { mode = "enforce"; observe = [ "history" ]; };\n'
                         'deny = [ "127.1.0.10" ];\n')
    ask_for_relaying(server, BOT, 4)
    assert greeting(server, BOT).startswith(b"220")
    expect_refused(server, "127.1.0.10", b"D")


def test_a_front_is_never_banned_for_its_clients(make_server):
    port = free_port()
    server = make_server(start=False, settings=ENFORCE + 'proxy-from = [ "127.0.0.1" ];\n')
    text = server.config.read_text()
    server.config.write_text(text.replace(
        'service = "smtp"; } );', f'service = "smtp"; }}, {{ address = "127.0.0.1:{port}"; proxy = true; }} );', 1))
    server.start()

    def through(client):
        talk = Talk(port)
        talk.send(f"PROXY TCP4 {client} 203.0.113.1 40000 25\r\n")
        return talk

    for client in range(40):
        for _ in range(3):
            talk = through(f"192.0.2.{client}")
            if talk.reply().startswith(b"220"):
                talk.ask("EHLO bot.example")
                talk.ask("MAIL FROM:<a@bot.example>")
                talk.ask("RCPT TO:<victim@elsewhere.example>")
            talk.close()
    assert refusal(b"[HX]").match(through("192.0.2.1").reply())
    talk = through("198.51.100.7")
    assert talk.reply().startswith(b"220")
    talk.close()
    assert greeting(server, "127.0.0.1").startswith(b"220")
    assert not re.search(r"log=banned .*prefix=127\.", server.log())


def test_sessions_of_one_address_are_counted_over_all_edges(make_server):
    server = make_server(settings=PATIENT + "sessions: { per-address = 6; };\n")
    held = [server.talk(BOT) for _ in range(6)]
    assert all(t.reply().startswith(b"220") for t in held)
    # who finds the row locked is let in, and counted within a second
    wait_for("no room on any edge",
             lambda: all(refusal(b"S", b"421").match(greeting(server, BOT)) for _ in range(4)))
    assert greeting(server, OTHER).startswith(b"220")
    held.pop().close()
    wait_for("room for one more", lambda: greeting(server, BOT).startswith(b"220"))
    for t in held:
        t.close()


def nobody_is_here(server):
    wait_for("nobody to be here", lambda: not server.cli("sessions", "--json").strip())


def fill(server):
    """Eight strangers, for whom there is room, and then for no other one. Who has been still for
    ten seconds may have to leave for another: if they were, they are no proof, and eight others come."""
    strangers = (f"127.4.{i}.1" for i in range(256))
    while True:
        nobody_is_here(server)
        began = time.monotonic()
        held = [server.talk(next(strangers)).hello() for _ in range(8)]
        line = greeting(server, OTHER)
        if time.monotonic() - began < 10:
            assert refusal(b"F", b"421").match(line), line
            return held
        for t in held:
            t.close()


def test_a_full_server_has_room_for_a_client_known_good(make_server):
    # of two workers one may have all the strangers: then the other asks it to send one away
    server = make_server(settings='run: { edges = 2; };\nguard: { mode = "enforce"; known-good-after = 2; };\n'
                         "sessions: { max = 10; reserved = 20; };\n")
    befriend(server, FRIEND)
    held = fill(server)
    # as long as there is room for more they have a minute for their next command, and then ten seconds
    for offender in held:
        assert offender.ask("BOGUS").startswith(b"500")
    friends = [server.talk(FRIEND) for _ in range(2)]
    assert all(t.reply().startswith(b"220") for t in friends)
    # the reserve is used up, too: a stranger has to leave for one more
    for _ in range(3):
        friends.append(server.talk(FRIEND))
        assert friends[-1].reply().startswith(b"220")
    wait_for("three to be sent away", lambda: len(server.cli("sessions", "--json").splitlines()) == 10)
    for t in held + friends:
        t.close()


def test_lockdown_lets_in_known_good_clients_only(guarded):
    befriend(guarded, FRIEND)
    stranger = guarded.talk(OTHER).hello()
    friend = guarded.talk(FRIEND).hello()
    guarded.cli("lockdown", "on")
    assert refusal(b"L", b"421").match(stranger.reply())
    assert stranger.reply() == b""
    expect_refused(guarded, OTHER, b"L", b"421")
    assert friend.ask("NOOP").startswith(b"250")
    deliver(guarded, FRIEND)
    guarded.cli("lockdown", "off")
    wait_for("strangers to be let in", lambda: greeting(guarded, OTHER).startswith(b"220"))
    friend.close()


def test_too_many_connections_are_told_to_come_later(make_server):
    server = make_server(users=(), settings='guard: { mode = "enforce"; connect-rate = 1; connect-burst = 5; };\n')
    said = [greeting(server, BOT) for _ in range(12)]
    assert said[0].startswith(b"220")
    assert any(refusal(b"R", b"421").match(line) for line in said)
    assert greeting(server, OTHER).startswith(b"220")


def test_the_memory_survives_a_restart_of_everything(make_server):
    server = make_server(settings=ENFORCE)
    ask_for_relaying(server, BOT)
    expect_refused(server, BOT, b"H")
    server.stop()
    server.start()
    server.wait_log(r"log=memory .*what=restored")
    wait_for("the ban to be back", lambda: refusal(b"H").match(greeting(server, BOT)))


def test_an_edge_that_stops_answering_leaves_the_bans_to_the_others(guarded):
    ask_for_relaying(guarded, BOT)
    end_as_silent(guarded, [next(iter(guarded.pids("edge")))])
    expect_refused(guarded, BOT, b"H")


def test_strangers_share_a_budget_of_handshakes(make_server):
    server = make_server(start=False, tls=True,
                         settings='guard: { mode = "enforce"; known-good-after = 2; connect-rate = 0; };\n')
    text = server.config.read_text()
    server.config.write_text(text.replace("tls: { certificates", "tls: { handshakes = 1; certificates", 1))
    server.start()
    befriend(server, FRIEND)

    def starttls(source):
        talks = [server.talk(source).hello() for _ in range(8)]
        for talk in talks:
            talk.send("STARTTLS\r\n")
        said = {talk.reply()[:3] for talk in talks}
        for talk in talks:
            talk.close()
        return said

    wait_for("one too many", lambda: starttls(BOT) == {b"220", b"454"})
    assert starttls(FRIEND) == {b"220"}
