"""Mail programs read mail through us as if we were not there: over TLS, STARTTLS and STLS."""
import contextlib
import email
import imaplib
import os
import poplib
import pty
import shutil
import ssl
import subprocess
import tempfile
import types
import zlib
from pathlib import Path

import pytest

from conftest import PATIENCE, wait_for
from mailboxes import DIRECT, HOST, Dovecot, backend, certificate, make_front, needs_mailboxes, trusting

pytestmark = needs_mailboxes

PASSWORD = 'correct "horse" \\ battery'
MAILS = [
    b"From: a@client.example\r\nTo: b@example.test\r\nSubject: first\r\nMessage-ID: <1@client.example>\r\n\r\n"
    b"one\r\n.leading dot\r\n..two dots\r\n\r\nlast line\r\n",
    b"From: a@client.example\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <2@client.example>\r\n\r\n" +
    b"Gr\xc3\xbc\xc3\x9fe\r\n",
    b"From: a@client.example\r\nSubject: large\r\nMessage-ID: <3@client.example>\r\n\r\n" +
    b"".join(b"line %d " % i + b"x" * (i % 70) + b"\r\n" for i in range(20000)),
]
USERS = [f"user{n}@example.test" for n in range(1, 31)]
BOTH = pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "tls"])


@pytest.fixture(scope="module")
def house():
    """Everybody's mail; each test has a user of its own."""
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    cert = certificate(top)
    users = iter(USERS)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, top, ignore_errors=True)
        dovecot = stack.enter_context(Dovecot(top / "dovecot", USERS, PASSWORD, cert))
        h = types.SimpleNamespace(dovecot=dovecot, cert=cert[0], server=None)
        if DIRECT:
            h.ports = dovecot.ports
        else:
            home = top / "front"
            home.mkdir(mode=0o755)
            h.server = make_front(home, cert, [backend(dovecot)])
            stack.callback(h.server.stop)
            h.server.start()
            h.ports = h.server.ports

        def somebody():
            user = next(users)
            dovecot.put(user, *MAILS)
            return user
        h.somebody = somebody
        yield h


@pytest.fixture
def user(house):
    return house.somebody()


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def run(*words, env=None, code=0, **options):
    got = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=PATIENCE,
                         env={**os.environ, **(env or {})}, **options)
    assert got.returncode == code, got.stdout + got.stderr
    return got


def in_maildir(box):
    """The messages, by their number; as they are on the disk of a mail program."""
    found = {}
    for part in ("new", "cur"):
        for path in (box / part).iterdir() if (box / part).exists() else ():
            raw = path.read_bytes()
            number = int(email.message_from_bytes(raw)["Message-ID"][1])
            found[number] = raw
    return found


def assert_all(found):
    """Each message is there, and no byte differs but what a mail program adds in front."""
    assert sorted(found) == [1, 2, 3]
    for number, sent in enumerate(MAILS, 1):
        got = found[number].replace(b"\r\n", b"\n")
        assert got[got.index(b"From: a@"):].split(b"\n\n", 1)[1] == sent.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1]


def imap_client(house, implicit, user=None):
    context = trusting(house.cert)
    if implicit:
        client = imaplib.IMAP4_SSL(HOST, house.ports["imaps"], ssl_context=context, timeout=PATIENCE)
    else:
        client = imaplib.IMAP4(HOST, house.ports["imap"], timeout=PATIENCE)
        assert client.starttls(context)[0] == "OK"
    if user:
        client.login(user, PASSWORD)
    return client


def pop_client(house, implicit, user=None):
    context = trusting(house.cert)
    if implicit:
        client = poplib.POP3_SSL(HOST, house.ports["pop3s"], context=context, timeout=PATIENCE)
    else:
        client = poplib.POP3(HOST, house.ports["pop3"], timeout=PATIENCE)
        client.stls(context)
    if user:
        client.user(user)
        client.pass_(PASSWORD)
    return client


