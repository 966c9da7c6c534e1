"""Next hops: real ones take the mail, bad ones cannot lose, duplicate or block it."""
import json
import smtplib

import pytest

import hops
from conftest import wait_for
from hops import Dovecot, Hop, needs_dovecot
from postfix import Postfix, needs_postfix

TEXT = "Subject: {0}\r\nFrom: s@client.example\r\n\r\nline one\r\n.dot\r\n..dots\r\n\r\nend {0}\r\n"
# Of one that is well and has to wait for its turn nothing is given up, or mail would come twice.
PATIENT = 'connect-timeout = "60s"; reply-timeout = "60s";'
QUICK = 'connect-timeout = "5s"; reply-timeout = "5s";'
RETRY = 'queue: { retry-first = "1s"; retry-max = "1s"; };'


def send(server, *rcpts, text="hello", sender="s@client.example", **options):
    with server.smtp() as s:
        refused = s.sendmail(sender, rcpts, TEXT.format(text), **options)
        assert not refused


def body_of(message):
    return message.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


def queue(server):
    """The rows of `holdfast queue list --json`."""
    return [json.loads(line) for line in server.cli("queue", "list", "--json").splitlines() if line.strip()]


def wait_empty(server):
    wait_for("the queue to be empty", lambda: not queue(server))


def deliver(target):
    return f'to = "{target}"; {PATIENT}'


EXPECTED = body_of(TEXT.format("hello").encode())


# ---- real ones

@needs_dovecot
@pytest.mark.parametrize("how", ["port", "socket", "name"])
def test_dovecot_takes_mail_by_lmtp(make_server, home, how):
    users = ("alice@example.test", "bob@example.test")
    with Dovecot(home / "dovecot", users) as dovecot:
        targets = {"port": f"lmtp:127.0.0.1:{dovecot.port}", "name": f"lmtp:localhost:{dovecot.port}",
                   "socket": f"lmtp:unix:{dovecot.path}"}
        server = make_server(deliver=deliver(targets[how]), settings=RETRY)
        send(server, *users)
        for user in users:
            wait_for(f"mail for {user}", lambda: dovecot.messages(user))
            [message] = dovecot.messages(user)
            assert body_of(message) == EXPECTED
            assert b"Return-Path: <s@client.example>" in message
            assert b"mx.example.test" in message
        wait_empty(server)


@needs_dovecot
def test_dovecot_takes_a_large_message(make_server, home):
    with Dovecot(home / "dovecot", ["alice@example.test"]) as dovecot:
        server = make_server(deliver=deliver(f"lmtp:127.0.0.1:{dovecot.port}"), settings=RETRY)
        send(server, "alice@example.test", text="x" * 70 + "\r\n" + ("." + "y" * 75 + "\r\n") * 40000)
        wait_for("the message", lambda: dovecot.messages("alice@example.test"))
        [message] = dovecot.messages("alice@example.test")
        assert message.count(b"y" * 75) == 80000
        assert b"\n.yyy" in message and b"\n..yyy" not in message
        wait_empty(server)


@needs_dovecot
def test_a_user_that_dovecot_does_not_know_is_refused_at_rcpt(make_server, home):
    with Dovecot(home / "dovecot", ["known@ahead.test"]) as dovecot:
        server = make_server(settings='recipients: { verify-wait = "60s"; };\n'
                             f'routes = ( {{ domain = "ahead.test"; '
                             f'to = "lmtp:127.0.0.1:{dovecot.port}"; verify = true; }} );\n' + RETRY)
        send(server, "known@ahead.test")
        wait_for("the message", lambda: dovecot.messages("known@ahead.test"))
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            send(server, "unknown@ahead.test")
        assert refused.value.recipients["unknown@ahead.test"][0] == 550


@needs_postfix
def test_postfix_takes_mail_by_smtp(make_server, home):
    users = ("alice@example.test", "bob@example.test")
    with Postfix(home / "postfix", mailboxes=users) as postfix:
        server = make_server(deliver=deliver(f"smtp:127.0.0.1:{postfix.port}"), settings=RETRY)
        send(server, *users)
        for user in users:
            wait_for(f"mail for {user}", lambda: postfix.messages(user))
            [message] = postfix.messages(user)
            assert body_of(message) == EXPECTED
        wait_empty(server)


