"""Mail of users to other domains: a real Postfix takes it, refuses it, tells of it; the brake; bounces."""
import contextlib
import email
import email.policy
import re
import smtplib
import sqlite3
import struct
import time

import pytest

from conftest import PATIENCE, free_port, wait_for
from hops import Hop
from postfix import Postfix, needs_postfix

ALICE = "alice@example.test"
RETRY = 'queue: { retry-first = "1s"; retry-max = "5s"; };'


def make(make_server, relay, more=""):
    """A server whose users log in, and whose mail to other domains goes to that port."""
    port = free_port()
    server = make_server(start=False, deliver=f'relay = "smtp:127.0.0.1:{relay}"; dane = false;', settings=RETRY + more)
    text = server.config.read_text().replace(
        "listen = (", f'listen = ( {{ address = "127.0.0.1:{port}"; service = "submission"; }},')
    server.config.write_text(text)
    server.submission = port
    return server


def submit(server, *rcpts, options=(), text="hello", rcpt_options=()):
    message = f"From: {ALICE}\r\nTo: somebody\r\nSubject: a subject\r\n\r\n{text}\r\n"
    with smtplib.SMTP("127.0.0.1", server.submission, timeout=PATIENCE) as s:
        s.ehlo("client.example")
        s.login(ALICE, server.password)
        s.sendmail(ALICE, rcpts, message, options, rcpt_options)


def come_in(server, sender, rcpt, text="hello"):
    with server.smtp(local_hostname="client.example") as s:
        s.sendmail(sender, [rcpt], f"From: x@away.test\r\nSubject: in\r\n\r\n{text}\r\n")


