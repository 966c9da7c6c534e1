"""Internationalised domains: one name in whichever form, for recipients, routes, the DNS and next hops."""
import base64
import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import smtplib
import subprocess
import tempfile

import pytest

from conftest import HOLDFAST, PATIENCE, free_port, self_signed, wait_for
from postfix import Postfix
from test_world import ALICE, Sender, tlsa
from world import OPENSMTPD, POSTFIX, US, Dns, FarPostfix, Space, needs_world

FAR, FAR_A = "bücher.example", "xn--bcher-kva.example"  # its Postfix has SMTPUTF8
OLD, OLD_A = "straße.example", "xn--strae-oqa.example"  # and this one's has not
OWN, OWN_A = "grün.test", "xn--grn-ioa.test"


class Mail:
    """Commands as the client says them; smtplib would refuse some itself."""

    def __init__(self, host, port, login=None):
        self.s = smtplib.SMTP(host, port, local_hostname="client.example", timeout=PATIENCE)
        self.s.command_encoding = "utf-8"
        self.s.ehlo()
        if login:
            self.s.login(*login)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.s.close()

    def ask(self, line):
        code, text = self.s.docmd(line)
        return f"{code} {text.decode()}"

    def sender(self, address, utf8=True):
        return self.ask(f"MAIL FROM:<{address}>" + (" SMTPUTF8 BODY=8BITMIME" if utf8 else ""))

    def rcpt(self, address, more=""):
        return self.ask(f"RCPT TO:<{address}>{more}")

    def send(self, sender, rcpts, subject, to=None, utf8=True):
        assert self.sender(sender, utf8).startswith("250")
        for rcpt in rcpts:
            got = self.rcpt(rcpt)
            assert got.startswith("250"), (rcpt, got)
        code, _ = self.s.data((f"From: {ALICE}\r\nTo: {to or 'you'}\r\nSubject: {subject}\r\n"
                               f"Message-ID: <{subject}@example.test>\r\n\r\nbody of {subject}\r\n").encode())
        assert code == 250


def with_domains(server, *more):
    names = ", ".join(f'"{d}"' for d in more)
    server.config.write_text(server.config.read_text().replace('"example.test" ]', f'"example.test", {names} ]', 1))
    return server


# ---- our own domains

@pytest.mark.parametrize("written", [OWN, OWN_A, "GRÜN.Test", "XN--GRN-IOA.test"])
def test_an_own_domain_is_the_same_in_each_form(make_server, written):
    server = with_domains(make_server(start=False), written)
    server.start()
    server.cli("user", "add", f"eve@{OWN}")
    server.cli("alias", "add", f"Fee@{OWN_A}", f"eve@{OWN.upper()}")
    server.wait_known(f"eve@{OWN_A}")
    forms = [f"{user}@{domain}" for user in ("eve", "fee") for domain in (OWN, OWN_A, "GRÜN.TEST", "gru\u0308n.test")]
    with Mail("127.0.0.1", server.port) as m:
        m.send("s@client.example", forms, "all")
        assert m.sender("s@client.example").startswith("250")
        assert m.rcpt(f"nobody@{OWN}").startswith("550 5.1.1")
        assert m.rcpt("eve@blau.test").startswith("554 5.7.1")
    assert server.wait_messages("eve", 1, OWN_A)


def test_what_is_no_domain_is_refused_with_the_reason(server):
    talk = server.talk().hello()
    assert talk.ask("MAIL FROM:<a@☃.example> SMTPUTF8".encode() + b"\r\n").startswith(b"553 5.1.8")
    assert talk.ask("MAIL FROM:<a@xn--zzzzzz99999.example>").startswith(b"553 5.1.8")
    assert talk.ask(f"MAIL FROM:<a@{FAR}> SMTPUTF8".encode() + b"\r\n").startswith(b"250")
    for domain in ("☃.example", "xn--zzzzzz99999.example", "אa.example", f"{'ü' * 60}.example",
                   ".".join(["ü"] * 40)):
        assert talk.ask(f"RCPT TO:<alice@{domain}>".encode() + b"\r\n").startswith(b"553 5.1.2"), domain
    assert talk.ask("RCPT TO:<alice@example.test>").startswith(b"250")


