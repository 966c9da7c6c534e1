"""Messages on their way out by BDAT (RFC 3030): to real servers, to our own, and to bad ones."""
import random
import re
import smtplib

import pytest

import hops
from conftest import PATIENCE, Server, wait_for
from hops import Dovecot, Hop, needs_dovecot
from postfix import Postfix, needs_postfix
from test_next_hops import EXPECTED, RETRY, body_of, deliver, misbehave_and_heal, send, wait_empty

ALICE, BOB = "alice@example.test", "bob@example.test"
CHUNKS = ("PIPELINING", "CHUNKING")
BINARY = ("PIPELINING", "CHUNKING", "BINARYMIME")
BINARY_TOO = '\nsmtp: { binary = "yes"; };\n'
HEADER = b"Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n" \
         b"Content-Transfer-Encoding: binary\r\n\r\n"


def send_binary(server, message, *rcpts, sender="s@client.example", chunk=100000):
    """By BDAT, as BODY=BINARYMIME."""
    with smtplib.SMTP("127.0.0.1", server.port, "client.example", timeout=PATIENCE) as s:
        s.ehlo("client.example")
        assert s.has_extn("chunking") and s.has_extn("binarymime")
        assert s.docmd(f"MAIL FROM:<{sender}> BODY=BINARYMIME")[0] == 250
        for rcpt in rcpts:
            assert s.docmd(f"RCPT TO:<{rcpt}>")[0] == 250
        for at in range(0, len(message), chunk):
            piece = message[at:at + chunk]
            last = " LAST" if at + chunk >= len(message) else ""
            s.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            assert s.getreply()[0] == 250


def odd_bytes(count, seed=1):
    """What lines of text do not have, and what could be taken for an end or a command."""
    dice = random.Random(seed)
    tricks = [b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\0", b"\r\nBDAT 0 LAST\r\n", b"\n.\r\nMAIL FROM:<>\r\n",
              b"x" * 3000, bytes(range(256))]
    out = b""
    while len(out) < count:
        out += dice.choice(tricks) + dice.randbytes(dice.randrange(100))
    return out[:count]


def behind_trace(raw, message):
    """Is the message there as it was, behind the fields that servers put before it?"""
    assert message.startswith(b"Subject: binary\r\n")
    return raw.endswith(message)


# ---- what is binary

@pytest.mark.parametrize("size", [1, 5000, 60000, 300000, 5000000])
def test_what_is_binary_passes_through_two_servers_and_no_byte_is_changed(home, make_server, size):
    (home / "far").mkdir()
    far = Server(home / "far", settings=BINARY_TOO).start()
    try:
        near = make_server(deliver=deliver(f"smtp:127.0.0.1:{far.port}"), settings=RETRY + BINARY_TOO)
        message = HEADER + odd_bytes(size)
        send_binary(near, message, ALICE, BOB)
        for user in ("alice", "bob"):
            far.wait_messages(user, 1)
            [raw] = far.messages(user)
            assert behind_trace(raw, message)
        wait_empty(near)
    finally:
        far.stop()


@pytest.mark.parametrize("offers, lacks", [(("PIPELINING",), "BINARYMIME"), (CHUNKS, "BINARYMIME"),
                                           (("PIPELINING", "BINARYMIME"), "CHUNKING")],
                         ids=["neither", "no-binarymime", "no-chunking"])
def test_what_is_binary_is_not_sent_to_who_cannot_take_it(make_server, offers, lacks):
    with Hop(offers=offers) as hop:
        server = make_server(deliver=deliver(hop.target), settings=RETRY + BINARY_TOO)
        send_binary(server, HEADER + odd_bytes(1000), ALICE)
        server.wait_log(rf"log=dead.*5\.6\.3.*{lacks}")
        assert not [c for c in hop.commands if c.startswith("MAIL")]
        # and what was only announced as binary is text: it goes
        send_binary(server, b"Subject: text\r\n\r\nline\r\n.dot\r\n", ALICE)
        wait_for("the text", lambda: hop.got(ALICE))
        assert hop.got(ALICE)[0].endswith(b"Subject: text\r\n\r\nline\r\n.dot\r\n")


@pytest.mark.parametrize("lmtp", [False, True], ids=["smtp", "lmtp"])
def test_without_pipelining_each_chunk_is_answered_before_the_next(make_server, lmtp):
    with Hop(lmtp=lmtp, offers=("CHUNKING", "BINARYMIME")) as hop:
        server = make_server(deliver=deliver(hop.target), settings=RETRY + BINARY_TOO)
        message = HEADER + odd_bytes(200000)
        send_binary(server, message, ALICE, BOB)
        for rcpt in (ALICE, BOB):
            wait_for("the message", lambda: hop.got(rcpt))
            assert behind_trace(hop.got(rcpt)[0], message)
        [mail] = [c for c in hop.commands if c.startswith("MAIL")]
        assert "BODY=BINARYMIME" in mail
        # text has no need of it
        send(server, ALICE)
        wait_for("the text", lambda: len(hop.got(ALICE)) == 2)
        assert "DATA" in hop.commands


def test_bdat_can_be_turned_off(make_server):
    with Hop(offers=BINARY) as hop:
        server = make_server(deliver=deliver(hop.target) + " chunking = false;", settings=RETRY + BINARY_TOO)
        send(server, ALICE)
        wait_for("the text", lambda: hop.got(ALICE))
        assert "DATA" in hop.commands and not hop.chunks
        send_binary(server, HEADER + odd_bytes(1000), ALICE)
        server.wait_log(r"log=dead.*5\.6\.3.*turned off")


