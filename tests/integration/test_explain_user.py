"""What `explain USER` knows from others: that the account is disabled, and that its mail is held."""
import contextlib
import json
import os
import shlex
import signal
import smtplib

import pytest

from conftest import PATIENCE, Server, free_port, wait_for

ALICE = "alice@example.test"


@pytest.fixture
def server(home):
    smtp, submission = free_port(), free_port()
    server = Server(
        home, listen=f'listen = ( {{ address = "127.0.0.1:{smtp}"; service = "smtp"; }},'
                     f' {{ address = "127.0.0.1:{submission}"; service = "submission"; }} );',
        settings='submission: { messages = 1; };\nauth: { delay = "0s"; };\nrun: { silence = "60s"; };\n')
    server.port, server.submission = smtp, submission
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        yield server.start()


def said_now(server, user=ALICE):
    rows = map(json.loads, server.cli("explain", user, "--json").splitlines())
    return {row["part"]: row for row in rows}


def parts(server, user=ALICE):
    """What is said when both have answered: they have few milliseconds for it."""
    return wait_for("auth and the store to answer in time",
                    lambda: "unknown" not in (told := said_now(server, user)) and told)


def status(server):
    return json.loads(server.cli("status", "--json").splitlines()[0])


def lift(server, command):
    words = shlex.split(command)
    assert words[0] == "holdfast"
    server.cli(*words[1:], *(["--yes"] if words[1] == "queue" else []))


@contextlib.contextmanager
def logged_in(server):
    with smtplib.SMTP("127.0.0.1", server.submission, timeout=PATIENCE) as client:
        client.login(ALICE, server.password)
        yield client


def test_a_disabled_account_says_so_since_when_and_what_enables_it(server):
    told = parts(server)
    assert told["verdict"]["disabled"] is False and "disabled" not in told, told
    server.cli("user", "disable", ALICE)
    told = parts(server, "Alice")  # as she may write it
    assert told["verdict"]["disabled"] is True and told["verdict"]["state"].startswith("disabled"), told
    assert told["disabled"]["since"].startswith("20"), told
    with pytest.raises(smtplib.SMTPAuthenticationError), logged_in(server):
        pass
    wait_for("what enables it to be told to people as well",
             lambda: "holdfast user enable alice@example.test" in server.cli("explain", ALICE))
    lift(server, told["disabled"]["lift"])
    with logged_in(server):
        pass
    assert "disabled" not in parts(server)


def test_held_mail_is_counted_and_told_with_what_releases_it(server):
    assert status(server)["held"] == 0 and "held-mail" not in parts(server)
    with logged_in(server) as client:
        for n in range(4):
            client.sendmail(ALICE, ["bob@example.test"], f"Subject: {n}\r\n\r\nhello\r\n")
    server.wait_messages("bob", 1)
    wait_for("status to count what is held", lambda: status(server)["held"] == 3)
    held = parts(server)["held-mail"]
    assert held["messages"] == 3 and held["since"].startswith("20") and held["incident"] > 0, held
    assert "held-mail" not in parts(server, "bob@example.test")
    # the count is of the queue, and not of the process
    gone = server.kill_role("store")
    wait_for("another store", lambda: (now := server.pids("store")) and not set(now) & set(gone))
    wait_for("the count to be back", lambda: status(server)["held"] == 3)
    wait_for("the store to answer", lambda: parts(server).get("held-mail"))
    lift(server, held["lift"])
    wait_for("the rest of it", lambda: len(server.messages("bob")) >= 4)
    wait_for("status to count none", lambda: status(server)["held"] == 0)
    assert "held-mail" not in parts(server)


def test_who_does_not_answer_in_time_is_not_waited_for(server):
    auth, = server.pids("auth")
    os.kill(auth, signal.SIGSTOP)
    try:
        told = wait_for("the store to answer in time",
                        lambda: "held-mail" not in (told := said_now(server))["unknown"] and told)
    finally:
        os.kill(auth, signal.SIGCONT)
    assert told["verdict"]["state"] == "let in" and "disabled" not in told["verdict"], told
    assert "auth did not answer" in told["unknown"]["disabled"], told
    parts(server)  # it answers again