def test_a_domain_that_cannot_be_is_an_error_of_the_configuration(make_server):
    server = with_domains(make_server(start=False), "☃.test")
    got = server.cli("config", "check", check=False)
    assert got.returncode != 0
    assert 'holdfast.conf:4: "☃.test" is not a domain: it has characters' in got.stderr + got.stdout


def test_sendmail_takes_such_domains(make_server, home):
    port = free_port()
    server = make_server(start=False, listen=f"""listen = (
        {{ address = "127.0.0.1:{port}"; service = "smtp"; }},
        {{ address = "unix:{home}/submit"; service = "submission"; }} );""")
    server.port = port
    with_domains(server, OWN).start()
    server.cli("user", "add", f"eve@{OWN}")
    server.wait_known(f"eve@{OWN_A}")
    for words, to in (([f"eve@{OWN}"], "you"), (["-t"], f"eve@{OWN}")):
        got = subprocess.run([HOLDFAST, "sendmail", "-S", home / "submit", *words], capture_output=True,
                             input=f"To: {to}\nSubject: x\n\nHello\n".encode(), timeout=PATIENCE)
        assert got.returncode == 0, got.stderr
    assert server.wait_messages("eve", 2, OWN_A)


# ---- names of hosts, and what people see

def test_hosts_may_be_named_in_other_letters(make_server, home):
    server = make_server(start=False)
    text = server.config.read_text().replace("mx.example.test", f"mx.{OWN}")
    server.config.write_text(text + f'routes = ( {{ domain = "{OWN}"; to = "smtp:{FAR}:25"; }} );\n'
                             f'relays = ( {{ domain = "{OLD}"; to = "smtp:{FAR.upper()}:587"; }} );\n')
    server.start()
    with Mail("127.0.0.1", server.port) as m:
        assert f"mx.{OWN_A}" in m.ask("EHLO client.example")
    got = server.cli("config", "show")
    assert f'hostname = "mx.{OWN_A}"' in got and got.count(f"smtp:{FAR_A}:") == 2


