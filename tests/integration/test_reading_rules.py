"""What clients of IMAP, POP3 and SMTP cannot do to us, and what holds for all three alike."""
import contextlib
import imaplib
import json
import os
import poplib
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from conftest import PATIENCE, wait_for
from mailboxes import HOST, backend, dovecot_for_a_file, make_front, needs_mailboxes

pytestmark = needs_mailboxes

PASSWORD = "correct horse battery"
USERS = [f"user{n}@example.test" for n in range(1, 4)]
# whose lines in Dovecot's log are counted: each is for one test
FORGETFUL, GREEDY, NEIGHBOUR = ALONE = [f"{name}@example.test" for name in ("forgetful", "greedy", "neighbour")]


def anything():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Line:
    """A connection that is spoken on by hand."""

    def __init__(self, port, source="127.0.0.1"):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        with contextlib.suppress(ConnectionResetError):
            return self.file.readline()
        return b""

    def ask(self, data):
        """All lines up to the last of the answer."""
        self.send(data + b"\r\n")
        return self.answer()

    def answer(self):
        while True:
            line = self.line()
            if not line or (line[3:4] != b"-" and not line.startswith(b"* ")):
                return line

    def to_tls(self):
        self.file.close()
        self.sock = anything().wrap_socket(self.sock, server_hostname=HOST)
        self.file = self.sock.makefile("rb")

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture(scope="module")
def cellar():
    with dovecot_for_a_file(USERS + ALONE, PASSWORD) as dovecot:
        yield dovecot


@pytest.fixture
def make(cellar, home):
    made = []

    def make(backends=None, **options):
        server = make_front(home, cellar.certificate, backends or [backend(cellar)], **options)
        made.append(server)
        return server.start()
    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.stop()
        for line in server.log().splitlines():
            assert "AddressSanitizer" not in line and "runtime error" not in line, line


# ---- STARTTLS and STLS

# protocol: what begins TLS; what is smuggled in behind it; what is asked inside, and its only answer
STARTS = {
    "smtp": (b"STARTTLS", b"NOOP\r\nRSET\r\n", b"EHLO inside.example", b"250-"),  # not that of NOOP
    "imap": (b"s1 STARTTLS", b"x1 NOOP\r\nx2 LOGOUT\r\n", b"t1 NOOP", b"t1 OK"),
    "pop3": (b"STLS", b"NOOP\r\nQUIT\r\n", b"CAPA", b"+OK"),  # before login NOOP is -ERR
}


@pytest.mark.parametrize("service", STARTS)
@pytest.mark.parametrize("how", ["same packet", "later packet", "half a line"])
def test_what_is_sent_in_the_clear_behind_starttls_is_never_obeyed(make, service, how):
    server = make()
    start, smuggled, ask, answer = STARTS[service]
    line = Line(server.ports[service])
    assert line.line()
    if service == "smtp":
        assert line.ask(b"EHLO client.example").startswith(b"250")
    if how == "half a line":
        smuggled = smuggled.rstrip(b"\r\n")
    if how == "later packet":
        line.send(start + b"\r\n")
        first = line.answer()
        assert first.startswith((b"220", b"s1 OK", b"+OK"))
        line.send(smuggled)
    else:
        line.send(start + b"\r\n" + smuggled)
        first = line.answer()
    # either the connection is refused, or what was smuggled in is gone
    try:
        if not first.startswith((b"220", b"s1 OK", b"+OK")):
            return
        line.to_tls()
        line.send(ask + b"\r\n")
        said = line.line()
    except (ssl.SSLError, OSError):
        return
    finally:
        line.close()
    assert said == b"" or said.startswith(answer), said
    assert b"x1" not in said and b"x2" not in said and b"BYE" not in said and b"221" not in said


@pytest.mark.parametrize("service", STARTS)
def test_a_clean_starttls_works(make, service):
    server = make()
    start, _, ask, answer = STARTS[service]
    line = Line(server.ports[service])
    assert line.line()
    if service == "smtp":
        assert line.ask(b"EHLO client.example").startswith(b"250")
    assert line.ask(start).startswith((b"220", b"s1 OK", b"+OK"))
    line.to_tls()
    line.send(ask + b"\r\n")
    assert line.line().startswith(answer)
    line.close()


# ---- the mailbox server

class Imap(imaplib.IMAP4_SSL):
    """From an address of its own."""

    def __init__(self, server, source="127.0.0.1"):
        self.source = source
        super().__init__("127.0.0.1", server.ports["imaps"], ssl_context=anything(), timeout=PATIENCE)

    def _create_socket(self, timeout):
        raw = socket.create_connection((self.host, self.port), timeout, source_address=(self.source, 0))
        return self.ssl_context.wrap_socket(raw)


class Pop3(poplib.POP3_SSL):
    def __init__(self, server, source="127.0.0.1"):
        self.source = source
        super().__init__("127.0.0.1", server.ports["pop3s"], context=anything(), timeout=PATIENCE)

    def _create_socket(self, timeout):
        raw = socket.create_connection((self.host, self.port), timeout, source_address=(self.source, 0))
        return self.context.wrap_socket(raw)