# ---- Python's own clients

@BOTH
def test_imaplib(house, user, implicit):
    client = imap_client(house, implicit, user)
    assert client.select("INBOX") == ("OK", [b"3"])
    for number, sent in enumerate(MAILS, 1):
        assert client.fetch(str(number), "(RFC822)")[1][0][1] == sent
    assert client.append("INBOX", None, None, MAILS[0])[0] == "OK"
    assert client.noop()[0] == "OK" and client.search(None, "ALL")[1] == [b"1 2 3 4"]
    assert client.store("1", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert client.expunge() == ("OK", [b"1"])
    assert client.logout()[0] == "BYE"


def test_imaplib_authenticates_with_sasl(house, user):
    client = imap_client(house, True)
    client.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
    assert client.select("INBOX", readonly=True) == ("OK", [b"3"])
    client.logout()


def test_what_is_offered_after_login_is_what_the_mailbox_server_offers(house, user):
    def offered(ports):
        client = imap_client(types.SimpleNamespace(ports=ports, cert=house.cert), True, user)
        words = set(client.capability()[1][0].split())
        client.logout()
        return words
    got = offered(house.ports)
    assert {b"IDLE", b"CONDSTORE", b"NOTIFY", b"COMPRESS=DEFLATE"} <= got
    assert got == offered(house.dovecot.ports)


def test_a_client_that_idles_hears_of_new_mail(house, user):
    client = imap_client(house, True, user)
    client.select("INBOX")
    client.send(b"i1 IDLE\r\n")
    assert client.readline().startswith(b"+")
    other = imap_client(house, False, user)
    other.append("INBOX", None, None, MAILS[1])
    client.sock.settimeout(PATIENCE)
    while b"4 EXISTS" not in (line := client.readline()):
        assert line, "it hung up"
    client.send(b"DONE\r\n")
    while not (line := client.readline()).startswith(b"i1 "):
        assert line, "it hung up"
    assert line.startswith(b"i1 OK")
    other.logout()
    client.shutdown()


def test_compressed_commands_pass_unchanged(house, user):
    client = imap_client(house, True, user)
    client.send(b"c1 COMPRESS DEFLATE\r\n")
    assert client.readline().startswith(b"c1 OK")
    deflate, inflate = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
    client.send(deflate.compress(b"c2 SELECT INBOX\r\nc3 FETCH 3 (RFC822)\r\nc4 LOGOUT\r\n") +
                deflate.flush(zlib.Z_SYNC_FLUSH))
    said = b""
    while b"c4 OK" not in said:
        chunk = client.sock.recv(65536)
        assert chunk, said[-500:]
        said += inflate.decompress(chunk)
    assert MAILS[2] in said
    client.shutdown()


def test_pipelined_commands_behind_login_reach_the_mailbox_server(house, user):
    client = imap_client(house, True)
    name = user.encode()
    secret = PASSWORD.encode()
    client.send(b"p1 LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\np2 SELECT INBOX\r\np3 FETCH 1 (RFC822.SIZE)\r\np4 LOGOUT\r\n"
                % (len(name), name, len(secret), secret))
    said = b""
    with contextlib.suppress(ssl.SSLEOFError):
        while chunk := client.sock.recv(65536):
            said += chunk
    tagged = [line.split()[:2] for line in said.split(b"\r\n") if line.startswith(b"p")]
    assert tagged == [[b"p%d" % n, b"OK"] for n in (1, 2, 3, 4)], said
    assert b"RFC822.SIZE %d" % len(MAILS[0]) in said


@BOTH
def test_poplib(house, user, implicit):
    client = pop_client(house, implicit, user)
    assert client.stat() == (3, sum(map(len, MAILS)))
    for number, sent in enumerate(MAILS, 1):
        assert b"".join(line + b"\r\n" for line in client.retr(number)[1]) == sent
    before = [line.split()[1] for line in client.uidl()[1]]
    client.dele(1)
    client.quit()
    client = pop_client(house, implicit, user)
    assert [line.split()[1] for line in client.uidl()[1]] == before[1:]
    client.quit()


def test_a_wrong_password_is_refused_with_its_code(house, user):
    client = imap_client(house, True)
    with pytest.raises(imaplib.IMAP4.error, match=r"\[AUTHENTICATIONFAILED\]"):
        client.login(user, "wrong")
    client.login(user, PASSWORD)
    client.logout()
    client = pop_client(house, True)
    client.user(user)
    with pytest.raises(poplib.error_proto, match=r"-ERR.*\[AUTH\]"):
        client.pass_("wrong")
    client.quit()


# ---- mail programs

@BOTH
def test_curl_imap(house, user, implicit):
    needs("curl")
    where = f"imap{'s' if implicit else ''}://{HOST}:{house.ports['imaps' if implicit else 'imap']}"
    for number, sent in enumerate(MAILS, 1):
        got = subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", house.cert, "--user", f"{user}:{PASSWORD}",
                              f"{where}/INBOX;MAILINDEX={number}"], capture_output=True, timeout=PATIENCE)
        assert got.returncode == 0, got.stderr
        assert got.stdout == sent


