"""Mail of our users: with the programs that they have, and from programs of this machine."""
import base64
import email
import hashlib
import hmac
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import tempfile

import pytest

from conftest import HOLDFAST, PATIENCE, Server, free_port, select_briefly, wait_for

HOST = "127.0.0.1"


def ports():
    return {"smtp": free_port(), "submission": free_port(), "submissions": free_port()}


def listeners(p, path):
    return f"""listen = (
      {{ address = "{HOST}:{p['smtp']}"; service = "smtp"; }},
      {{ address = "{HOST}:{p['submission']}"; service = "submission"; tls = "starttls"; }},
      {{ address = "{HOST}:{p['submissions']}"; service = "submission"; tls = "implicit"; }},
      {{ address = "unix:{path}"; service = "submission"; }} );"""


@pytest.fixture(scope="module")
def mail():
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    home.chmod(0o755)
    p = ports()
    server = Server(
        home, tls=True, users=("alice", "bob", "carol", "dave"), listen=listeners(p, home / "submit.sock"),
        settings='send-as = ( { login = "alice@example.test"; address = "info@example.test"; } );\n'
                 'auth: { delay = "0s"; };\n', run_args=["--set", "run.drain=30s"])
    server.port, server.ports, server.submit = p["smtp"], p, home / "submit.sock"
    try:
        server.start()
        server.cli("alias", "add", "sales@example.test", "bob@example.test")
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def trusting(server):
    context = ssl.create_default_context(cafile=server.cert)
    context.check_hostname = False
    return context


def log_in(server, user="alice", password=None, mechanism=None, implicit=False):
    """The client, and what it was told. Where a test has killed auth, an edge may not have met the next one."""
    def said():
        try:
            return try_to_log_in(server, user, password, mechanism, implicit)
        except smtplib.SMTPAuthenticationError as refused:
            if refused.smtp_code != 454:
                raise
    return wait_for("auth to answer", said)


def try_to_log_in(server, user, password, mechanism, implicit):
    p = server.ports
    if implicit:
        s = smtplib.SMTP_SSL(HOST, p["submissions"], timeout=PATIENCE, context=trusting(server))
    else:
        s = smtplib.SMTP(HOST, p["submission"], timeout=PATIENCE)
        s.starttls(context=trusting(server))
    s.ehlo("laptop.example")
    s.user, s.password = f"{user}@example.test", password or server.password
    if mechanism:
        method = "auth_" + mechanism.lower()
        return s, s.auth(mechanism, getattr(s, method))
    return s, s.login(s.user, s.password)


def arrived(server, user, subject):
    """The message with that subject, once it is there."""
    def found():
        for raw in server.messages(user):
            m = email.message_from_bytes(raw)
            if m["Subject"] == subject:
                return m
    return wait_for(f"{subject} for {user}", found)


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_user_logs_in_and_sends(mail, implicit, mechanism):
    subject = f"by {mechanism} {implicit}"
    s, answer = log_in(mail, mechanism=mechanism, implicit=implicit)
    assert answer[0] == 235
    s.sendmail("alice@example.test", ["bob@example.test"],
               f"From: Alice <alice@example.test>\r\nSubject: {subject}\r\n\r\nHello\r\n")
    s.quit()
    m = arrived(mail, "bob", subject)
    assert m["Date"] and m["Message-ID"].endswith("@mx.example.test>")
    assert " with ESMTPSA id " in m["Received"]
    assert "alice" not in m["Received"]
    mail.wait_log(r"^.*log=accepted .*login=alice@example.test")


def test_before_tls_and_before_a_login_nothing_goes(mail):
    with smtplib.SMTP(HOST, mail.ports["submission"], timeout=PATIENCE) as s:
        s.ehlo("laptop.example")
        assert s.has_extn("dsn") and s.has_extn("starttls")
        assert s.mail("alice@example.test")[0] == 530
    with smtplib.SMTP(HOST, mail.ports["smtp"], timeout=PATIENCE) as s:
        s.ehlo("laptop.example")
        assert not s.has_extn("auth") and not s.has_extn("dsn")
        assert s.docmd("AUTH", "PLAIN AGEAYg==")[0] == 502


def test_a_wrong_password_and_an_unknown_user_hear_the_same(mail):
    answers = []
    for user, password in (("alice", "wrong"), ("nobody", "wrong")):
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            log_in(mail, user, password)
        answers.append((refused.value.smtp_code, refused.value.smtp_error))
    assert answers[0] == answers[1]
    assert answers[0][0] == 535
    mail.wait_log(r"log=login-failed .*alice@example.test")