@pytest.mark.parametrize("identity, source", [("id", "127.55.1.1"), ("proxy", "127.55.1.2"), ("proxy2", "127.55.1.3")])
def test_the_mailbox_server_learns_who_the_client_is(make, cellar, identity, source):
    server = make(backends=[backend(cellar, identity=identity)])
    client = Imap(server, source)
    client.login(USERS[0], PASSWORD)
    client.logout()
    client = Pop3(server, source)
    client.user(USERS[0])
    client.pass_(PASSWORD)
    client.quit()
    for service in ("imap", "pop3"):
        pattern = rf"{service}-login: Info: Login: user=<{USERS[0]}>.*rip={source},"
        wait_for(f"{pattern} in Dovecot's log", lambda p=pattern: re.search(p, cellar.log()))


@pytest.mark.parametrize("login", ["same", "master", "authzid", "own"])
def test_who_logs_in_here_is_logged_in_there(make, cellar, login):
    more = f'login = "{login}";' + ('' if login == "same" else ' credential = "front";')
    server = make(backends=[backend(cellar, more=more)], sources='( { kind = "database"; } )')
    word = PASSWORD if login == "same" else "only known here"
    server.cli("user", "add", USERS[0], "--password", word)
    if login == "own":
        server.cli("relay", "passwd", f"front/{USERS[0]}", "--user", USERS[0], "--password-stdin", input=PASSWORD + "\n")
    elif login != "same":
        server.cli("relay", "passwd", "front", "--user", "front", "--password-stdin", input="master secret\n")

    def in_by_imap():
        client = Imap(server)
        try:
            client.login(USERS[0], word)
        except imaplib.IMAP4.error:
            client.shutdown()
            return False
        assert client.select("INBOX")[0] == "OK"
        client.logout()
        return True
    wait_for("the login", in_by_imap)
    client = Pop3(server)
    client.user(USERS[0])
    client.pass_(word)
    client.stat()
    client.quit()
    client = Imap(server)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(USERS[0], "master secret")
    client.shutdown()


def test_while_the_mailbox_server_is_away_everybody_hears_so_and_it_recovers_by_itself(make, cellar):
    server = make(settings='mailbox: { check-every = "200ms"; connect-timeout = "1s"; };\n',
                  sources='( { kind = "database"; } )')
    server.cli("user", "add", USERS[0], "--password", PASSWORD)

    def come():
        client = Imap(server)
        try:
            client.login(USERS[0], PASSWORD)
            client.logout()
            return "in"
        except imaplib.IMAP4.error as e:
            client.shutdown()
            return str(e)
    wait_for("the first login", lambda: come() == "in")
    cellar.stop()
    try:
        assert "[UNAVAILABLE]" in come()
        client = Pop3(server)
        client.user(USERS[0])
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.pass_(PASSWORD)
        client.close()
        server.wait_log(r"log=backend")
    finally:
        cellar.start()
    wait_for("the login", lambda: come() == "in")


# ---- one guard for all

@pytest.mark.parametrize("service", ["smtp", "pop3"])
def test_a_ban_earned_on_imap_refuses_the_same_client_elsewhere(make, service):
    server = make(settings='guard: { mode = "enforce"; connect-rate = 0; };\n')
    bad, good = "127.66.1.7", "127.99.1.7"

    def banned():
        line = Line(server.ports["imap"], bad)
        first = line.line()
        if first.startswith(b"* OK"):
            line.ask(b"s1 STARTTLS")
            with contextlib.suppress(ssl.SSLError, OSError):
                line.to_tls()
                banned.tries += 1
                line.ask(b"a1 LOGIN nobody%d@example.test guess%d" % (banned.tries, banned.tries))
        line.close()
        return first.startswith(b"* BYE") or not first
    banned.tries = 0
    wait_for("the ban", banned)
    line = Line(server.ports[service], bad)
    assert line.line().startswith((b"554", b"421", b"-ERR")) or not line.line()
    line.close()
    line = Line(server.ports[service], good)
    assert line.line().startswith((b"220", b"+OK"))
    line.close()
    assert "imap" in server.cli("explain", bad) or "auth" in server.cli("explain", bad)


def test_a_wrong_password_seen_lately_is_not_asked_of_the_mailbox_server_again(make, cellar):
    server = make()

    def refused(word="last year's"):
        client = Imap(server)
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.login(FORGETFUL, word)
        client.shutdown()

    def asked():
        return len(re.findall(rf"passwd-file\({FORGETFUL}.*?Password mismatch", cellar.log()))
    for _ in range(5):
        refused()
    refused("another")  # it says so in the order in which it is asked
    wait_for("Dovecot to tell", lambda: asked() >= 2)
    assert asked() == 2


