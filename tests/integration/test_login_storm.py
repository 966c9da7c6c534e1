"""A program that logs in without end, over the limit of sessions: what it hears, what people are told."""
import contextlib
import imaplib
import json
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from conftest import PATIENCE, wait_for
from mailboxes import Dovecot, backend, certificate, make_front, needs_mailboxes

pytestmark = needs_mailboxes

PASSWORD = "correct horse battery"
ANN, BEN = "ann@example.test", "ben@example.test"
LIMIT = 3


@pytest.fixture(scope="module")
def front():
    top = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
    top.chmod(0o755)
    (top / "home").mkdir()
    (top / "home").chmod(0o755)
    cert = certificate(top)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, top, ignore_errors=True)
        dovecot = stack.enter_context(Dovecot(top / "dovecot", [ANN, BEN], PASSWORD, cert))
        server = make_front(
            top / "home", cert, [backend(dovecot)], auth='delay = "0s"; without-tls = true;',
            settings=f"mailbox: {{ per-user-network = {LIMIT}; }};\n"
                     'log: { interval = "1h"; };\n'  # all of it is one, however long it takes
                     'guard: { mode = "enforce"; connect-rate = 0; };\n')
        stack.callback(server.stop)
        yield server.start()


def come(server, user):
    """A session, or what was said instead."""
    m = imaplib.IMAP4("127.0.0.1", server.ports["imap"], timeout=PATIENCE)
    m.xatom("ID", '("name" "Runner" "version" "7.1")')
    try:
        m.login(user, PASSWORD)
    except imaplib.IMAP4.error as e:
        m.shutdown()
        return str(e)
    return m


def rows(server, *words):
    return [json.loads(line) for line in server.cli(*words, "--json").splitlines()]


def parts(server, *words):
    return {row.pop("part"): row for row in rows(server, *words)}


def ended(session):
    with contextlib.suppress(imaplib.IMAP4.abort, OSError):
        while True:
            session.noop()
    session.shutdown()


@pytest.fixture
def full(front):
    """All the sessions that ann may have."""
    held = []

    def one():
        got = come(front, ANN)
        if not isinstance(got, str):
            held.append(got)
        return len(held) == LIMIT
    wait_for("the sessions of earlier tests to be given back", one)
    yield held
    for m in held:
        with contextlib.suppress(imaplib.IMAP4.abort, OSError):
            m.logout()


def test_the_storm_is_one_record_and_one_sentence_with_the_clients_own_name(front, full):
    refused = [come(front, ANN) for _ in range(60)]
    assert all("[LIMIT]" in r for r in refused), refused
    line = wait_for("the record", lambda: [
        one for one in front.log().splitlines() if "log=runaway-client" in one])
    assert len(line) == 1 and "'Runner 7.1' at 127.0.0.1 is a client that runs away" in line[0]
    told = parts(front, "explain", ANN)
    assert told["diagnosis"]["is"] == "runaway-client"
    assert "'Runner 7.1' at 127.0.0.1" in told["diagnosis"]["says"]
    assert told["history"]["refused-over-limit"] >= 60
    assert told["storm"]["sessions-open"] == LIMIT and told["storm"]["client"] == "Runner 7.1"
    # five lines a minute, not sixty
    failed = [one for one in front.log().splitlines() if "log=login-failed" in one]
    assert len(failed) <= 12, failed
    # the neighbour at the same address, and the sessions that are there
    other = come(front, BEN)
    assert other.select("INBOX")[0] == "OK"
    other.logout()
    assert all(m.noop()[0] == "OK" for m in full)
    assert rows(front, "bans") == []


def test_the_refusal_has_a_code_that_explains_it(front, full):
    said = come(front, ANN)
    code = re.search(r"\[(A[0-9A-Z]{6})\]", said).group(1)
    told = parts(front, "explain", code)
    assert told["code"]["rule"] == "account-sessions", told


def test_sessions_are_shown_by_user_and_kicked_by_user(front, full):
    shown = rows(front, "sessions", "--user", "Ann@example.test")
    assert len(shown) == LIMIT and {row["user"] for row in shown} == {ANN}
    assert {row["state"] for row in shown} == {"reads"}
    other = come(front, BEN)
    assert f"{LIMIT} sessions of {ANN}" in front.cli("kick", ANN)
    for m in full:
        ended(m)
    full.clear()
    assert other.noop()[0] == "OK"
    other.logout()

    def let_in():
        got = come(front, ANN)
        full.extend([] if isinstance(got, str) else [got])
        return bool(full)
    wait_for("a place: what has ended counts no more", let_in)


def test_another_auth_counts_who_is_here_and_locks_nobody_out(front, full):
    assert "[LIMIT]" in come(front, ANN)
    auth = next(row for row in rows(front, "roles") if row["role"] == "auth")
    os.kill(int(auth["pid"]), signal.SIGKILL)
    def answered():
        got = come(front, ANN)
        if not isinstance(got, str):
            got.logout()  # it has not heard from all edges yet
            return False
        return "[LIMIT]" in got
    # edges tell it who is here; those notice nothing
    wait_for("another auth", answered)
    full.pop().logout()

    def let_in():
        got = come(front, ANN)
        full.extend([] if isinstance(got, str) else [got])
        return len(full) == LIMIT
    wait_for("a place: what has ended counts no more", let_in)
    assert all(m.noop()[0] == "OK" for m in full)
