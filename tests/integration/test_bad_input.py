"""Bad input gets a clear refusal, loses nothing, and the next client is served."""
import socket
import ssl

import pytest

from conftest import PATIENCE
from test_clients import MESSAGE, expect_one


def still_serves(server):
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], MESSAGE)
    expect_one(server)


def read_all(sock):
    got = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return got
            got += piece
    except ConnectionResetError:
        return got


def test_a_nul_in_a_command_is_refused(server):
    talk = server.talk().hello()
    assert talk.ask(b"MAIL FROM:<a\0b@client.example>\r\n").startswith(b"50")
    still_serves(server)


def test_eight_bit_bytes_in_a_command_need_smtputf8(server):
    talk = server.talk().hello()
    assert talk.ask("MAIL FROM:<grüße@client.example>".encode() + b"\r\n")[:1] == b"5"
    assert talk.ask("MAIL FROM:<grüße@client.example> SMTPUTF8".encode() + b"\r\n").startswith(b"250")


def test_a_line_of_a_megabyte_is_refused_and_the_session_goes_on(server):
    talk = server.talk().hello()
    talk.send(b"NOOP " + b"x" * (1 << 20) + b"\r\n")
    assert talk.reply().startswith(b"500 5.5.2")
    assert talk.ask("NOOP").startswith(b"250")


def test_a_body_line_of_a_megabyte_is_delivered_whole(server):
    long = b"From: a@client.example\r\n\r\n" + b"x" * (1 << 20) + b"\r\n"
    with server.smtp() as s:
        s.sendmail("sender@client.example", ["alice@example.test"], long)
    expect_one(server, long)


def test_ten_thousand_recipients_meet_the_limit(server):
    talk = server.talk().hello()
    assert talk.ask("MAIL FROM:<a@client.example>").startswith(b"250")
    assert talk.ask("RCPT TO:<alice@example.test>").startswith(b"250")
    codes = []
    for start in range(0, 10000, 500):
        talk.send("".join(f"RCPT TO:<alice+{i}@example.test>\r\n" for i in range(start, start + 500)))
        for _ in range(500):
            codes.append(talk.reply()[:3])
    assert codes.count(b"250") == 999 and codes.count(b"452") == 9001
    talk.close()
    still_serves(server)


@pytest.mark.parametrize("lie", ["BDAT", "BDAT x", "BDAT -1", "BDAT 99999999999999999999", "BDAT 5 FIRST",
                                 "BDAT 5 LAST more"])
def test_a_malformed_bdat_ends_in_a_refusal(server, lie):
    talk = server.talk().hello().envelope("alice")
    assert talk.ask(lie)[:1] in (b"5", b"4")
    talk.close()
    still_serves(server)


def test_a_chunk_without_a_transaction_is_swallowed(server):
    talk = server.talk().hello()
    talk.send(b"BDAT 22 LAST\r\nMAIL FROM:<a@b.test>\r\nNOOP\r\n")
    assert talk.reply().startswith(b"503")
    assert talk.reply().startswith(b"250")


SMUGGLES = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\n\0.\r\n"]


@pytest.mark.parametrize("form", SMUGGLES, ids=[repr(f) for f in SMUGGLES])
def test_no_form_of_end_of_data_smuggles_a_message(server, form):
    inner = (b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
             b"From: evil\r\n\r\nsmuggled\r\n.\r\n")
    talk = server.talk().hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    talk.send(b"From: a@client.example\r\n\r\nouter" + form + inner)
    assert talk.reply().startswith(b"554 5.6.0")
    assert talk.ask("QUIT").startswith(b"221"), "the smuggled commands were answered"
    assert server.messages("bob") == []


def test_smuggled_text_stays_text_when_newlines_are_normalised(make_server):
    server = make_server(settings='smtp: { bare-newlines = "normalise"; };')
    talk = server.talk().hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    talk.send(b"From: a@client.example\r\n\r\nouter\n.\nMAIL FROM:<evil@client.example>\r\n.\r\n")
    assert talk.reply().startswith(b"250")
    assert talk.ask("QUIT").startswith(b"221")
    got = server.wait_messages("alice", 1)[0]
    assert b"MAIL FROM:<evil@client.example>" in got


def test_commands_behind_starttls_are_not_run_inside_tls(tls_server):
    talk = tls_server.talk().hello()
    talk.send(b"STARTTLS\r\nMAIL FROM:<evil@client.example>\r\n")
    answer = talk.reply()
    assert answer.startswith(b"554") or answer.startswith(b"421")
    assert talk.reply() == b""