def test_senders_are_bound_to_the_login(mail):
    s, _ = log_in(mail)
    assert s.mail("bob@example.test")[0] == 553
    assert s.mail("sales@example.test")[0] == 553
    for own in ("alice@example.test", "alice+lists@example.test", "info@example.test", ""):
        assert s.mail(own)[0] == 250
        s.rset()
    s.quit()
    s, _ = log_in(mail, "bob")
    assert s.mail("sales@example.test")[0] == 250
    s.quit()


def test_recipients_of_ours_are_checked_as_ever(mail):
    s, _ = log_in(mail)
    assert s.mail("alice@example.test")[0] == 250
    assert s.rcpt("nobody@example.test")[0] == 550
    assert s.rcpt("bob@example.test", ["NOTIFY=NEVER", "ORCPT=rfc822;bob@example.test"])[0] == 250
    assert s.rcpt("bob@example.test", ["NOTIFY=SOMETIMES"])[0] == 501
    s.quit()


def test_when_auth_dies_the_answer_is_later(mail):
    token = base64.b64encode(f"\0alice@example.test\0{mail.password}".encode()).decode()
    seen = set()

    def tries(s):
        """A few times: no session may do so for ever."""
        for _ in range(10):
            seen.add(s.docmd("AUTH", f"PLAIN {token}")[0])
            if 235 in seen:
                break
            select_briefly()
        return 235 in seen

    def logged_in():
        with over_tls(mail) as s:
            return tries(s)
    with over_tls(mail) as s:
        assert mail.kill_role("auth")
        tries(s)
    wait_for("a login after auth is back", lambda: 235 in seen or logged_in())
    assert seen <= {454, 235}


def test_who_has_logged_in_may_send_whoever_of_us_is_replaced(mail):
    """Auth has vouched for the session; the store that takes its mail is another one, of another program."""
    def send(subject, s):
        assert s.mail("alice@example.test")[0] == 250 and s.rcpt("bob@example.test")[0] == 250
        assert s.docmd("DATA")[0] == 354
        yield
        s.send(f"Subject: {subject}\r\n\r\nHello\r\n.\r\n")
        assert s.getreply()[0] == 250
        arrived(mail, "bob", subject)
        yield

    s, _ = log_in(mail)
    for role in ("auth", "store"):
        steps = send(f"over another {role}", s)
        next(steps)
        mail.kill_role(role)
        next(steps)
    steps = send("over an upgrade", s)
    next(steps)
    old = set(mail.pids("store"))
    mail.cli("upgrade")
    wait_for("another store", lambda: mail.pids("store") and not old & set(mail.pids("store")))
    next(steps)
    s.close()
    mail.wait_log(r"the old program's roles have all ended")
    mail.wait_ready()
    s, _ = log_in(mail)
    steps = send("of the new program", s)
    next(steps)
    next(steps)
    s.quit()
    assert "log=link-broken" not in mail.log()


def test_what_thunderbird_says(mail):
    """Its own dialogue: an address literal, AUTH with its answer, the size, 8 bits, two mails in a row."""
    with smtplib.SMTP(HOST, mail.ports["submission"], f"[{HOST}]", PATIENCE) as s:
        assert s.docmd("EHLO", f"[{HOST}]")[0] == 250
        assert s.docmd("STARTTLS")[0] == 220
        s.sock = trusting(mail).wrap_socket(s.sock)
        s.file = None
        code, offers = s.docmd("EHLO", f"[{HOST}]")
        words = {line.split()[0] for line in offers.upper().splitlines()[1:]}
        assert code == 250 and {b"AUTH", b"SIZE", b"8BITMIME"} <= words and b"STARTTLS" not in words
        plain = base64.b64encode(f"\0alice@example.test\0{mail.password}".encode()).decode()
        assert s.docmd("AUTH", f"PLAIN {plain}")[0] == 235
        for subject in ("the first of two", "the second"):
            letter = (f"Message-ID: <{subject.replace(' ', '-')}@example.test>\r\n"
                      "Date: Sat, 21 Nov 2026 12:00:00 +0100\r\nMIME-Version: 1.0\r\n"
                      "User-Agent: Mozilla Thunderbird\r\nContent-Language: en-GB\r\n"
                      f"To: bob@example.test\r\nFrom: Alice <alice@example.test>\r\nSubject: {subject}\r\n"
                      "Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n"
                      "\r\nGr\u00fc\u00dfe \u2013 \u65e5\u672c\r\n").encode()
            assert s.docmd(f"MAIL FROM:<alice@example.test> BODY=8BITMIME SIZE={len(letter)}")[0] == 250
            assert s.docmd("RCPT TO:<bob@example.test>")[0] == 250
            assert s.docmd("DATA")[0] == 354
            s.send(letter + b".\r\n")
            assert s.getreply()[0] == 250
        assert s.docmd("QUIT")[0] == 221
    for subject in ("the first of two", "the second"):
        m = arrived(mail, "bob", subject)
        assert m["Message-ID"] == f"<{subject.replace(' ', '-')}@example.test>"
        assert m.get_payload(decode=True).decode().strip() == "Gr\u00fc\u00dfe \u2013 \u65e5\u672c"


