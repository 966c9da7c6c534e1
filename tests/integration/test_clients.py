"""Real clients deliver: each message arrives once and byte for byte."""
import smtplib
import ssl
import subprocess

from conftest import PATIENCE, free_port
from postfix import Postfix, needs_postfix

MESSAGE = (b"From: Sender <sender@client.example>\r\nTo: alice@example.test\r\n"
           b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"
           b"one\r\n.leading dot\r\n..two dots\r\n.\x20\r\n\r\nlast line\r\n")


def body_as_sent(raw):
    """What the client sent: without the fields that the server put in front of it."""
    return raw[raw.index(b"From: "):].replace(b"\r\n", b"\n")


def expect_one(server, sent=MESSAGE):
    got = server.wait_messages("alice", 1)[0]
    assert body_as_sent(got) == sent.replace(b"\r\n", b"\n")
    return got


def test_smtplib_delivers_a_message_with_its_trace(server):
    with server.smtp(local_hostname="client.example") as s:
        s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    head = expect_one(server).split(b"From: ")[0].decode()
    assert "Return-Path: <sender@client.example>" in head
    assert "Delivered-To: alice@example.test" in head
    assert "from client.example ([127.0.0.1])" in head.replace("\r", "").replace("\n", " ").replace("\t", "")
    assert "by mx.example.test with ESMTP id" in " ".join(head.split())
    assert "for <alice@example.test>" in " ".join(head.split())


def test_swaks_delivers(server):
    subprocess.run(["swaks", "--server", f"127.0.0.1:{server.port}", "--from", "sender@client.example",
                    "--to", "alice@example.test,bob@example.test", "--body", "hello from swaks"],
                   check=True, capture_output=True, timeout=PATIENCE)
    assert b"hello from swaks" in server.wait_messages("alice", 1)[0]
    assert b"hello from swaks" in server.wait_messages("bob", 1)[0]


def test_swaks_delivers_over_starttls(tls_server):
    subprocess.run(["swaks", "--server", f"127.0.0.1:{tls_server.port}", "--tls",
                    "--from", "sender@client.example", "--to", "alice@example.test"],
                   check=True, capture_output=True, timeout=PATIENCE)
    head = " ".join(tls_server.wait_messages("alice", 1)[0].decode().split())
    assert "with ESMTPS" in head and "TLSv1.3" in head


def test_curl_delivers(server, tmp_path):
    (tmp_path / "mail").write_bytes(MESSAGE)
    subprocess.run(["curl", "-sS", f"smtp://127.0.0.1:{server.port}/client.example",
                    "--mail-from", "sender@client.example", "--mail-rcpt", "alice@example.test",
                    "-T", tmp_path / "mail"], check=True, capture_output=True, timeout=PATIENCE)
    expect_one(server)


def test_msmtp_delivers(server):
    subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={server.port}", "--domain=client.example",
                    "--from=sender@client.example", "--auth=off", "--tls=off", "alice@example.test"],
                   input=MESSAGE.replace(b"\r\n", b"\n"), check=True, capture_output=True,
                   timeout=PATIENCE)
    expect_one(server)


def test_openssl_s_client_speaks_starttls(tls_server):
    got = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-crlf", "-quiet",
                          "-ign_eof", "-connect", f"127.0.0.1:{tls_server.port}"],
                         input=b"EHLO client.example\nQUIT\n", capture_output=True, timeout=PATIENCE)
    assert b"250-PIPELINING" in got.stdout and b"STARTTLS" not in got.stdout
    assert b"221" in got.stdout


def test_implicit_tls_and_server_name(make_server):
    port = free_port()
    server = make_server(start=False, tls=True)
    text = server.config.read_text().replace(
        "listen = (", f'listen = ( {{ address = "127.0.0.1:{port}"; service = "smtp"; tls = "implicit"; }},')
    server.config.write_text(text)
    server.start()
    context = ssl.create_default_context(cafile=str(server.cert))
    context.check_hostname = False
    with smtplib.SMTP_SSL("127.0.0.1", port, "client.example", context=context, timeout=PATIENCE) as s:
        s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    expect_one(server)


