"""DKIM: keys by command, and signatures that another implementation verifies."""
import json
import re
import smtplib
import stat

import pytest

from conftest import PATIENCE, free_port, wait_for
from hops import Hop

dkim = pytest.importorskip("dkim", reason="python3-dkim is not installed")

DOMAIN = "example.test"


def records(server):
    """What the DNS would answer: name -> text."""
    rows = [json.loads(line) for line in server.cli("dkim", "show", "--json").splitlines()]
    return {row["name"]: row["record"] for row in rows}


# ---- keys

@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_a_key_is_made_once_and_its_record_can_be_published(server, algorithm):
    printed = server.cli("dkim", "keygen", "Example.test", "2026", "--algorithm", algorithm)
    [(name, text)] = records(server).items()
    assert name == "2026._domainkey.example.test"
    assert text.startswith(f"v=DKIM1; k={algorithm}; p=")
    assert printed == server.cli("dkim", "show", DOMAIN, "2026") == server.cli("dkim", "show", DOMAIN)
    strings = re.findall(r'"([^"]*)"', printed)
    assert "".join(strings) == text and max(map(len, strings)) <= 255
    again = server.cli("dkim", "keygen", DOMAIN, "2026", check=False)
    assert again.returncode == 1 and "There is a key" in again.stderr
    assert records(server) == {name: text}


def test_only_auth_can_read_a_key(server):
    server.cli("dkim", "keygen", DOMAIN, "one")
    [key] = server.dir.glob("auth/dkim/*/*.pem")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.dir / "auth").stat().st_mode) == 0o700
    assert "PRIVATE" not in server.log()


def test_a_key_that_is_removed_is_gone(server):
    server.cli("dkim", "keygen", DOMAIN, "one")
    server.cli("dkim", "remove", DOMAIN, "one")
    assert not records_or_none(server)
    assert server.cli("dkim", "remove", DOMAIN, "one", check=False).returncode == 1
    server.cli("dkim", "keygen", DOMAIN, "one")


def records_or_none(server):
    got = server.cli("dkim", "show", "--json", check=False)
    return got.stdout


@pytest.mark.parametrize("words", [
    ("keygen", DOMAIN), ("keygen", DOMAIN, "a/b"), ("keygen", "../x", "one"), ("keygen", "..", "one"),
    ("keygen", DOMAIN, "one", "--algorithm", "dsa"), ("keygen", DOMAIN, "one", "two"),
    ("keygen", DOMAIN, "x" * 70), ("remove", DOMAIN), ("show", DOMAIN, "one"), ("sign",)],
    ids=lambda words: " ".join(words)[:40])
def test_what_makes_no_sense_is_refused(server, words):
    assert server.cli("dkim", *words, check=False).returncode in (1, 2)
    assert not list(server.dir.glob("auth/dkim/*/*"))


# ---- signatures