@BOTH
def test_curl_pop3(house, user, implicit):
    needs("curl")
    where = f"pop3{'s' if implicit else ''}://{HOST}:{house.ports['pop3s' if implicit else 'pop3']}"
    for number, sent in enumerate(MAILS, 1):
        got = subprocess.run(["curl", "-sS", "--ssl-reqd", "--cacert", house.cert, "--user", f"{user}:{PASSWORD}",
                              f"{where}/{number}"], capture_output=True, timeout=PATIENCE)
        assert got.returncode == 0, got.stderr
        assert got.stdout == sent


@BOTH
def test_mbsync(house, user, implicit, tmp_path):
    needs("mbsync")
    (tmp_path / "mail").mkdir()
    secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "rc").write_text(
        f'IMAPAccount far\nHost {HOST}\nPort {house.ports["imaps" if implicit else "imap"]}\nUser {user}\n'
        f'Pass "{secret}"\nSSLType {"IMAPS" if implicit else "STARTTLS"}\nSystemCertificates no\n'
        f'CertificateFile {house.cert}\n\n'
        f"IMAPStore far\nAccount far\n\nMaildirStore near\nPath {tmp_path}/mail/\nInbox {tmp_path}/mail/inbox\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n")
    run("mbsync", "-c", tmp_path / "rc", "all", env={"HOME": str(tmp_path)})
    assert_all(in_maildir(tmp_path / "mail" / "inbox"))
    run("mbsync", "-c", tmp_path / "rc", "all", env={"HOME": str(tmp_path)})
    assert len(in_maildir(tmp_path / "mail" / "inbox")) == 3