def test_several_recipients_and_bdat(server):
    talk = server.talk().hello().envelope("alice", "bob")
    talk.send(b"BDAT %d\r\n" % 10 + MESSAGE[:10])
    assert talk.reply().startswith(b"250")
    talk.send(b"BDAT %d LAST\r\n" % (len(MESSAGE) - 10) + MESSAGE[10:])
    assert talk.reply().startswith(b"250")
    assert talk.ask("QUIT").startswith(b"221")
    expect_one(server)
    assert len(server.wait_messages("bob", 1)) == 1


def test_a_large_message_goes_through_a_file(server):
    big = MESSAGE + (b"x" * 70 + b"\r\n") * 120000
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], big)
    expect_one(server, big)


def test_pipelined_session(server):
    talk = server.talk().hello()
    talk.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<nobody@example.test>\r\n"
              b"RCPT TO:<alice@example.test>\r\nDATA\r\n")
    assert [talk.reply()[:3] for _ in range(4)] == [b"250", b"550", b"250", b"354"]
    talk.send(MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\nQUIT\r\n")
    assert talk.reply().startswith(b"250")
    assert talk.reply().startswith(b"221")
    expect_one(server)


def test_unknown_users_and_foreign_domains_are_refused_at_rcpt(server):
    talk = server.talk().hello()
    assert talk.ask("MAIL FROM:<>").startswith(b"250")
    assert talk.ask("RCPT TO:<nobody@example.test>").startswith(b"550 5.1.1")
    assert talk.ask("RCPT TO:<someone@elsewhere.example>").startswith(b"554 5.7.1")
    assert talk.ask("RCPT TO:<Alice+tag@EXAMPLE.test>").startswith(b"250")
    assert talk.ask("QUIT").startswith(b"221")


def test_aliases_and_catch_all(server):
    server.cli("alias", "add", "team@example.test", "alice@example.test", "bob@example.test")
    server.cli("domain", "add", "other.test", "--catch-all", "bob@example.test")
    server.wait_known("team@example.test")
    server.wait_known("anybody@other.test")
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["team@example.test", "anybody@other.test"], MESSAGE)
    assert len(server.wait_messages("alice", 1)) == 1
    assert len(server.wait_messages("bob", 1)) == 1


def test_mbsync_reads_the_maildir(server, home):
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    server.wait_messages("alice", 1)
    for name in ("none", "copy"):
        (home / name).mkdir()
    (home / "mbsyncrc").write_text(
        f"MaildirStore server\nPath {home}/none/\nInbox {server.maildir('alice')}\n\n"
        f"MaildirStore local\nPath {home}/copy/\nInbox {home}/copy/inbox\n\n"
        "Channel mail\nFar :server:\nNear :local:\nCreate Near\nSync Pull New\nSyncState *\n")
    subprocess.run(["mbsync", "-c", home / "mbsyncrc", "mail"], check=True, capture_output=True,
                   timeout=PATIENCE)
    copies = [f.read_bytes() for part in ("new", "cur") for f in (home / "copy/inbox" / part).iterdir()]
    assert len(copies) == 1 and b"last line" in copies[0]


@needs_postfix
def test_postfix_relays_to_us(server, home):
    """A Postfix of its own directories, whose next hop is this server."""
    with Postfix(home / "postfix", relayhost=f"[127.0.0.1]:{server.port}") as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=PATIENCE) as s:
            s.sendmail("sender@client.example", ["alice@example.test", "bob@example.test"], MESSAGE)
        body = MESSAGE.split(b"\r\n\r\n", 1)[1]
        assert server.wait_messages("alice", 1)[0].endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))
        server.wait_messages("bob", 1)