# ---- programs ---------------------------------------------------------------------------------


def run(*words, input=None, user=None, env=None, code=0):
    got = subprocess.run([str(w) for w in words], input=input, capture_output=True, text=True,
                         timeout=PATIENCE, user=user, env=env)
    assert got.returncode == code, got.stdout + got.stderr
    return got


def needs(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("implicit", [False, True])
def test_swaks(mail, implicit):
    needs("swaks")
    subject = f"swaks {implicit}"
    run("swaks", "--timeout", PATIENCE, "--server", HOST, "--port",
        mail.ports["submissions" if implicit else "submission"],
        "--tls-on-connect" if implicit else "--tls", "--auth", "PLAIN",
        "--auth-user", "alice@example.test", "--auth-password", mail.password,
        "--from", "alice@example.test", "--to", "bob@example.test",
        "--header", f"Subject: {subject}")
    arrived(mail, "bob", subject)


@pytest.mark.parametrize("implicit", [False, True])
def test_curl(mail, implicit, tmp_path):
    needs("curl")
    subject = f"curl {implicit}"
    letter = tmp_path / "letter"
    letter.write_text(f"From: alice@example.test\r\nSubject: {subject}\r\n\r\nHello\r\n")
    port = mail.ports["submissions" if implicit else "submission"]
    run("curl", "-sS", "--url", f"smtp{'s' if implicit else ''}://{HOST}:{port}", "--ssl-reqd", "-k",
        "--user", f"alice@example.test:{mail.password}", "--mail-from", "alice@example.test",
        "--mail-rcpt", "bob@example.test", "--upload-file", letter)
    arrived(mail, "bob", subject)


@pytest.mark.parametrize("implicit", [False, True])
def test_msmtp(mail, implicit, tmp_path):
    needs("msmtp")
    subject = f"msmtp {implicit}"
    port = mail.ports["submissions" if implicit else "submission"]
    conf = tmp_path / "msmtprc"
    conf.write_text(f"account default\nhost {HOST}\nport {port}\nauth on\n"
                    f"user alice@example.test\npassword {mail.password}\n"
                    f"from alice@example.test\ntls on\n"
                    f"tls_starttls {'off' if implicit else 'on'}\ntls_certcheck off\n")
    conf.chmod(0o600)
    run("msmtp", "-C", conf, "--dsn-notify=failure", "bob@example.test",
        input=f"From: alice@example.test\nSubject: {subject}\n\nHello\n")
    arrived(mail, "bob", subject)


def test_mutt(mail, tmp_path):
    needs("mutt")
    conf = tmp_path / "muttrc"
    conf.write_text(f'set smtp_url="smtps://alice%40example.test@{HOST}:{mail.ports["submissions"]}"\n'
                    f'set smtp_pass="{mail.password}"\nset from="alice@example.test"\n'
                    f'set ssl_verify_host=no\nset certificate_file="{mail.cert}"\nset copy=no\n'
                    f'set ssl_usesystemcerts=no\nset use_envelope_from=yes\n')
    run("mutt", "-n", "-F", conf, "-s", "mutt", "--", "bob@example.test", input="Hello\n",
        env={**os.environ, "HOME": str(tmp_path), "TERM": "dumb"})
    arrived(mail, "bob", "mutt")


# ---- of this machine --------------------------------------------------------------------------


def sendmail(mail, *words, input="Subject: x\n\nHello\n", code=0, user=None):
    return run(HOLDFAST, "sendmail", "-S", mail.submit, *words, input=input, code=code, user=user)


def me(user=None):
    return user or pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def somebody():
    """Another user than root, if we are that."""
    return "nobody" if os.geteuid() == 0 else None


def test_sendmail_hands_in_mail_as_who_runs_it(mail, somebody):
    sendmail(mail, "-i", "alice@example.test", user=somebody,
             input="Subject: from sendmail\n\n.\nstill here\n..\n")
    m = arrived(mail, "alice", "from sendmail")
    assert f"<{me(somebody)}@mx.example.test>" in m["From"]
    assert m["Date"] and m["Message-ID"]
    assert m.get_payload() in (".\nstill here\n..\n", ".\r\nstill here\r\n..\r\n")
    assert "(local)" in m["Received"]


def test_sendmail_reads_recipients_from_the_header(mail, somebody):
    sendmail(mail, "-t", "-oi", user=somebody,
             input="To: Alice <alice@example.test>,\n (x) bob@example.test\nBcc: alice+hidden@example.test\n"
                   "Subject: to all\n\nHello\n")
    for user in ("alice", "bob"):
        m = arrived(mail, user, "to all")
        assert m["Bcc"] is None
        assert "hidden" not in str(m)


def test_sendmail_says_what_is_wrong(mail, somebody):
    def fails(code, *words, **more):
        return sendmail(mail, *words, code=code, user=somebody, **more).stderr
    assert "5.1.1" in fails(67, "nobody-here@example.test")
    assert "no recipients" in fails(64)
    assert "what is -Z" in fails(64, "-Z")
    fails(64, "a@b@c")
    if somebody:
        assert "5.7.1" in fails(77, "-f", "alice@example.test", "bob@example.test")
    got = run(HOLDFAST, "sendmail", "-S", mail.home / "nothing", "bob@example.test", input="x\n", code=75)
    assert "nothing" in got.stderr
    # all or nothing
    before = len(mail.messages("bob"))
    fails(67, "bob@example.test", "nobody-here@example.test")
    sendmail(mail, "bob@example.test", input="Subject: after that\n\n", user=somebody)
    arrived(mail, "bob", "after that")
    assert len(mail.messages("bob")) == before + 1


def test_sendmail_takes_as_many_recipients_as_a_message_may_have(make_server, home, somebody):
    path = home / "submit.sock"
    p = ports()
    server = make_server(start=False, listen=listeners(p, path), tls=True,
                         settings='smtp: { recipients = 300; };\nsubmission: { new-recipients = 0; };\n')
    server.port, server.submit = p["smtp"], path
    server.start()

    def to(n):
        return [f"bob+{i}@example.test" for i in range(n)]
    sendmail(server, "-i", *to(300), user=somebody)
    server.wait_log(r"log=accepted .*rcpts=300 ")
    assert "(smtp.recipients)" in sendmail(server, "-i", *to(301), user=somebody, code=64).stderr
    assert len(re.findall("log=accepted ", server.log())) == 1
    # a link of that name takes no fewer; other commands say what they do not take
    assert "too many arguments" in run(HOLDFAST, "ban", *to(300), code=1).stderr


def test_sendmail_speaks_smtp(mail, somebody):
    got = sendmail(mail, "-bs", user=somebody,
                   input="EHLO here\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nQUIT\r\n")
    assert got.stdout.splitlines()[0].startswith("220 mx.example.test")
    assert "250 2.1.5" in got.stdout


def test_a_link_of_that_name_is_sendmail(mail, tmp_path, somebody):
    link = tmp_path / "sendmail"
    link.symlink_to(HOLDFAST)
    os.chmod(tmp_path, 0o755)
    run(link, "-S", mail.submit, "bob@example.test", input="Subject: by a link\n\nHello\n")
    arrived(mail, "bob", "by a link")


def test_sendmail_goes_on_when_it_was_stopped_for_a_while(mail):
    # the kernel ends its waiting with EINTR then, because it has a time-out
    edges = mail.pids("edge")
    for pid in edges:
        os.kill(pid, signal.SIGSTOP)
    try:
        client = subprocess.Popen([HOLDFAST, "sendmail", "-S", mail.submit, "bob@example.test"],
                                  stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        client.stdin.write(b"Subject: stopped in between\n\nHello\n")
        client.stdin.close()
        call = pathlib.Path(f"/proc/{client.pid}/syscall")
        recvfrom = {"x86_64": "45 ", "aarch64": "207 "}[os.uname().machine]
        wait_for("it to wait for the greeting", lambda: call.read_text().startswith(recvfrom))
        os.kill(client.pid, signal.SIGSTOP)
        os.waitpid(client.pid, os.WUNTRACED)
        os.kill(client.pid, signal.SIGCONT)
    finally:
        for pid in edges:
            os.kill(pid, signal.SIGCONT)
    assert client.wait(PATIENCE) == 0, client.stderr.read()
    arrived(mail, "bob", "stopped in between")


# ---- other mechanisms --------------------------------------------------------------------------


def client_certificate(home, address):
    """An authority, and a certificate of it for that address."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=home)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "30", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=somebody", "-addext", f"subjectAltName=email:{address}",
            "-keyout", f"{address}.key", "-out", f"{address}.csr")
    openssl("x509", "-req", "-in", f"{address}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "30", "-copy_extensions", "copy", "-out", f"{address}.crt")
    return home / f"{address}.crt", home / f"{address}.key"


def certificate_of_another(home, address, name):
    """An authority below the one that client_certificate() has made there, and one of its clients."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=home)
    for who, also in ("between", "basicConstraints=critical,CA:TRUE"), (name, f"subjectAltName=email:{address}"):
        by = "ca" if who == "between" else "between"
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={who}", "-addext", also, "-keyout", f"{who}.key", "-out", f"{who}.csr")
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", f"{by}.crt", "-CAkey", f"{by}.key",
                "-CAcreateserial", "-days", "30", "-copy_extensions", "copy", "-out", f"{who}.crt")
    chain = home / f"{name}.chain"
    chain.write_text((home / f"{name}.crt").read_text() + (home / "between.crt").read_text())
    return chain, home / f"{name}.key"


@pytest.fixture(scope="module")
def other():
    """A server with all mechanisms."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    home.chmod(0o755)
    p = ports()
    cert = client_certificate(home, "alice@example.test")
    server = Server(
        home, tls=True, listen=listeners(p, home / "submit.sock"),
        settings='auth: { mechanisms = "plain scram-sha-256 scram-sha-256-plus external"; delay = "0s";\n'
                 f'client-authorities = "{home / "ca.crt"}"; }};\n')
    server.port, server.ports, server.client = p["smtp"], p, cert
    server.far_client = certificate_of_another(home, "alice@example.test", "far")
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


def over_tls(server, cert=None, version=None):
    context = trusting(server)
    if cert:
        context.load_cert_chain(*cert)
    if version:
        context.maximum_version = version
    s = smtplib.SMTP_SSL(HOST, server.ports["submissions"], timeout=PATIENCE, context=context)
    s.ehlo("laptop.example")
    return s


def test_a_client_certificate_is_a_login(other):
    with over_tls(other, other.client) as s:
        assert "EXTERNAL" in s.esmtp_features["auth"]
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 235
        assert s.mail("bob@example.test")[0] == 553
        assert s.mail("alice@example.test")[0] == 250
    with over_tls(other) as s:
        assert "EXTERNAL" not in s.esmtp_features["auth"]
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 504
        assert s.login("alice@example.test", other.password)[0] == 235


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_brings_the_certificates_in_between_along(other, version):
    with over_tls(other, other.far_client, version) as s:
        assert s.sock.version() == version.name.replace("_", ".")
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 235
        assert s.mail("alice@example.test")[0] == 250


def test_who_came_with_a_certificate_gets_no_ticket_to_come_back_with(other):
    """It would hold the certificate, and not those in between, which auth wants to see."""
    context = trusting(other)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*other.far_client)
    with smtplib.SMTP_SSL(HOST, other.ports["submissions"], timeout=PATIENCE, context=context) as s:
        s.ehlo("laptop.example")
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 235
        assert not s.sock.session.has_ticket
    context = trusting(other)
    with smtplib.SMTP_SSL(HOST, other.ports["submissions"], timeout=PATIENCE, context=context) as s:
        s.ehlo("laptop.example")
        assert s.sock.session.has_ticket


def test_a_certificate_of_another_authority_is_none(other, tmp_path):
    cert = client_certificate(tmp_path, "alice@example.test")
    with over_tls(other, cert) as s:
        assert "EXTERNAL" not in s.esmtp_features["auth"]
        assert s.docmd("AUTH", "EXTERNAL =")[0] == 504


def b64(data):
    return base64.b64encode(data).decode()


def scram(s, user, password, gs2=b"n,,", binding=b"", name="SCRAM-SHA-256"):
    """RFC 5802, 3: the code that the server ends with."""
    bare = b"n=" + user.encode() + b",r=fyko+d2lbbFgONRv9qkxdawL"
    code, answer = s.docmd("AUTH", f"{name} {b64(gs2 + bare)}")
    if code != 334:
        return code
    first = base64.b64decode(answer)
    said = dict(part.split(b"=", 1) for part in first.split(b","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(said[b"s"]),
                                 int(said[b"i"]))

    def mac(key, text):
        return hmac.new(key, text, "sha256").digest()
    key = mac(salted, b"Client Key")
    final = b"c=" + base64.b64encode(gs2 + binding) + b",r=" + said[b"r"]
    text = bare + b"," + first + b"," + final
    proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), text)))
    code, answer = s.docmd(b64(final + b",p=" + base64.b64encode(proof)))
    if code != 334:
        return code
    assert base64.b64decode(answer) == b"v=" + base64.b64encode(mac(mac(salted, b"Server Key"), text))
    return s.docmd("")[0]


def test_scram(other):
    with over_tls(other) as s:
        assert scram(s, "alice@example.test", "wrong") == 535
        assert scram(s, "nobody@example.test", "wrong") == 535
        assert scram(s, "alice@example.test", other.password) == 235
        assert s.mail("alice@example.test")[0] == 250


def test_scram_is_bound_to_its_connection(other):
    def end_point(s):
        return hashlib.sha256(s.sock.getpeercert(binary_form=True)).digest()
    gs2, name = b"p=tls-server-end-point,,", "SCRAM-SHA-256-PLUS"
    with over_tls(other, version=ssl.TLSVersion.TLSv1_2) as s:
        assert name in s.esmtp_features["auth"]
        assert scram(s, "alice@example.test", other.password, gs2, bytes(32), name) == 535
        assert scram(s, "alice@example.test", other.password, gs2, end_point(s), name) == 235


class OverOpenssl:
    """A connection of `openssl s_client`, which says what both ends export of TLS 1.3, as Python does not."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"{HOST}:{server.ports['submissions']}", "-tls1_3", "-nocommands",
             "-ign_eof", "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        told = ""
        while not (line := self.process.stdout.readline()).startswith("220 "):
            assert line, told
            told += line
        self.exported = bytes.fromhex(re.search(r"Keying material: ([0-9A-F]{64})$", told, re.M)[1])
        assert self.docmd("EHLO laptop.example")[0] == 250

    def docmd(self, *words):
        self.process.stdin.write(" ".join(words) + "\r\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if re.match(r"\d{3} ", line):
                return int(line[:3]), line[4:].rstrip("\r\n").encode()
        return 0, b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()


def test_scram_is_bound_to_what_both_ends_export(other):
    gs2, name = b"p=tls-exporter,,", "SCRAM-SHA-256-PLUS"
    with OverOpenssl(other) as s:
        assert scram(s, "alice@example.test", other.password, gs2, bytes(32), name) == 535
        assert scram(s, "alice@example.test", other.password, gs2, s.exported, name) == 235
    # of one connection for another: somebody in between has two
    with OverOpenssl(other) as s, OverOpenssl(other) as another:
        assert scram(s, "alice@example.test", other.password, gs2, another.exported, name) == 535


# ---- who is logged in

def test_the_sessions_of_a_user_are_shown_and_ended_by_name(mail):
    def sessions(user):
        return [json.loads(line)
                for line in mail.cli("sessions", "--user", user, "--json").splitlines()]

    # two whom no other test has logged in: such sessions may still be there
    hers = [log_in(mail, "carol")[0] for _ in range(3)]
    his = log_in(mail, "dave")[0]
    wait_for("her seats", lambda: len(sessions("carol@example.test")) == 3)
    wait_for("his seat", lambda: len(sessions("dave@example.test")) == 1)
    assert {row["user"] for row in sessions("Carol@Example.Test")} == {"carol@example.test"}
    assert sessions("nobody@example.test") == []
    said = mail.cli("kick", "carol@example.test")
    assert "3 sessions of carol@example.test" in said
    wait_for("her sessions to end", lambda: sessions("carol@example.test") == [])
    for s in hers:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            while True:  # the 421 comes first
                s.noop()
        s.close()
    assert his.noop()[0] == 250
    his.quit()
