"""Mail to the world and back: a real DNS, Postfix, Exim and OpenSMTPD, in a namespace.

The world is made once for all tests of this file. Each test has recipients or domains of its
own, and tells apart what is there before it sends.
"""
import base64
import contextlib
import email
import email.policy
import hashlib
import json
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile

import pytest

from conftest import PATIENCE, Server, self_signed, wait_for
from postfix import Postfix
from world import (DEAD, EXIM, OPENSMTPD, POSTFIX, REFUSED, SMARTHOST, US, Dns, Exim, FarPostfix,
                   Opensmtpd, SmarthostPostfix, Space, needs_world, unpackable)

pytestmark = [needs_world, pytest.mark.skipif(not unpackable(), reason="Exim or OpenSMTPD cannot be fetched")]

ALICE, BOB = "alice@example.test", "bob@example.test"
POST, EXIM_DOMAIN, OPEN = "post.example", "exim.example", "open.example"
ALIASES = ("order", "direct", "tlsa", "badtlsa")  # domains that Postfix takes, too

LISTEN = f"""listen = (
  {{ address = "127.0.0.1:%d"; service = "smtp"; }},
  {{ address = "{US}:25"; service = "smtp"; }},
  {{ address = "{US}:587"; service = "submission"; }} );"""

SETTINGS = """
auth: { without-tls = true; };
dns: { servers = "127.0.0.1"; };
queue: { retry-first = "1s"; retry-max = "2s"; %s };
delivery: { connect-timeout = "5s"; reply-timeout = "60s"; %s };
%s
"""


class Sender(Server):
    """A server of ours in the world, whose users log in and send."""

    def __init__(self, home, queue="", delivery="", more="", **options):
        super().__init__(home, settings=SETTINGS % (queue, delivery, more), **options)
        text = self.config.read_text()
        self.config.write_text(re.sub(r"^listen = .*$", LISTEN % self.port, text, count=1, flags=re.M))

    def submit(self, *rcpts, text="hello", user=ALICE, options=(), rcpt_options=()):
        message = (f"From: {user}\r\nTo: {rcpts[0]}\r\nSubject: {text}\r\n"
                   f"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{text}@example.test>\r\n"
                   f"\r\nbody of {text}\r\n")
        with smtplib.SMTP(US, 587, local_hostname="client.example", timeout=PATIENCE) as s:
            s.ehlo()
            s.login(user, self.password)
            refused = s.sendmail(user, rcpts, message, options, rcpt_options)
            assert not refused

    def wait_notice(self, about, action="failed", user="alice"):
        """The notice of that kind about the message of that subject, parsed. What takes its time is told
        to be late before."""
        def find():
            for raw in self.messages(user):
                parsed = email.message_from_bytes(raw, policy=email.policy.default)
                if (parsed.get_content_type() == "multipart/report" and f"<{about}@example.test>" in raw.decode()
                        and f"\nAction: {action}" in raw.decode().replace("\r", "")):
                    return parsed
        try:
            return wait_for(f"a notice that {about} is {action}", find, 2 * PATIENCE)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[-3000:]}")