def on_terminal(server, *words, locale="C.UTF-8"):
    """What somebody sees who asks this at a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([HOLDFAST, *words, "--config", server.config], stdin=subprocess.DEVNULL,
                               stdout=theirs, stderr=theirs, env={**os.environ, "LC_ALL": locale})
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while data := os.read(ours, 65536):
            seen += data
    os.close(ours)
    assert process.wait(PATIENCE) == 0, seen
    return seen.decode().replace("\r\n", "\n")


FAKE_A = "xn--80ak6aa92e.example"  # Cyrillic letters that look like Latin ones


@pytest.fixture
def with_queue(make_server):
    server = make_server(start=False)
    server.config.write_text(server.config.read_text() + "routes = ( " + ", ".join(
        f'{{ domain = "{d}"; to = "smtp:127.0.0.1:9"; }}' for d in (OWN, FAKE_A)) + " );\n")
    server.start()
    for domain in (OWN_A, FAKE_A):
        server.cli("user", "add", f"eve@{domain}")
        server.wait_known(f"eve@{domain}")
    with Mail("127.0.0.1", server.port) as m:
        m.send(f"a@{FAR}", [f"eve@{OWN_A}"], "one")
        m.send(f"xn--bcher-kva@{OLD}", [f"eve@{FAKE_A}"], "two")
    return server


def test_a_terminal_shows_letters_and_a_program_gets_a_labels(with_queue):
    server = with_queue
    seen = on_terminal(server, "queue", "list")
    assert f"a@{FAR}" in seen and f"eve@{OWN}" in seen and f"xn--bcher-kva@{OLD}" in seen
    assert f"eve@{FAKE_A}" in seen
    # each column begins at one place, whatever is in it
    lines = [line for line in seen.splitlines() if line.strip()]
    assert len({line.index("eve@") for line in lines[1:]}) == 1
    for other in (on_terminal(server, "queue", "list", locale="C"), server.cli("queue", "list")):
        assert f"a@{FAR_A}" in other and f"eve@{OWN_A}" in other
        assert not re.search("[^\x00-\x7f]", other)
    assert f"a@{FAR_A}" in on_terminal(server, "queue", "list", "--json")
    [message] = [json.loads(line) for line in server.cli("queue", "list", "--json", "--where",
                                                          f"rcpt=*@{OWN}").splitlines()]
    assert f"eve@{OWN}" in on_terminal(server, "queue", "explain", message["id"])
    seen = on_terminal(server, "mailq")
    assert f" a@{FAR}\n" in seen and f" eve@{OWN}\n" in seen and f" eve@{FAKE_A}\n" in seen
    assert f" a@{FAR_A}\n" in server.cli("mailq")
    # the message itself is shown byte for byte
    assert FAR_A in on_terminal(server, "queue", "show", message["id"])
    assert not re.search("[^\x00-\x7f]", server.log())


CONDITIONS = {f"rcpt-domain={OWN}": 1, f"rcpt-domain={OWN.upper()}": 1, f"!rcpt=*@{OWN}": 1, f"sender=a@{FAR}": 1,
              f"sender-domain={OLD} rcpt=eve@*": 1, "rcpt=eve@*": 2, "rcpt-domain=blau.test": 0}


def test_a_condition_may_be_written_with_letters(with_queue):
    for condition, count in CONDITIONS.items():
        got = with_queue.cli("queue", "list", "--json", "--where", condition)
        assert len(got.splitlines()) == count, condition
    with_queue.cli("queue", "hold", "--where", f"sender=a@{FAR}", "--yes")
    # it is in force at once; the rows follow
    listed = wait_for("what is held", lambda: with_queue.cli("queue", "list", "--json", "--state", "held"))
    [held] = [json.loads(line) for line in listed.splitlines()]
    assert held["sender"] == f"a@{FAR_A}"


# ---- other people's


@pytest.fixture(scope="module")
def world():
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    home.chmod(0o755)  # others have to come in, too
    with Space():
        cert = self_signed(home, f"mx.{FAR_A}")
        zones = {"example.test": f"@ MX 10 mx\nmx A {US}\n",
                 FAR_A: f"@ MX 10 mx\nmx A {POSTFIX}\n_25._tcp.mx TLSA 3 1 1 {tlsa(cert[0])}\n",
                 OLD_A: f"@ MX 10 mx\nmx A {OPENSMTPD}\n"}
        server = Sender(home, more=f'relays = ( {{ domain = "{FAR}"; tls = "verify"; }} );\n'
                        f'dkim = ( {{ domain = "{OWN}"; selector = "one"; algorithm = "ed25519"; }} );')
        with_domains(server, OWN)
        with Dns(home / "dns", zones, signed=[FAR_A]), \
                FarPostfix(home / "far", [f"bob@{FAR_A}", f"jürgen@{FAR_A}"], cert=cert,
                           smtputf8_enable="yes") as far, \
                Postfix(home / "old", mailboxes=[f"bob@{OLD_A}"], address=OPENSMTPD, port=25,
                        settings={"smtputf8_enable": "no", "smtpd_tls_security_level": "none"}) as old:
            server.start()
            server.cli("dkim", "keygen", OWN, "one", "--algorithm", "ed25519")
            server.far, server.old = far, old
            yield server
            server.stop()
    shutil.rmtree(home, ignore_errors=True)


def submit(world, *args, **options):
    with Mail(US, 587, login=(ALICE, world.password)) as m:
        m.send(ALICE, *args, **options)


def arrived(postfix, address, subject):
    return wait_for(f"{subject} at {address}", lambda: [
        m for m in postfix.messages(address) if f"body of {subject}".encode() in m], 2 * PATIENCE)


@needs_world
def test_mail_is_routed_by_the_name_that_the_dns_has(world):
    submit(world, [f"bob@{FAR}"], "unicode", to=f"bob@{FAR}")
    submit(world, [f"bob@{FAR_A}"], "ascii", utf8=False)
    submit(world, ["bob@BÜCHER.Example"], "upper")
    for subject in ("unicode", "ascii", "upper"):
        assert arrived(world.far, f"bob@{FAR_A}", subject)
    # only the TLSA records of that name vouch for its certificate
    assert b"using TLSv1.3" in arrived(world.far, f"bob@{FAR_A}", "unicode")[0]


@needs_world
def test_two_forms_of_a_recipient_are_one(world):
    submit(world, [f"bob@{FAR}", f"bob@{FAR_A}"], "twice")
    assert len(arrived(world.far, f"bob@{FAR_A}", "twice")) == 1


@needs_world
def test_a_local_part_that_is_not_ascii_goes_where_smtputf8_is_offered(world):
    submit(world, [f"jürgen@{FAR}"], "local")
    assert arrived(world.far, f"jürgen@{FAR_A}", "local")


@needs_world
def test_only_a_domain_needs_no_smtputf8_of_the_next_hop(world):
    submit(world, [f"bob@{OLD}"], "plain")
    assert arrived(world.old, f"bob@{OLD_A}", "plain")


@needs_world
@pytest.mark.parametrize("what", ["local", "header"])
def test_without_smtputf8_at_the_next_hop_other_letters_come_back(world, what):
    rcpt, to = (f"jürgen@{OLD}", "you") if what == "local" else (f"bob@{OLD}", f"bob@{OLD}")
    submit(world, [rcpt], f"back-{what}", to=to)
    notice = world.wait_notice(f"back-{what}")
    assert "5.6.7" in notice.as_string()


@needs_world
def test_a_user_of_such_a_domain_logs_in_and_writes_in_each_form(world):
    world.cli("user", "add", f"eve@{OWN}", "--password", world.password)
    world.wait_known(f"eve@{OWN_A}")
    for login in (f"eve@{OWN_A}", f"eve@{OWN}"):
        plain = base64.b64encode(f"\0{login}\0{world.password}".encode()).decode()
        with Mail(US, 587) as m:
            assert m.ask(f"AUTH PLAIN {plain}").startswith("235")
            for sender in (f"eve@{OWN}", f"eve@{OWN_A}"):
                assert m.sender(sender).startswith("250")
                assert m.rcpt(f"bob@{FAR}").startswith("250")
                subject = f"by-{login}-{sender}"
                code, _ = m.s.data(f"From: {sender}\r\nTo: you\r\n\r\nbody of {subject}\r\n".encode())
                assert code == 250
                # signed with the key of the domain, whose name is in ASCII there (RFC 6376, 3.5)
                [message] = arrived(world.far, f"bob@{FAR_A}", subject)
                assert f"d={OWN_A};".encode() in message
    for name in (f"EVE@{OWN}", f"eve@{OWN_A}"):
        assert re.search(rf"^about +eve@{OWN_A}$", world.cli("explain", name), re.M)


@needs_world
@pytest.mark.parametrize("domain", [FAR_A, OLD_A])
def test_the_original_recipient_may_be_told_in_unicode(world, domain):
    postfix = world.far if domain == FAR_A else world.old
    with Mail(US, 587, login=(ALICE, world.password)) as m:
        assert m.sender(ALICE).startswith("250")
        assert m.rcpt(f"bob@{domain}", f" ORCPT=utf-8;jürgen@{FAR}").startswith("250")
        code, _ = m.s.data(f"From: {ALICE}\r\nTo: you\r\n\r\nbody of orcpt-{domain}\r\n".encode())
        assert code == 250
    assert arrived(postfix, f"bob@{domain}", f"orcpt-{domain}")
