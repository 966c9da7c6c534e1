"""Certificates by name, by reload, and behind a proxy, as clients see them."""
import contextlib
import smtplib
import socket
import ssl

import pytest

from conftest import PATIENCE, free_port, self_signed, wait_for

MESSAGE = b"From: sender@client.example\r\nSubject: inside TLS\r\n\r\nhello\r\n"


def anything():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def names_of(sock):
    """The DNS names in the certificate that the server showed."""
    from subprocess import run
    pem = ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True))
    text = run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=pem, check=True,
               capture_output=True, text=True).stdout
    return text.split("\n", 1)[1].replace("DNS:", "").split()[0].rstrip(",")


@pytest.fixture
def tls_port(make_server, home):
    """A server with three certificates and an implicit-TLS port besides the usual one."""
    certificates = ""
    for name, more in (("mx.example.test", ()), ("other.test", ()), ("*.wild.test", ())):
        cert, key = self_signed(home, name, *more)
        certificates += f'{{ cert = "{cert}"; key = "{key}"; }},'
    server = make_server(start=False)
    server.tls_port = free_port()
    text = server.config.read_text().replace(
        "listen = (",
        f'listen = ( {{ address = "127.0.0.1:{server.tls_port}"; service = "smtp"; tls = "implicit"; }},')
    server.config.write_text(text + f"tls: {{ certificates = ( {certificates.rstrip(',')} ); }};\n")
    return server.start()


def connect(port, name):
    raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
    return anything().wrap_socket(raw, server_hostname=name)


@pytest.mark.parametrize("asked, shown", [
    ("mx.example.test", "mx.example.test"),
    ("other.test", "other.test"),
    ("OTHER.test", "other.test"),
    ("host.wild.test", "*.wild.test"),
    ("two.levels.wild.test", "mx.example.test"),
    ("unknown.test", "mx.example.test"),
    (None, "mx.example.test"),
])
def test_the_name_that_is_asked_for_chooses_the_certificate(tls_port, asked, shown):
    with connect(tls_port.tls_port, asked) as s:
        assert names_of(s) == shown
        assert s.recv(100).startswith(b"220")


def test_a_reload_changes_certificates_and_no_session(make_server, home):
    server = make_server(tls=True)
    old = smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE)
    old.starttls(context=anything())
    assert names_of(old.sock) == "mx.example.test"
    cert, key = self_signed(home, "renewed.test")
    server.cert.write_bytes(cert.read_bytes())
    (home / "mx.example.test.key").write_bytes(key.read_bytes())
    server.cli("reload")

    def renewed():
        with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE) as s:
            s.starttls(context=anything())
            return names_of(s.sock) == "renewed.test"
    wait_for("the new certificate", renewed)
    assert old.sendmail("sender@client.example", ["alice@example.test"], MESSAGE) == {}
    old.quit()
    server.wait_messages("alice", 1)


def test_a_proxy_header_comes_before_the_handshake(make_server):
    server = make_server(start=False, tls=True, users=(), settings='proxy-from = [ "127.0.0.1" ];')
    server.config.write_text(server.config.read_text().replace(
        'service = "smtp";', 'service = "smtp"; tls = "implicit"; proxy = true;'))
    server.start()
    for header in (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n",
                   b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1]) +
                   b"\x12\x67\0\x19"):
        raw = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        raw.sendall(header)  # the ClientHello may come in the same packet or later
        with anything().wrap_socket(raw) as s:
            assert s.recv(100).startswith(b"220")
            s.sendall(b"QUIT\r\n")
            assert s.recv(100).startswith(b"221")
    server.wait_log(r"log=session .*peer=192\.0\.2\.7 .*tls=TLSv1\.[23]")


def test_a_handshake_may_come_one_byte_at_a_time(tls_port):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = anything().wrap_bio(incoming, outgoing, server_hostname="other.test")
    with socket.create_connection(("127.0.0.1", tls_port.tls_port), PATIENCE) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    raw.sendall(bytes([byte]))
                incoming.write(raw.recv(65536))
        raw.sendall(outgoing.read())
        while True:
            try:
                assert tls.read(100).startswith(b"220")
                break
            except ssl.SSLWantReadError:
                incoming.write(raw.recv(65536))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_whichever_edge_answers_resumes_a_session_by_its_ticket(tls_port, version):
    context = anything()
    context.minimum_version = context.maximum_version = version

    def talk(session):
        raw = socket.create_connection(("127.0.0.1", tls_port.tls_port), PATIENCE)
        with context.wrap_socket(raw, session=session) as s:
            assert s.recv(100).startswith(b"220")
            s.sendall(b"QUIT\r\n")
            assert s.recv(100).startswith(b"221")
            return s.session, s.session_reused

    def all_are_new(old):
        now = tls_port.pids("edge")
        return len(now) >= len(old) and not now.keys() & old.keys()
    session, reused = talk(None)
    assert not reused
    assert talk(session)[1]
    tls_port.cli("reload")
    assert talk(session)[1]
    old = tls_port.kill_role("edge")
    wait_for("new edges", lambda: all_are_new(old))
    assert talk(session)[1]
    old = tls_port.pids("edge")
    tls_port.cli("upgrade")
    wait_for("the new program's edges", lambda: all_are_new(old))
    assert talk(session)[1]


def test_a_silent_handshake_ends_in_time(make_server):
    server = make_server(start=False, tls=True, users=())
    server.config.write_text(server.config.read_text().replace(
        'service = "smtp";', 'service = "smtp"; tls = "implicit";').replace(
        "tls: {", 'tls: { handshake-timeout = "1s";'))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as s:
        with contextlib.suppress(ConnectionResetError):
            assert s.recv(100) == b""
    server.wait_log(r"log=session .*end=(tls|timeout)")