def notice(raw):
    """The parts of a report, by another implementation."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message["Return-Path"].strip() == "<>" and message["Auto-Submitted"]
    text, status, returned = message.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    about, *rcpts = status.get_payload()
    return text.get_content(), about, rcpts, returned


def wait_none_open(server):
    wait_for("the queue to be done", lambda: not server.cli("queue", "list", "--where", "state=queued").strip()
             or "no messages" in server.cli("queue", "list", "--where", "state=queued"))


@pytest.fixture
def world(make_server, home):
    """A server and a Postfix that send each other what is not their own."""
    port = free_port()
    server = make(make_server, port)
    boxes = ("bob@far.test", "dora@away.test")
    # it looks its own mailboxes up, so nobody else of these domains exists
    with Postfix(home / "postfix", mailboxes=boxes, port=port, relayhost=f"[127.0.0.1]:{server.port}") as postfix:
        server.start()
        server.postfix = postfix
        yield server


@needs_postfix
def test_mail_of_a_user_reaches_another_domain(world):
    submit(world, "bob@far.test")
    wait_for("the message", lambda: world.postfix.messages("bob@far.test"))
    [got] = world.postfix.messages("bob@far.test")
    assert b"Return-Path: <alice@example.test>" in got and b"\nhello\n" in got


@needs_postfix
def test_a_user_is_told_whom_postfix_refused_and_only_about_those(world):
    submit(world, "bob@far.test", "nobody@far.test", text="a body to be returned",
           options=["RET=FULL", "ENVID=QQ+2B1"])
    [raw] = world.wait_messages("alice", 1)
    text, about, [rcpt], returned = notice(raw)
    assert "nobody@far.test" in text and "bob@far.test" not in text
    assert about["Original-Envelope-Id"] == "QQ+1" and about["Reporting-MTA"] == "dns; mx.example.test"
    assert rcpt["Final-Recipient"] == "rfc822; nobody@far.test"
    assert rcpt["Action"] == "failed" and rcpt["Status"] == "5.1.1"
    assert "a body to be returned" in returned.as_string()
    wait_for("the message", lambda: world.postfix.messages("bob@far.test"))


@needs_postfix
def test_postfix_tells_of_successes_as_it_is_asked(world):
    submit(world, "bob@far.test", rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;Bob@far.test"])
    [raw] = world.wait_messages("alice", 1)
    _, about, [rcpt], _ = notice(raw)
    # ours would say mx.example.test: it left the telling to who delivered
    assert about["Reporting-MTA"] == "dns; postfix.example"
    assert rcpt["Original-Recipient"] == "rfc822;Bob@far.test"


@needs_postfix
def test_a_stranger_is_never_told(world):
    world.cli("alias", "add", "fwd@example.test", "nobody@far.test")
    world.wait_known("fwd@example.test")
    come_in(world, "dora@away.test", "fwd@example.test")
    wait_for("it to be dead", lambda: re.search(r"log=dead .*fwd|log=dead .*nobody@far", world.log()))
    assert world.postfix.messages("dora@away.test") == []
    assert "log=bounced" not in world.log()


@needs_postfix
def test_what_is_forwarded_bounces_to_its_sender(world):
    world.cli("alias", "add", "fwd@example.test", "bob@far.test")
    world.wait_known("fwd@example.test")
    come_in(world, "dora@away.test", "fwd@example.test")
    wait_for("the message", lambda: world.postfix.messages("bob@far.test"))
    [got] = world.postfix.messages("bob@far.test")
    sender = re.search(rb"Return-Path: <(SRS0=.*=away.test=dora@example.test)>", got)[1].decode()
    come_in(world, "", sender, text="this did not work")
    wait_for("the bounce", lambda: world.postfix.messages("dora@away.test"))
    assert b"this did not work" in world.postfix.messages("dora@away.test")[0]
    # nobody else can have us write to dora, with that address or with one like it
    for who, address in (("spam@evil.test", sender), ("", "SRS0=AAAAAAAA=AA" + sender[16:])):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            come_in(world, who, address)
        assert refused.value.recipients[address][0] == 550
    assert len(world.postfix.messages("dora@away.test")) == 1


def test_a_stranger_gets_nothing_relayed(make_server):
    with Hop(lmtp=False) as hop:
        server = make(make_server, hop.port).start()
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            come_in(server, ALICE, "victim@far.test")
        assert hop.taken == []


def kept(server):
    """Of what alice sent, as the store keeps it: the incident, and the sums of messages and recipients."""
    with contextlib.closing(sqlite3.connect(f"file:{server.dir}/state/state.db?mode=ro", uri=True)) as db:
        [row] = db.execute("select bytes from sent where login = ?", (ALICE,)).fetchall() or [(bytes(88),)]
    fields = struct.unpack_from("<4I6q", row[0])
    return fields[1], fields[6], fields[9]


def test_an_account_that_is_stolen_is_braked_and_nothing_is_lost(make_server):
    """A11: to 600 people whom its owner never wrote to."""
    with Hop(lmtp=False) as hop:
        server = make(make_server, hop.port).start()
        for first in range(0, 600, 20):
            submit(server, *(f"n{i}@far.test" for i in range(first, first + 20)))
        def out():
            with hop.lock:
                return {rcpt for _, rcpt, _ in hop.taken}
        wait_for("some to be sent", lambda: len(out()) >= 140)
        server.wait_log(r"log=brake .*")
        [brake] = re.findall(r"log=brake .*", server.log())
        assert "login=alice@example.test" in brake and "what=new-recipients" in brake
        incident = re.search(r"incident=(\d+)", brake)[1]
        def held():
            return len(server.cli("queue", "list", "--where", f"incident={incident}", "--json").splitlines())
        assert len(out()) == 140 and held() == 30 - 7
        # the owner is told
        [mail] = server.wait_messages("alice", 1)
        assert incident.encode() in mail
        # what it did is known after a crash, too: a second later it is on the disk
        wait_for("all of it to be kept", lambda: kept(server) == (int(incident), 30, 600))
        gone = server.kill_role("store")
        wait_for("another store", lambda: set(server.pids("store")) - set(gone))
        server.wait_ready()
        submit(server, "n1000@far.test")
        assert held() == 30 - 7 + 1
        server.cli("queue", "release", "all")
        wait_for("all of it", lambda: len(out()) == 601)
        assert len(re.findall(r"log=brake .*", server.log())) == 1


def test_bounces_without_our_tag_are_refused(make_server):
    with Hop(lmtp=False) as hop:
        server = make(make_server, hop.port)
        server.config.write_text(server.config.read_text().replace("queue: {", "queue: { batv = true;"))
        server.start()
        submit(server, "bob@far.test")
        wait_for("the message", lambda: hop.got("bob@far.test"))
        sender = hop.taken[0][0]
        assert re.fullmatch(r"prvs=\d{4}[0-9a-f]{6}=alice@example\.test", sender)
        come_in(server, "", sender)
        server.wait_messages("alice", 1)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            come_in(server, "", ALICE)
        assert refused.value.recipients[ALICE][0] == 550
        come_in(server, "x@away.test", ALICE)
        server.wait_messages("alice", 2)


def fill_queue(server, count):
    """A message for each of so many domains, as if they had waited for an hour."""
    now = int(time.time() * 1000)
    first = (now - 1577836800000 - 3600_000) << 22
    with sqlite3.connect(server.dir / "queue" / "queue.db") as db:
        numbers = range(count)
        db.executemany("insert into destination (id, hop, target) values (?, 5, ?)",
                       ((2**62 + i, f"d{i}.test") for i in numbers))
        db.executemany(
            "insert into message (id, nonce, state, flags, size, wall, peer, port, listener, helo, login, sender,"
            " rcpt_total, spooled, destination) values (?,1,0,0,12,?,zeroblob(16),0,0,'','','',1,0,?)",
            ((first + i, now - 3600_000, 2**62 + i) for i in numbers))
        db.executemany("insert into body (id, bytes) values (?, x'53756a3a20780d0a0d0a620d0a')",
                       ((first + i,) for i in numbers))
        db.executemany("insert into recipient (message, number, address, mailbox, destination, state, attempts, due)"
                       " values (?,0,?,?,?,0,0,?)",
                       ((first + i, f"x@d{i}.test", f"x@d{i}.test", 2**62 + i, now) for i in numbers))
    db.close()


def test_more_dead_hosts_than_there_are_places_hold_up_nobody(make_server):
    with Hop(lmtp=False) as hop:
        server = make(make_server, "1")
        text = server.config.read_text().replace('relay = "smtp:127.0.0.1:1";', 'relay = "mx";')
        server.config.write_text(text + f"""dns: {{ servers = "127.0.0.1"; }};
            relays = ( {{ domain = "live.test"; to = "smtp:127.0.0.1:{hop.port}"; }} );""")
        server.start()
        server.stop()
        fill_queue(server, 110_000)  # DESTINATIONS_MAX is 100,000
        server.start()
        for number in range(3):
            submit(server, f"p{number}@live.test")
            wait_for("mail for who lives", lambda n=number: hop.got(f"p{n}@live.test"))
            come_in(server, "x@away.test", "bob@example.test")
        server.wait_messages("bob", 3)