# ---- what they answer

def test_lmtp_answers_count_for_each_recipient(make_server):
    with Hop() as hop:
        hop.refuse_dot = {"bob@example.test": ["452 4.2.2 over quota", "452 4.2.2 over quota"],
                          "carol@example.test": ["550 5.7.1 not this one"]}
        server = make_server(deliver=deliver(hop.target), settings=RETRY,
                             users=("alice", "bob", "carol", "dave"))
        hop.refuse_rcpt = {"dave@example.test": ["550 5.1.1 unknown"]}
        send(server, *(f"{u}@example.test" for u in ("alice", "bob", "carol", "dave")))
        wait_for("bob's", lambda: hop.got("bob@example.test"))
        assert len(hop.got("alice@example.test")) == len(hop.got("bob@example.test")) == 1
        assert not hop.got("carol@example.test") and not hop.got("dave@example.test")
        server.wait_log(r"log=dead.*carol@example.test.*not this one")
        server.wait_log(r"log=dead.*dave@example.test")


def test_one_hop_that_hangs_does_not_hold_up_another(make_server):
    with Hop("greeting", hops.hang) as bad, Hop() as good:
        server = make_server(deliver=f'to = "{good.target}"; reply-timeout = "5m"; per-destination = 2;',
                             settings=f'routes = ( {{ domain = "stuck.test"; to = "{bad.target}"; }} );\n')
        server.wait_known("x@stuck.test")
        for _ in range(30):
            send(server, "x@stuck.test")
        for _ in range(30):
            send(server, "alice@example.test")
        wait_for("30 messages", lambda: len(good.got("alice@example.test")) == 30)
        assert bad.misdeeds <= 4
        bad.heal()


def test_a_name_that_does_not_exist_defers(make_server):
    # less than we wait for it: nobody knows what the name servers of this machine do
    server = make_server(deliver='to = "smtp:no.such.host.invalid:25"; connect-timeout = "10s";', settings=RETRY)
    send(server, "alice@example.test")
    server.wait_log(r"log=deferred.*no\.such\.host\.invalid")
    assert len(queue(server)) == 1


def test_what_a_hop_says_cannot_forge_a_log_line(make_server):
    with Hop() as hop:
        hop.refuse_rcpt = {"alice@example.test": ['550 5.1.1 x" log=forged a="b \x1b[31m']}
        server = make_server(deliver=deliver(hop.target), settings=RETRY)
        send(server, "alice@example.test")
        server.wait_log(r"log=dead.*log=forged")
        for line in server.log().splitlines():
            assert "\x1b" not in line
            assert ' log=forged' not in line.replace('\\" log=forged', "").replace('\\x22 log=forged', "")


