"""Clients that send a login and hang up before its answer: now and then, and again and again."""
import base64
import contextlib
import json
import os
import signal
import socket

import pytest

from conftest import PATIENCE, Server, free_port, wait_for

HOST = "127.0.0.1"
OFTEN, SELDOM = 100, 4


@pytest.fixture
def server(home):
    ports = {service: free_port() for service in ("imap", "pop3", "submission")}
    listen = ", ".join(f'{{ address = "{HOST}:{port}"; service = "{service}"; }}'
                       for service, port in ports.items())
    smtp, nobody = free_port(), free_port()
    server = Server(
        home, listen=f'listen = ( {{ address = "{HOST}:{smtp}"; service = "smtp"; }}, {listen} );',
        settings=f'backends = ( {{ name = "away"; imap = "{HOST}:{nobody}"; }} );\n'
                 'run: { silence = "60s"; edges = 1; };\n'
                 'guard: { mode = "enforce"; connect-rate = 0; };\n')
    server.port, server.ports = smtp, ports
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        yield server.start()


def greeted(server, service, source):
    """A connection that was greeted; None: it was refused."""
    one = socket.create_connection((HOST, server.ports[service]), PATIENCE, (source, 0))
    lines = one.makefile("rb")
    with contextlib.suppress(ConnectionResetError):
        if lines.readline().startswith((b"* OK", b"+OK", b"220")):
            return one, lines
    lines.close()
    one.close()
    return None


def answer(lines, ends):
    while line := lines.readline():
        if line.startswith(ends):
            return line
    return b""


def log_in(one, lines, service, password):
    """All that a login takes, but for its answer."""
    if service == "imap":
        one.sendall(f'a LOGIN alice@example.test "{password}"\r\n'.encode())
    elif service == "pop3":
        one.sendall(b"USER alice@example.test\r\n")
        assert answer(lines, b"+OK")
        one.sendall(f"PASS {password}\r\n".encode())
    else:
        one.sendall(b"EHLO client.example\r\n")
        assert answer(lines, b"250 ")
        secret = base64.b64encode(f"\0alice@example.test\0{password}".encode())
        one.sendall(b"AUTH PLAIN " + secret + b"\r\n")


def counted(server):
    rows = map(json.loads, server.cli("counters", "--json").splitlines())
    return next(row["count"] for row in rows if row["name"] == "auth-aborted")


def hang_up(server, service, source):
    """False: it was refused at connect."""
    before = counted(server)
    got = greeted(server, service, source)
    if not got:
        return False
    one, lines = got
    log_in(one, lines, service, server.password)
    lines.close()
    one.close()
    wait_for("the hang-up to be noticed", lambda: counted(server) > before)
    return True


def beats(server):
    return next(row["beats"] for row in map(json.loads, server.cli("roles", "--json").splitlines())
                if row["role"] == "auth")


@contextlib.contextmanager
def slow_auth(server):
    """Its answers take long. Nobody may be silent for longer than a minute, or another auth takes its place."""
    auth, = server.pids("auth")
    os.kill(auth, signal.SIGSTOP)
    before = beats(server)
    try:
        yield
    finally:
        os.kill(auth, signal.SIGCONT)
    wait_for("auth to go on", lambda: beats(server) != before)


def test_who_hangs_up_before_the_answer_now_and_then_gets_in_and_who_does_it_without_end_does_not(server):
    services = {"imap": "127.8.1.1", "pop3": "127.8.2.1", "submission": "127.8.3.1"}
    for number, (service, source) in enumerate(services.items(), 1):
        with slow_auth(server):
            assert all(hang_up(server, service, f"127.9.{number}0.1") for _ in range(SELDOM)), service
            times = next(n for n in range(OFTEN) if not hang_up(server, service, source))
            assert times > SELDOM, (service, times)
    for number, (service, source) in enumerate(services.items(), 1):
        told = {row["part"]: row for row in map(
            json.loads, server.cli("explain", source, "--json").splitlines())}
        assert told["diagnosis"]["is"] == "flooder", told
        assert "times auth-aborted" in told["diagnosis"]["because"], told
        one, lines = greeted(server, service, f"127.9.{number}0.1")
        with contextlib.closing(one), contextlib.closing(lines):
            log_in(one, lines, service, server.password)
            said = answer(lines, {"imap": b"a ", "pop3": (b"+OK", b"-ERR"), "submission": (b"235", b"5")}[service])
            # the mailbox server for IMAP is not there: the password was right all the same
            assert said.startswith((b"a NO [UNAVAILABLE]", b"+OK", b"235")), (service, said)
    assert "auth-aborted" in server.cli("events")