AT_MOST_TLS_1_2 = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = programs
[programs]
MaxProtocol = TLSv1.2
"""


@BOTH
def test_offlineimap(house, user, implicit, tmp_path):
    """With TLS 1.2: its imaplib2 reads and writes one TLS session from two threads, and with TLS 1.3, whose tickets
    come behind the handshake, it waits for ever or dies, for Dovecot itself too. OpenSSL is told, because behind
    STARTTLS it does not obey an ssl_version of its own."""
    needs("offlineimap")
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "rc").write_text(
        f"[general]\naccounts = all\nmetadata = {tmp_path}/state\n[Account all]\nlocalrepository = near\n"
        f"remoterepository = far\n[Repository near]\ntype = Maildir\nlocalfolders = {tmp_path}/mail\n"
        f"[Repository far]\ntype = IMAP\nremotehost = {HOST}\n"
        f"remoteport = {house.ports['imaps' if implicit else 'imap']}\nremoteuser = {user}\n"
        f"remotepassfile = {tmp_path}/secret\nssl = {'yes' if implicit else 'no'}\n"
        f"starttls = {'no' if implicit else 'yes'}\nsslcacertfile = {house.cert}\nreadonly = True\n")
    (tmp_path / "openssl.cnf").write_text(AT_MOST_TLS_1_2)
    run("offlineimap", "-o", "-1", "-u", "basic", "-c", tmp_path / "rc",
        env={"HOME": str(tmp_path), "OPENSSL_CONF": str(tmp_path / "openssl.cnf")})
    assert_all(in_maildir(tmp_path / "mail" / "INBOX"))


@BOTH
@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_fetchmail(house, user, implicit, protocol, tmp_path):
    needs("fetchmail")
    secret = "".join(rf"\x{ord(c):02x}" for c in PASSWORD)
    rc = tmp_path / "rc"
    rc.write_text(
        f"poll {HOST} service {house.ports[protocol + ('s' if implicit else '')]} protocol {protocol} "
        f"{'' if protocol == 'imap' else 'uidl'} auth password "
        f'username "{user}" password "{secret}" '
        f'{"ssl" if implicit else "sslproto TLS1.2+"} sslcertck sslcertfile "{house.cert}" keep no rewrite '
        f'mda "/usr/bin/tee -a {tmp_path}/mail"\n')
    rc.chmod(0o600)
    got = run("fetchmail", "-v", "-f", rc, "--nosyslog", "--idfile", tmp_path / "ids", "--pidfile", tmp_path / "pid",
              env={"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path)})
    assert "TLSv1" in got.stdout + got.stderr or "SSL" in got.stdout + got.stderr
    text = (tmp_path / "mail").read_bytes().replace(b"\r\n", b"\n")
    for sent in MAILS:
        assert sent.replace(b"\r\n", b"\n").split(b"\n\n", 1)[1] in text


def in_terminal(*words, env, patience=PATIENCE):
    """A program that wants a screen; what it wrote to it."""
    pid, screen = pty.fork()
    if pid == 0:
        os.execvpe(words[0], [str(w) for w in words], {**os.environ, **env})
    said, done = b"", None
    os.set_blocking(screen, False)

    def ended():
        nonlocal said, done
        with contextlib.suppress(OSError):
            said += os.read(screen, 65536)
        got, status = os.waitpid(pid, os.WNOHANG)
        done = status if got else None
        return got
    try:
        wait_for(f"{words[0]} to end", ended, patience)
    except AssertionError as e:
        raise AssertionError(said.decode(errors="replace")) from e
    finally:
        if done is None:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        os.close(screen)
    assert os.waitstatus_to_exitcode(done) == 0, said
    return said


@BOTH
def test_mutt(house, user, implicit, tmp_path):
    """It opens the mailbox, copies all of it into a Maildir of its own, and ends."""
    needs("mutt")
    name = user.replace("@", "%40")
    where = f"imap{'s' if implicit else ''}://{name}@{HOST}:{house.ports['imaps' if implicit else 'imap']}/INBOX"
    secret = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "rc").write_text(
        f'set imap_pass="{secret}"\nset ssl_ca_certificates_file="{house.cert}"\n'
        f"set folder={tmp_path}\n"
        "set ssl_force_tls=yes\nset mbox_type=Maildir\nset confirmcreate=no\nset confirmappend=no\n"
        "set quit=yes\nset delete=no\nset wait_key=no\nset header_cache=\nset copy=no\nset sleep_time=0\n"
        f'push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{tmp_path}/copy<enter><quit>"\n')
    (tmp_path / "copy").mkdir()
    for part in ("cur", "new", "tmp"):
        (tmp_path / "copy" / part).mkdir()
    in_terminal("mutt", "-n", "-F", tmp_path / "rc", "-f", where,
                env={"HOME": str(tmp_path), "TERM": "xterm"})
    assert_all(in_maildir(tmp_path / "copy"))