# ---- text, to real ones

LONG = "".join(c * n + "\r\n" for n, c in ((998, "a"), (999, "b"), (5000, "c"), (40000, ".")))


@needs_postfix
def test_postfix_takes_text_in_chunks(make_server, home):
    with Postfix(home / "postfix", mailboxes=(ALICE, BOB)) as postfix:
        server = make_server(deliver=deliver(f"smtp:127.0.0.1:{postfix.port}"), settings=RETRY + BINARY_TOO)
        send(server, ALICE, BOB, text="x\r\n\r\n" + LONG)
        for user in (ALICE, BOB):
            wait_for(f"mail for {user}", lambda: postfix.messages(user))
            [message] = postfix.messages(user)
            assert LONG.replace("\r\n", "\n").encode() in message
        wait_empty(server)
        wait_for("the connection to end", lambda: re.search(r" mail=1 rcpt=2 bdat=\d+ quit=1", postfix.log()))
        # binary it does not offer
        send_binary(server, HEADER + odd_bytes(1000), ALICE)
        server.wait_log(r"log=dead.*5\.6\.3.*BINARYMIME")


@needs_postfix
def test_postfix_refuses_in_the_middle_of_the_chunks(make_server, home):
    """It is too large only when it is there, because we are not told how much Postfix takes."""
    with Postfix(home / "postfix", mailboxes=(ALICE,),
                 settings={"message_size_limit": "200000", "smtpd_discard_ehlo_keywords": "size"}) as postfix:
        server = make_server(deliver=deliver(f"smtp:127.0.0.1:{postfix.port}"), settings=RETRY + BINARY_TOO)
        send(server, ALICE, text="x\r\n\r\n" + LONG * 40)
        server.wait_log(rf"log=dead.*{ALICE}.*55\d 5\.3\.4")
        send(server, ALICE)
        wait_for("the next", lambda: postfix.messages(ALICE))
        [message] = postfix.messages(ALICE)
        assert body_of(message) == EXPECTED


@needs_dovecot
def test_dovecot_takes_chunks_and_answers_for_each_recipient(make_server, home):
    with Dovecot(home / "dovecot", [ALICE, BOB], rawlog=True) as dovecot:
        server = make_server(deliver=deliver(f"lmtp:127.0.0.1:{dovecot.port}"), settings=RETRY + BINARY_TOO)
        for n in range(3):
            send(server, ALICE, BOB, text=f"{n}\r\n\r\n" + LONG)
        for user in (ALICE, BOB):
            wait_for(f"mail for {user}", lambda: len(dovecot.messages(user)) == 3)
            for message in dovecot.messages(user):
                assert LONG.replace("\r\n", "\n").encode() in message
        wait_empty(server)
        said = dovecot.heard()
        assert b"BDAT 0 LAST" in said and b"DATA\r\n" not in said.replace(b"BDATA", b"")


# ---- and to bad ones

def test_one_connection_serves_for_several_messages_in_chunks(make_server):
    with Hop(offers=CHUNKS) as hop:
        server = make_server(deliver=deliver(hop.target) + ' reuse = "2m";', settings="run: { edges = 1; };\n" + RETRY)
        for n in range(5):
            send(server, ALICE, BOB)
            wait_for("the message", lambda: len(hop.got(BOB)) == n + 1)
            wait_empty(server)
        assert sum(c.startswith("LHLO") for c in hop.commands) == 1
        assert all(body_of(m) == EXPECTED for m in hop.got(ALICE) + hop.got(BOB))


@pytest.mark.parametrize("answer, ends", [("451 4.3.0 not now", "deferred"), ("554 5.6.0 not this", "dead")],
                         ids=["4xx", "5xx"])
@pytest.mark.parametrize("which", [0, 3])
def test_a_refused_chunk_is_the_answer_and_nothing_is_taken_for_a_command(make_server, answer, ends, which):
    """Commands are written all over the text; the hop must have read none of them."""
    with Hop(lmtp=False, offers=CHUNKS) as hop:
        hop.refuse_chunk = [""] * which + [answer]
        server = make_server(deliver=deliver(hop.target), settings=RETRY + BINARY_TOO)
        trap = "RCPT TO:<trapped@example.test>\r\nDATA\r\n.\r\n" * 5000
        send(server, ALICE, text="x\r\n\r\n" + trap)
        server.wait_log(rf"log={ends}.*{answer[:3]}")
        if ends == "deferred":
            wait_for("the message", lambda: hop.got(ALICE))
            wait_empty(server)
            assert len(hop.got(ALICE)) == 1
            assert b"trapped" in hop.got(ALICE)[0]
        assert not [c for c in hop.commands if "trapped" in c or c == "DATA"]


DEEDS = [hops.hang, hops.gone, hops.reset, hops.half_a_line, hops.closing, hops.nonsense,
         hops.endless_line, hops.endless_reply, hops.drips]


@pytest.mark.parametrize("do", DEEDS, ids=lambda do: do.__name__)
def test_a_hop_may_misbehave_between_chunks_and_mail_is_kept(make_server, do):
    bad = {f"{at.lower()}{n}.test": Hop(at, do, lmtp=n == 1, offers=CHUNKS) for at in ("BDAT", "chunk", "dot")
           for n in range(2)}
    misbehave_and_heal(make_server, do, bad, lambda _: True, lambda _: False)