def tlsa(cert):
    """3 1 1: the hash of the public key."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], check=True,
                         capture_output=True, text=True).stdout
    der = base64.b64decode("".join(line for line in key.splitlines() if "-----" not in line))
    return hashlib.sha256(der).hexdigest()


def zones(cert, records):
    signatures = "".join(
        f"{name.split('.example.test')[0]} TXT ( " +
        " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200)) + " )\n"
        for name, text in records.items())
    return {
        "example.test": f"@ MX 10 mx\nmx A {US}\n{signatures}",
        POST: f"@ MX 10 mx\nmx A {POSTFIX}\n",
        EXIM_DOMAIN: f"@ MX 10 mx\nmx A {EXIM}\n",
        OPEN: f"@ MX 10 mx\nmx A {OPENSMTPD}\n",
        # the best is not there, the second refuses connections
        "order.example": f"@ MX 20 refused\n@ MX 10 gone\n@ MX 30 mx\nrefused A {REFUSED}\nmx A {POSTFIX}\n",
        "direct.example": f"@ A {POSTFIX}\n",  # no MX: its address (RFC 5321, 5.1)
        "null.example": "@ MX 0 .\n",
        "refused.example": f"@ MX 10 mx\nmx A {REFUSED}\n",
        "dead.example": f"@ MX 10 mx\nmx A {DEAD}\n",
        "ours.example": f"@ MX 10 mx\nmx A {US}\n",
        "tlsa.example": f"@ MX 10 mx\nmx A {POSTFIX}\n_25._tcp.mx TLSA 3 1 1 {tlsa(cert)}\n",
        "badtlsa.example": f"@ MX 10 mx\nmx A {POSTFIX}\n_25._tcp.mx TLSA 3 1 1 {'00' * 32}\n",
        "smart.example": f"good A {POSTFIX}\nbad A {POSTFIX}\n_25._tcp.good TLSA 3 1 1 {tlsa(cert)}\n"
                         f"_25._tcp.bad TLSA 3 1 1 {'00' * 32}\n",
    }


class World:
    pass


@pytest.fixture(scope="module")
def world():
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-world-"))
    home.chmod(0o755)
    w = World()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        stack.enter_context(Space())
        w.cert = self_signed(home, f"mx.{POST}", "mx.tlsa.example", "mx.badtlsa.example")
        w.dir = home
        w.server = Sender(home, queue='delay-notice = "1s";', more=f'relays = ( {{ domain = "{OPEN}"; tls = "must"; }} );\n'
                          'dkim = ( { domain = "example.test"; selector = "one"; },\n'
                          '         { domain = "example.test"; selector = "two"; algorithm = "ed25519"; } );\n')
        stack.callback(w.server.stop)
        w.server.start()
        w.server.cli("dkim", "keygen", "example.test", "one")
        w.server.cli("dkim", "keygen", "example.test", "two", "--algorithm", "ed25519")
        rows = [json.loads(line) for line in w.server.cli("dkim", "show", "--json").splitlines()]
        w.keys = {row["name"]: row["record"] for row in rows}
        w.dns = stack.enter_context(Dns(home / "dns", zones(w.cert[0], w.keys),
                                        signed=("tlsa.example", "badtlsa.example", "smart.example")))
        boxes = [f"{user}@{domain}" for user in ("bob", "carol", "dave") for domain in
                 (POST, *(f"{name}.example" for name in ALIASES))]
        w.postfix = stack.enter_context(FarPostfix(home / "postfix", boxes, cert=w.cert))
        w.exim = stack.enter_context(Exim(home / "exim", EXIM_DOMAIN))
        w.opensmtpd = stack.enter_context(Opensmtpd(home / "opensmtpd", OPEN))
        w.server.submit("bob@refused.example", text="late")
        yield w


@pytest.fixture
def other(world, home):
    """A second server of ours instead of the first, with settings of its own."""
    made = []
    world.server.stop()

    def make(**options):
        server = Sender(home, **options)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.stop()
    world.server.start()


def queue(server, rcpt):
    return [line for line in server.cli("queue", "list", "--recipient", rcpt, "--json").splitlines() if line]


def wait_box(get, text):
    """The message with that subject, in what get() returns."""
    def find():
        for raw in get():
            if f"Subject: {text}\n".encode() in raw.replace(b"\r\n", b"\n"):
                return raw
    return wait_for(f"{text} to arrive", find)


def postfix_box(world, address):
    return lambda: world.postfix.messages(address)


def report(notice):
    """The fields about the message, and those about each recipient."""
    text, status, original = notice.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    message, *rcpts = status.get_payload()
    return message, rcpts, text.get_content(), original


# ---- who takes it

def test_exim_takes_mail_and_the_signatures_verify_there(world):
    dkim = pytest.importorskip("dkim")
    resolver = pytest.importorskip("dns.resolver").Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.lifetime = PATIENCE

    def look_up(name, timeout=5):
        [record] = resolver.resolve(name.decode(), "TXT")
        return b"".join(record.strings)
    world.server.submit(f"bob@{EXIM_DOMAIN}", text="to-exim")
    message = wait_box(world.exim.messages, "to-exim").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert b"esmtps" in message.lower()  # it offers STARTTLS, so TLS it is
    count = len(re.findall(rb"^DKIM-Signature:", message, re.M))
    assert [dkim.DKIM(message).verify(idx=i, dnsfunc=look_up) for i in range(count)] == [True, True]


def test_postfix_takes_mail_over_tls(world):
    world.server.submit(f"bob@{POST}", f"carol@{POST}", text="to-postfix")
    for user in ("bob", "carol"):
        message = wait_box(postfix_box(world, f"{user}@{POST}"), "to-postfix")
        assert b"using TLSv1.3" in message
    wait_for("the queue to know", lambda: not queue(world.server, f"bob@{POST}"))


def test_the_next_mx_is_asked_when_the_best_are_not_there(world):
    world.server.submit("bob@order.example", text="order")
    wait_box(postfix_box(world, "bob@order.example"), "order")


def test_without_mx_the_address_of_the_domain_is_used(world):
    world.server.submit("bob@direct.example", text="direct")
    wait_box(postfix_box(world, "bob@direct.example"), "direct")


def test_a_domain_that_takes_no_mail_is_told_at_once(world):
    world.server.submit("bob@null.example", text="null-mx")
    _, [rcpt], text, _ = report(world.server.wait_notice("null-mx"))
    assert rcpt["Action"] == "failed" and rcpt["Status"] == "5.1.10"
    assert "takes no mail" in text


def test_a_domain_that_does_not_exist_is_told_at_once(world):
    world.server.submit("bob@nothing.example", text="nxdomain")
    _, [rcpt], text, _ = report(world.server.wait_notice("nxdomain"))
    assert rcpt["Action"] == "failed" and rcpt["Status"] == "5.1.2"
    assert "no such domain" in text


def test_a_dead_host_delays_nobody_else(world):
    for i in range(30):
        world.server.submit("bob@dead.example", text=f"dead-{i}")
    world.server.submit(f"dave@{POST}", text="alive")
    wait_box(postfix_box(world, f"dave@{POST}"), "alive")
    assert len(queue(world.server, "bob@dead.example")) == 30
    world.server.wait_log(r"log=deferred.*dead\.example")


# ---- TLS

def test_where_tls_must_be_mail_does_not_go_without(world):
    world.server.submit(f"bob@{OPEN}", text="no-tls-there")  # relays says must, OpenSMTPD has none
    world.server.wait_log(rf"log=deferred.*{OPEN}")
    assert len(queue(world.server, f"bob@{OPEN}")) == 1
    assert not [m for m in world.opensmtpd.messages() if b"no-tls-there" in m]


def test_dane_lets_through_whose_key_is_in_the_dns_and_nobody_else(world):
    world.server.submit("bob@badtlsa.example", text="bad-dane")
    world.server.submit("bob@tlsa.example", text="dane")
    assert b"using TLSv1.3" in wait_box(postfix_box(world, "bob@tlsa.example"), "dane")
    world.server.wait_log(r"log=deferred.*badtlsa\.example")
    assert len(queue(world.server, "bob@badtlsa.example")) == 1
    assert not world.postfix.messages("bob@badtlsa.example")


def test_a_certificate_that_nobody_vouches_for_is_not_enough_to_verify(world, other):
    server = other(delivery='tls = "verify"; dane = false;')
    server.submit(f"dave@{POST}", text="verify")
    server.wait_log(rf"log=deferred.*{POST}")
    assert len(queue(server, f"dave@{POST}")) == 1


def test_opensmtpd_takes_mail(world, other):
    server = other()
    server.submit(f"bob@{OPEN}", text="to-opensmtpd")
    wait_box(world.opensmtpd.messages, "to-opensmtpd")


# ---- notices

def test_who_does_not_exist_is_told_with_the_answer(world):
    flufl = pytest.importorskip("flufl.bounce")
    world.server.submit(f"nobody@{EXIM_DOMAIN}", text="unknown-user")
    notice = world.server.wait_notice("unknown-user")
    message, [rcpt], text, original = report(notice)
    assert message["Reporting-MTA"] == "dns; mx.example.test"
    assert rcpt["Final-Recipient"] == f"rfc822; nobody@{EXIM_DOMAIN}"
    assert rcpt["Action"] == "failed" and rcpt["Status"].startswith("5.1.1")
    assert rcpt["Diagnostic-Code"].startswith("smtp; 550") and "unknown user" in rcpt["Diagnostic-Code"]
    assert f"mx.{EXIM_DOMAIN}" in rcpt["Remote-MTA"]
    assert "unknown user" in text and f"nobody@{EXIM_DOMAIN}" in text
    assert "Subject: unknown-user" in original.as_string()
    assert notice["Auto-Submitted"] == "auto-replied" and notice["To"] == ALICE
    assert notice["Return-Path"] == "<>"
    assert flufl.all_failures(notice) == (set(), {f"nobody@{EXIM_DOMAIN}".encode()})


def test_a_stranger_is_never_told(world):
    with smtplib.SMTP("127.0.0.1", world.server.port, timeout=PATIENCE) as s:
        s.ehlo("client.example")
        s.mail("stranger@post.example")
        code, text = s.rcpt(f"nobody@{EXIM_DOMAIN}")
        assert code == 554 and b"5.7.1" in text


def test_success_is_told_to_who_asked_for_it(world):
    world.server.submit(f"carol@{EXIM_DOMAIN}", text="success", options=["ENVID=QQ314", "RET=HDRS"],
                        rcpt_options=["NOTIFY=SUCCESS", f"ORCPT=rfc822;carol+40home@{EXIM_DOMAIN}"])
    # Exim does not offer DSN: so it was passed on, and that is what we say
    message, [rcpt], _, _ = report(world.server.wait_notice("success", "relayed"))
    assert rcpt["Action"] == "relayed" and rcpt["Status"].startswith("2.")
    assert message["Original-Envelope-Id"] == "QQ314"
    assert rcpt["Original-Recipient"] == f"rfc822; carol@home@{EXIM_DOMAIN}"


# ---- smarthosts

def test_a_smarthost_wants_a_password_and_gets_it(world, other, home):
    with SmarthostPostfix(home / "smarthost", [f"bob@{POST}"], "holdfast", "top secret", world.cert) as far:
        server = other(delivery=f'relay = "smtp:{SMARTHOST}:587"; relay-login = "far"; tls = "must";')
        server.cli("relay", "passwd", "far", "--user", "holdfast", "--password", "top secret")
        server.submit(f"bob@{POST}", text="by-smarthost")
        message = wait_box(lambda: far.messages(f"bob@{POST}"), "by-smarthost")
        assert b"Authenticated sender: holdfast" in message


def test_a_smarthost_must_be_the_one_that_its_records_name(world, other):
    server = other(delivery='relay = "smtp:bad.smart.example:25";',
                   more='relays = ( { domain = "direct.example"; to = "smtp:good.smart.example:25"; tls = "dane"; } );')
    server.submit("carol@direct.example", text="good-smarthost")
    server.submit(f"carol@{POST}", text="bad-smarthost")
    wait_box(postfix_box(world, "carol@direct.example"), "good-smarthost")
    server.wait_log(r"log=delivered.*good\.smart\.example:25.*verified=dane")
    server.wait_log(r"log=deferred.*bad\.smart\.example:25.*TLSA")
    [row] = queue(server, f"carol@{POST}")
    # it is logged before it is written
    wait_for("the queue to say so", lambda: "TLSA" in server.cli("queue", "show", json.loads(row)["id"]))
    assert not [m for m in world.postfix.messages(f"carol@{POST}") if b"bad-smarthost" in m]


def test_postfix_uses_us_as_its_smarthost(world, home):
    top = home / "inside"
    settings = {"smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
                "smtp_sasl_password_maps": f"inline:{{ {{ [{US}]:587 = {BOB}:correct horse battery }} }}"}
    with Postfix(top, relayhost=f"[{US}]:587", settings=settings) as inside:
        with smtplib.SMTP("127.0.0.1", inside.port, timeout=PATIENCE) as s:
            s.sendmail(BOB, [f"carol@{POST}"], f"From: {BOB}\r\nSubject: from-postfix\r\n\r\nhello\r\n")
        message = wait_box(postfix_box(world, f"carol@{POST}"), "from-postfix")
        assert b"ESMTPA" in message or b"ESMTPSA" in message


# ---- at the end, because the store looks for what is late once a minute

def test_a_delay_is_told_once(world):
    _, [rcpt], text, _ = report(world.server.wait_notice("late", "delayed"))
    assert rcpt["Action"] == "delayed" and rcpt["Status"].startswith("4.4.")
    assert rcpt["Will-Retry-Until"] and "You need not do anything" in text
    notices = [m for m in world.server.messages("alice") if b"<late@example.test>" in m]
    assert len(notices) == 1
    assert len(queue(world.server, "bob@refused.example")) == 1