HEAD = (b"From: Alice <alice@example.test>\r\nTo: bob@far.test\r\nSubject: hello\r\n"
        b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n")

MESSAGES = {
    "plain": HEAD + b"\r\nbody\r\n",
    "no body": HEAD + b"\r\n",
    "8-bit": HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe \t x\r\n",
    "trailing blank lines": HEAD + b"\r\nbody \r\n\r\n \r\n\t\r\n\r\n",
    "leading blank lines": HEAD + b"\r\n\r\n\r\n  indented\r\n",
    "dots": HEAD + b"\r\n.\r\n..x\r\n-- \r\n.\r\n",
    "folded": b"From: \"Alice,\r\n\tthe\" (comment)\r\n  <alice@example.test>\r\nDate: Sat, 21 Nov 2026"
    b" 12:00:00 +0000\r\nMessage-ID: <1@x>\r\nTo: a@far.test,\r\n   b@far.test\r\nSubject:  a\r\n \t b\r\n\r\nb\r\n",
    "twice": b"To: a@far.test\r\nComments: x\r\nTo: b@far.test\r\nComments: y\r\nSubject: 1\r\nSubject: 2\r\n"
    + HEAD + b"\r\nb\r\n",
    "in a file": HEAD + b"\r\n" + b"a line of a large message \t \r\n" * 5000 + b"\r\n\r\n",
}


@pytest.fixture
def sender(make_server):
    """A server whose users log in, and whose mail to others goes to a hop that keeps it."""
    with Hop(lmtp=False) as hop:
        port = free_port()
        server = make_server(
            start=False, settings=f'delivery: {{ relay = "smtp:127.0.0.1:{hop.port}"; }};\n'
            'dkim = ( { domain = "example.test"; selector = "one"; },\n'
            '         { domain = "example.test"; selector = "two"; algorithm = "ed25519"; } );\n')
        text = server.config.read_text().replace(
            "listen = (", f'listen = ( {{ address = "127.0.0.1:{port}"; service = "submission"; }},')
        server.config.write_text(text)
        server.start()
        server.submission, server.hop = port, hop
        yield server


def submit(server, message, to="bob@far.test", user="alice@example.test"):
    with smtplib.SMTP("127.0.0.1", server.submission, timeout=PATIENCE) as s:
        s.ehlo("client.example")
        s.login(user, server.password)
        s.sendmail(user, [to], message, ["BODY=8BITMIME"])


def delivered(server, to="bob@far.test", count=1):
    wait_for(f"{count} messages for {to}", lambda: len(server.hop.got(to)) >= count)
    return server.hop.got(to)[-1]


def verify(message, keys):
    """The verdict on each signature in it, by dkimpy."""
    def look_up(name, timeout=5):
        return keys.get(name.decode().rstrip("."), "").encode()
    def verdict(number):
        try:
            return dkim.DKIM(message).verify(idx=number, dnsfunc=look_up)
        except dkim.ValidationError:  # the body is another
            return False
    return [verdict(i) for i in range(len(re.findall(rb"^DKIM-Signature:", message, re.M)))]


@pytest.mark.parametrize("name", MESSAGES)
def test_another_implementation_verifies_what_goes_out(sender, name):
    sender.cli("dkim", "keygen", DOMAIN, "one")
    sender.cli("dkim", "keygen", DOMAIN, "two", "--algorithm", "ed25519")
    submit(sender, MESSAGES[name])
    message = delivered(sender)
    keys = records(sender)
    assert verify(message, keys) == [True, True]
    assert message.startswith(b"DKIM-Signature: ")
    # what a forger would change or add
    assert verify(message.replace(b"From: ", b"From: x", 1), keys) == [False, False]
    assert verify(b"Reply-To: evil@far.test\r\n" + message, keys) == [False, False]
    assert verify(message + b"more\r\n", keys) == [False, False]


def test_without_a_key_mail_goes_out_unsigned_and_the_log_says_so(sender):
    submit(sender, MESSAGES["plain"])
    assert b"DKIM-Signature" not in delivered(sender)
    sender.wait_log(r"unsigned.*key")
    sender.cli("dkim", "keygen", DOMAIN, "one")
    submit(sender, MESSAGES["plain"])
    assert verify(delivered(sender, count=2), records(sender)) == [True]


def test_auth_may_die_and_mail_goes_on(sender):
    sender.cli("dkim", "keygen", DOMAIN, "one")
    sender.cli("dkim", "keygen", DOMAIN, "two", "--algorithm", "ed25519")
    sender.kill_role("auth")
    wait_for("another auth", lambda: sender.cli("dkim", "list", check=False).returncode == 0)
    submit(sender, MESSAGES["plain"])
    assert verify(delivered(sender), records(sender)) == [True, True]


def test_a_message_of_another_domain_is_not_signed(sender):
    sender.cli("dkim", "keygen", DOMAIN, "one")
    submit(sender, MESSAGES["plain"].replace(b"alice@example.test", b"alice@elsewhere.test"))
    assert b"DKIM-Signature" not in delivered(sender)


# ---- what we write ourselves

NOTICE_FROM = b"From: Mail delivery <mailer-daemon@mx.example.test>"


@pytest.fixture
def teller(sender):
    """Its own users' mail goes to the hop as well, as to a mailbox server behind it."""
    sender.stop()
    text = sender.config.read_text()
    sender.config.write_text(text + f'routes = ( {{ domain = "example.test"; to = "smtp:127.0.0.1:{sender.hop.port}"; }} );\n'
                             'queue: { delay-notice = "1s"; retry-first = "1h"; };\n')
    sender.start()
    yield sender


def check_notice(server, word):
    message = delivered(server, "alice@example.test")
    assert NOTICE_FROM in message and b"Action: " + word in message
    keys = records(server)
    assert verify(message, keys) == [True, True]
    assert verify(message.replace(NOTICE_FROM, NOTICE_FROM.replace(b"Mail", b"Fail", 1)), keys) == [False, False]
    assert verify(message + b"more\r\n", keys) == [False, False]


def make_keys(server):
    server.cli("dkim", "keygen", DOMAIN, "one")
    server.cli("dkim", "keygen", DOMAIN, "two", "--algorithm", "ed25519")


def test_a_notice_of_a_failure_is_signed(teller):
    make_keys(teller)
    teller.hop.refuse_rcpt["bob@far.test"] = ["550 5.1.1 no such user"]
    submit(teller, MESSAGES["8-bit"])
    check_notice(teller, b"failed")


def test_a_notice_of_a_delay_is_signed(teller):
    make_keys(teller)
    teller.hop.refuse_rcpt["bob@far.test"] = ["451 4.7.1 later"]
    submit(teller, MESSAGES["plain"])
    # its answer must be noted: what was only asked is asked again after the start, and then goes out
    wait_for("the first try", lambda: "4.7.1 later" in teller.cli("queue", "list", "--json"))
    teller.stop()
    teller.start()  # looks at once for what waits
    check_notice(teller, b"delayed")


def test_a_notice_without_a_key_goes_out_unsigned(teller):
    teller.hop.refuse_rcpt["bob@far.test"] = ["550 5.1.1 no such user"]
    submit(teller, MESSAGES["plain"])
    message = delivered(teller, "alice@example.test")
    assert NOTICE_FROM in message and b"DKIM-Signature" not in message.split(NOTICE_FROM)[0]