def test_a_hop_without_smtputf8_does_not_get_such_mail(make_server):
    with Hop() as hop:
        hop.refuse_rcpt = {}
        server = make_server(deliver=deliver(hop.target), settings=RETRY)
        with server.smtp() as s:
            s.ehlo()
            s.sendmail("s@client.example", "alice@example.test", TEXT.format("hello"),
                       mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        wait_for("the message", lambda: hop.got("alice@example.test"))
        [mail] = [c for c in hop.commands if c.startswith("MAIL")]
        assert "SMTPUTF8" in mail and "SIZE=" in mail


# ---- bad ones

POINTS = ["greeting", "hello", "MAIL", "RCPT", "DATA", "message", "dot", "second answer", "QUIT"]
DEEDS = [hops.hang, hops.gone, hops.reset, hops.half_a_line, hops.closing, hops.nonsense,
         hops.endless_line, hops.endless_reply, hops.drips, hops.accepts_too_early]


def misbehave_and_heal(make_server, do, bad, waits, takes):
    """
    All hops, one for a domain each, go wrong at the same time, and then no more: all mail arrives. waits: at
    which the first attempt ends by itself; takes: which may have taken a message that they did not say they have.
    """
    routes = ",\n".join(f'{{ domain = "{d}"; to = "{h.target}"; }}' for d, h in bad.items())
    try:
        server = make_server(users=(), deliver=QUICK, settings=f"routes = ( {routes} );\n{RETRY}")
        for domain in bad:
            server.wait_known(f"b@{domain}")
            send(server, f"a@{domain}", f"b@{domain}")
        for domain, hop in bad.items():
            wait_for(f"{do.__name__} at {domain}", lambda: hop.misdeeds)
        # what is in the middle of it is left alone until its time is over
        for domain, hop in bad.items():
            if waits(hop):
                server.wait_log(rf"log=deferred.*{domain}")
        # a hop that is well may be slow all the same: from here on that is no reason to give up
        server.config.write_text(server.config.read_text().replace(QUICK, PATIENT))
        server.cli("reload")
        for hop in bad.values():
            hop.heal()
        for domain, hop in bad.items():
            for user in "ab":
                wait_for(f"mail for {user}@{domain}", lambda: hop.got(f"{user}@{domain}"))
                for message in hop.got(f"{user}@{domain}"):
                    assert body_of(message) == EXPECTED
        wait_empty(server)
        for hop in bad.values():
            if not takes(hop):
                assert len(hop.taken) == 2, "nothing was promised, so nothing may come twice"
    finally:
        for hop in bad.values():
            hop.close()


@pytest.mark.parametrize("do", DEEDS, ids=lambda do: do.__name__)
def test_a_hop_may_misbehave_at_any_point_and_mail_is_kept(make_server, do):
    """Each point has a domain of its own."""
    # one that claims to have the message behind its end cannot be caught in the lie
    points = POINTS[:5] if do is hops.accepts_too_early else POINTS
    bad = {f"{at.lower().replace(' ', '-')}.test": Hop(at, do) for at in points}
    misbehave_and_heal(make_server, do, bad, lambda hop: hop.at != "QUIT", lambda hop: hop.at not in POINTS[:6])


def test_a_hop_that_is_not_there_is_tried_again(make_server):
    with Hop() as hop:
        port = hop.port
    server = make_server(deliver=deliver(f"lmtp:127.0.0.1:{port}"), settings=RETRY)
    send(server, "alice@example.test")
    server.wait_log(r"log=deferred.*refused")
    with Hop(port=port) as again:
        wait_for("the message", lambda: again.got("alice@example.test"))
        wait_empty(server)
    assert len(again.taken) == 1


def test_the_store_may_die_while_a_hop_has_the_message(make_server):
    with Hop("dot", hops.hang) as hop:
        server = make_server(deliver=f'to = "{hop.target}"; reply-timeout = "1m";', settings=RETRY)
        send(server, "alice@example.test")
        wait_for("the hop to have it", lambda: hop.misdeeds)
        server.kill_role("store")
        hop.heal()
        wait_for("the message again", lambda: hop.got("alice@example.test"))
        wait_empty(server)


# ---- call-ahead

def test_call_ahead_asks_once_and_remembers(make_server):
    with Hop() as hop:
        hop.refuse_rcpt = {"unknown@ahead.test": ["550 5.1.1 no"] * 100}
        server = make_server(
            deliver=PATIENT,
            settings='recipients: { verify-wait = "60s"; };\n'
                     f'routes = ( {{ domain = "ahead.test"; to = "{hop.target}"; verify = true; }} );\n{RETRY}')
        for _ in range(3):
            send(server, "known@ahead.test")
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                send(server, "unknown@ahead.test")
            code, text = refused.value.recipients["unknown@ahead.test"]
            assert code == 550 and b"5.1.1" in text
        assert hop.commands.count("RCPT TO:<unknown@ahead.test>") == 1
        assert "MAIL FROM:<>" in hop.commands
        wait_for("all three", lambda: len(hop.got("known@ahead.test")) == 3)


def test_call_ahead_serves_what_it_remembers_when_the_hop_is_gone(make_server):
    hop = Hop()
    server = make_server(
        deliver=PATIENT,
        settings=f'recipients: {{ verify-wait = "20s"; }};\n'
                 f'routes = ( {{ domain = "ahead.test"; to = "{hop.target}"; verify = true; }} );\n{RETRY}')
    send(server, "known@ahead.test")
    wait_for("the message", lambda: hop.got("known@ahead.test"))
    hop.close()
    send(server, "known@ahead.test")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(server, "never-asked@ahead.test")
    assert refused.value.recipients["never-asked@ahead.test"][0] == 451