def test_over_the_limit_nobody_asks_the_mailbox_server_and_others_notice_nothing(make, cellar):
    server = make(settings='mailbox: { per-user-network = 3; };\n'
                           'guard: { mode = "enforce"; connect-rate = 0; };\n')

    def come(user):
        client = Imap(server)
        try:
            client.login(user, PASSWORD)
        except imaplib.IMAP4.error as e:
            client.shutdown()
            return str(e)
        return client

    def logins(user):
        return len(re.findall(rf"imap-login: Info: Login: user=<{user}>", cellar.log()))

    def runs_away():
        for _ in range(30):
            with contextlib.closing(Line(server.ports["imap"])) as line:
                line.line()
                assert b"[LIMIT]" in line.ask(f'a LOGIN {GREEDY} "{PASSWORD}"'.encode())
        said = server.cli("explain", GREEDY)
        return said if re.search("runaway", said, re.I) else None
    held = [come(GREEDY) for _ in range(3)]
    assert not any(isinstance(c, str) for c in held), held
    assert "[LIMIT]" in come(GREEDY)
    # whether it runs away is told by how fast it comes, and a machine may stand still
    said = wait_for("the diagnosis", runs_away)
    assert "127.0.0.0/24" in said or "127.0.0.1" in said
    other = come(NEIGHBOUR)
    assert other.select("INBOX")[0] == "OK"
    other.logout()
    wait_for("Dovecot to tell of who came last", lambda: logins(NEIGHBOUR) == 1)  # one process tells of all
    assert logins(GREEDY) == 3
    # who leaves makes room
    held.pop().logout()
    wait_for("room", lambda: not isinstance(come(GREEDY), str))
    for client in held:
        client.logout()


# ---- imaptest, Dovecot's own tests of IMAP servers

IMAPTEST = os.environ.get("HOLDFAST_IMAPTEST")  # a directory with src/imaptest and src/tests


@pytest.mark.skipif(not IMAPTEST, reason="HOLDFAST_IMAPTEST does not name a build of imaptest")
def test_imaptest_finds_the_same_through_us_as_directly(make, cellar):
    server = make(settings="mailbox: { per-user-network = 0; per-user = 0; };\n",
                  auth='delay = "0s"; without-tls = true;')
    place = Path(IMAPTEST)
    program = next(p for p in (place / "src" / "imaptest", place / "imaptest") if p.exists())
    tests = next(p for p in (place / "src" / "tests", place / "tests") if (p / "append").exists())

    def results(port, test):
        got = subprocess.run([program, "host=127.0.0.1", f"port={port}", f"user={USERS[2]}", f"pass={PASSWORD}",
                              f"test={test}"], capture_output=True, text=True, timeout=PATIENCE,
                             cwd=cellar.top)
        text = re.sub(r"\d+\.\d+ s|UIDVALIDITY \d+|HIGHESTMODSEQ \d+", "", got.stdout + got.stderr)
        return got.returncode, re.findall(r"\*\*\* .*|\d+ test groups: .*|base protocol: .*|extensions: .*", text)
    names = sorted(p.name for p in tests.iterdir() if p.is_file() and not p.suffix)
    assert len(names) > 30
    differ = {}
    for name in names:
        direct, through = results(cellar.ports["imap"], tests / name), results(server.ports["imap"], tests / name)
        assert any("test groups" in line for line in direct[1]), f"{name}: imaptest did not run: {direct}"
        if direct != through:
            differ[name] = (direct, through)
    assert not differ, json.dumps(differ, indent=1)


# ---- testssl.sh

# What it calls worse than low, and why that is as it should be here. A WARN is about testssl.sh itself:
# what the OpenSSL of this machine cannot try.
KNOWN = {
    "cert_chain_of_trust": "the certificate of this test is signed by itself",
    "cert_trust": "likewise",
    "cert_notAfter": "it lives for 30 days",
    "cert_expirationStatus": "likewise",
    "cert_validityPeriod": "likewise",
    "cert_caIssuers": "there is no authority",
    "cert_revocation": "nor one that could revoke it",
    "cert_ocspURL": "likewise",
    "cert_crlDistributionPoints": "likewise",
    "OCSP_stapling": "likewise",
    "DNS_CAArecord": "there is no DNS for localhost",
    "overall_grade": "a sum that counts the certificate",
}


# A port takes three minutes. They differ in how TLS begins, which has tests of its own above, so all of
# them are for whoever changes TLS: HOLDFAST_TESTSSL="smtp imap imaps pop3 pop3s".
TESTSSL = os.environ.get("HOLDFAST_TESTSSL", "imaps").split()


@pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed")
@pytest.mark.parametrize("service", TESTSSL)
def test_testssl_finds_nothing_above_low(make, service, tmp_path):
    server = make(settings="sessions: { per-address = 0; };\n")
    words = [] if service.endswith("s") else ["--starttls", service]
    found = tmp_path / "found.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--fast", "--nodns", "none", "--warnings", "off",
                    "--ip", "127.0.0.1", "--jsonfile", found, "--openssl", "/usr/bin/openssl",
                    "--connect-timeout", "20", "--openssl-timeout", "20", *words,
                    f"{HOST}:{server.ports[service]}"], capture_output=True, stdin=subprocess.DEVNULL, timeout=900)
    results = json.loads(found.read_text())
    assert any(r["id"] == "TLS1_3" and "offered" in r["finding"] for r in results), results
    bad = [r for r in results if r["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
           and not any(r["id"].startswith(k) for k in KNOWN)]
    assert not bad, json.dumps(bad, indent=1)