def test_garbage_instead_of_a_tls_handshake_closes_the_session(tls_server):
    talk = tls_server.talk().hello()
    assert talk.ask("STARTTLS").startswith(b"220")
    talk.send(b"\x16\x03\x01\xff\xff" + b"\0" * 200 + b"garbage" * 100)
    read_all(talk.sock)
    with socket.create_connection(("127.0.0.1", tls_server.port), PATIENCE) as s:
        s.recv(1000)
        s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 200 + b"\r\n")
        assert s.recv(1000)[:3] in (b"500", b"554", b"421")
    still_serves(tls_server)


STAGES = ["", "EHLO client.example\r\n", "MAIL FROM:<a@client.example>\r\n", "RCPT TO:<alice@example.test>\r\n",
          "DATA\r\n", "From: x\r\n\r\nhalf a mess", "\r\n.\r"]


@pytest.mark.parametrize("stage", range(len(STAGES)))
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_client_may_vanish_at_any_point(server, stage, reset):
    talk = server.talk()
    talk.reply()
    for i in range(1, stage + 1):
        talk.send(STAGES[i])
        if i <= 4:
            talk.reply()
    if reset:
        talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    talk.close()
    server.wait_log(r"log=session .*end=(hung-up|reset)")
    still_serves(server)


def test_http_is_told_to_go(server):
    talk = server.talk()
    talk.reply()
    talk.send(b"GET / HTTP/1.1\r\nHost: mx\r\n\r\n")
    answer = talk.reply()
    assert answer[:3] in (b"500", b"554", b"421")
    server.wait_log(r"not-smtp")


def test_a_client_cannot_forge_a_log_line(server):
    talk = server.talk()
    talk.reply()
    talk.ask(b'EHLO a" log=accepted from="x\x1b[31m\r\n')
    talk.ask(b'HELO [x\ty=z"]\r\n')
    talk.ask("QUIT")
    talk.close()
    # that of this session: those that looked for the recipients have seen nothing strange
    server.wait_log(r"log=session .*end=quit seen=")
    assert "log=accepted" in server.log()
    for line in server.log().splitlines():
        assert "log=accepted" not in line.split('"')[0::2].__str__()
        assert "\x1b" not in line


def test_vrfy_and_expn_give_nothing_away(server):
    talk = server.talk().hello()
    assert talk.ask("VRFY alice") == talk.ask("VRFY nobody")
    assert talk.ask("EXPN alice") == talk.ask("EXPN nobody")


def test_limits_end_a_session_of_mistakes(make_server):
    server = make_server(settings="smtp: { errors = 5; };")
    talk = server.talk().hello()
    codes = []
    while len(codes) < 6 and b"421" not in codes:  # behind that there is nobody to be asked
        codes.append(talk.ask("RCPT TO:<x@example.test>")[:3])
    assert codes[-1] == b"421"
    server.wait_log(r"end=errors")


def test_deadlines_end_a_silent_session(make_server):
    server = make_server(settings='smtp: { command-timeout = "1s"; };')
    talk = server.talk()
    talk.reply()
    assert talk.reply().startswith(b"421 4.4.2")
    server.wait_log(r"end=timeout")


def test_proxy_header_names_the_client(make_server):
    server = make_server(start=False, settings='proxy-from = [ "127.0.0.1" ];')
    text = server.config.read_text().replace('service = "smtp";', 'service = "smtp"; proxy = true;')
    server.config.write_text(text)
    server.users = ()
    server.start()
    talk = server.talk()
    talk.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n")
    assert talk.reply().startswith(b"220")
    talk.ask("QUIT")
    server.wait_log(r"log=session .*peer=192\.0\.2\.7")
    stranger = server.talk()
    stranger.send(b"EHLO client.example\r\n")
    assert not stranger.reply().startswith(b"220")


def test_xclient_only_from_configured_addresses(make_server):
    server = make_server(settings='xclient-from = [ "127.0.0.2" ];')
    talk = server.talk().hello()
    assert talk.ask("XCLIENT ADDR=192.0.2.7")[:1] == b"5"
    friend = server.talk(source="127.0.0.2").hello()
    assert friend.ask("XCLIENT ADDR=192.0.2.7 NAME=client.example").startswith(b"220")
    assert friend.ask("EHLO again.example").startswith(b"250")
    friend.ask("QUIT")
    server.wait_log(r"log=session .*peer=192\.0\.2\.7")


def test_requiretls_is_refused_cleanly(tls_server):
    talk = tls_server.talk().hello()
    assert talk.ask("MAIL FROM:<a@client.example> REQUIRETLS")[:1] == b"5"
    assert talk.ask("MAIL FROM:<a@client.example>").startswith(b"250")


def test_old_tls_versions_are_refused(tls_server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with tls_server.smtp() as s:
        s.ehlo("client.example")
        with pytest.raises((ssl.SSLError, OSError)):
            s.starttls(context=context)
    still_serves(tls_server)
