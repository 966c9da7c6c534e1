"""Who came in lately: their mailbox server is called while their password is looked at."""
import contextlib
import imaplib
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from conftest import PATIENCE, free_port, wait_for
from line_mailboxes import Mailboxes
from mailboxes import certificate, make_front

ANN, BEN = "ann@example.test", "ben@example.test"
PASSWORD = "correct horse battery"
ALONE = "[AUTHENTICATIONFAILED]"


@pytest.fixture
def front():
    """With passwords of its own, and one worker, so that it knows who came in lately."""
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    imap = free_port()
    (top / "home").mkdir(mode=0o755)
    server = make_front(
        top / "home", certificate(top), [f'{{ name = "far"; imap = "127.0.0.1:{imap}"; }}'],
        users=("ann", "ben"), sources='( { kind = "database"; } )',
        auth='without-tls = true; delay = "0s"; remember-right = "0s";',
        settings="run: { edges = 1; };\nmailbox: { per-user-network = 2; check-every = \"5m\"; };\n"
                 "guard: { mode = \"enforce\"; connect-rate = 0; };\n")
    with Mailboxes(imap) as far:
        yield server.start(), far
        server.stop()
    for line in server.log().splitlines():
        assert "AddressSanitizer" not in line and "runtime error" not in line, line
    shutil.rmtree(top, ignore_errors=True)


def log_in(server, user=ANN, password=PASSWORD):
    """The session, or the refusal."""
    m = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    try:
        m.login(user, password)
    except imaplib.IMAP4.error as e:
        m.shutdown()
        return str(e)
    return m


def come_and_go(server, user=ANN):
    m = log_in(server, user)
    assert not isinstance(m, str), m
    m.logout()


def calls(far):
    """Connections; not those that only ask whether it is there."""
    return [lines for lines in far.talks if not any("LOGOUT" in line for line in lines[:1])]


def logins(far):
    return [line for lines in calls(far) for line in lines if " LOGIN " in line]


def test_one_who_came_in_lately_is_called_for_ahead_and_the_server_hears_nothing_of_a_refused_one(front):
    server, far = front
    come_and_go(server)
    assert (len(calls(far)), len(logins(far))) == (1, 1)
    # the wrong password is told to nobody, but the call was begun
    assert ALONE in log_in(server, password="wrong")
    wait_for("the call that nobody needed", lambda: len(calls(far)) == 2)
    assert calls(far)[1] in ([], ["h1 CAPABILITY"])
    # and only once
    assert ALONE in log_in(server, password="wrong")
    assert ALONE in log_in(server, password="wrong too")
    come_and_go(server)
    assert (len(calls(far)), len(logins(far))) == (3, 2)
    # what was begun ahead is what is logged in with
    come_and_go(server)
    come_and_go(server)
    assert (len(calls(far)), len(logins(far))) == (5, 4)


def test_nobody_is_called_ahead_for_others(front):
    server, far = front
    come_and_go(server)
    for password in "wrong", "wrong too":
        assert ALONE in log_in(server, BEN, password)
    come_and_go(server, BEN)
    assert (len(calls(far)), len(logins(far))) == (2, 2)


def test_one_who_is_over_the_limit_is_called_ahead_no_more(front):
    server, far = front
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.callback(log_in(server).logout)
        for _ in range(20):
            assert "[LIMIT]" in log_in(server)
        assert len(logins(far)) == 2
        assert len(calls(far)) <= 3
    assert not server.log().count("log=backend"), server.log()


def test_a_server_that_leaves_while_it_is_not_needed_yet_is_called_again(front):
    server, far = front
    come_and_go(server)
    times = iter([True])
    # not at LOGOUT: that may be of who came before, or of who only asks whether it is there
    far.leaves = lambda line: "CAPABILITY" in line and next(times, False)
    auth, = server.pids("auth")
    os.kill(auth, signal.SIGSTOP)  # so long nobody is let in
    try:
        got = []
        waits = threading.Thread(target=lambda: got.append(log_in(server)))
        waits.start()
        wait_for("it to leave", lambda: len(calls(far)) == 2 and not far.there)
    finally:
        os.kill(auth, signal.SIGCONT)
    waits.join(PATIENCE)
    got[0].logout()
    assert next(times, "left") == "left"
    assert len(logins(far)) == 2
    # somebody may be asking whether it is there, of whom only the first word tells that
    wait_for("three calls", lambda: len(calls(far)) == 3)
    come_and_go(server)


def test_a_server_that_greets_late_is_waited_for_all_the_same(front):
    server, far = front
    come_and_go(server)
    wait_for("nobody to be there", lambda: not far.there)
    far.greets.clear()
    got = []
    waits = threading.Thread(target=lambda: got.append(log_in(server)))
    waits.start()
    wait_for("the call", lambda: len(far.there) == 1)
    far.greets.set()
    waits.join(PATIENCE)
    got[0].logout()
    assert len(logins(far)) == 2 and len(calls(far)) == 2


def test_a_server_that_has_gone_meanwhile_is_told_as_such_once_somebody_waits_for_it(front):
    server, far = front
    come_and_go(server)
    far.server.shutdown()
    far.server.server_close()
    assert "[UNAVAILABLE]" in log_in(server)
    # nobody hears that from a wrong password
    assert ALONE in log_in(server, password="wrong")
