"""Life: roles come and go, configurations and programs change, and the server stays."""
import contextlib
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import conftest
from conftest import LONG_PATIENCE, PATIENCE, ROLE_IDS, Talk, free_port, wait_for
from test_clients import MESSAGE

ROLES = ("edge", "store", "auth", "watch")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="users are changed by root only")


def deliver(server, user="alice"):
    """Once accepted it is accepted: an edge that leaves may answer QUIT with 421."""
    with contextlib.closing(server.smtp()) as s:
        s.sendmail("sender@client.example", [f"{user}@example.test"], MESSAGE)


def listening(port):
    """Does anybody listen there? Unlike a connection, asking costs no session."""
    want = f"0100007F:{port:04X}"
    for _ in range(3):  # the kernel tells it in pieces, and may skip one when others go in between
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == want and fields[3] == "0A":
                return True
    return False


def replaced(server, role, gone):
    """As many of that role as before, and none of those that are gone."""
    now = server.pids(role)
    return now if len(now) == len(gone) and not set(now) & set(gone) else None


def configure(server, change):
    server.config.write_text(change(server.config.read_text()))


def reload(server):
    seen = len(re.findall(r"log=reload", server.log()))
    server.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: len(re.findall(r"log=reload", server.log())) > seen)


def end_as_silent(server, pids):
    """They hang, and then silence is short: not before, and no longer than that, for others may be slow."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    before = server.config.read_text()
    assert 'silence = "30s"' in before
    configure(server, lambda text: text.replace('silence = "30s"', 'silence = "1s"'))
    server.process.send_signal(signal.SIGHUP)
    wait_for("them to be killed", lambda: not set(pids) & set(server.pids()))
    server.config.write_text(before)
    # whoever has to answer may be one of those who are killed
    wait_for("silence to be long again", lambda: server.cli("reload", check=False).returncode == 0)


# ---- roles die ---------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_killed_is_replaced_while_ports_stay_open(server, role):
    gone = server.kill_role(role)
    assert listening(server.port)
    wait_for(f"{role} to be replaced", lambda: replaced(server, role, gone))
    assert listening(server.port)
    server.wait_known("alice@example.test")
    deliver(server)
    server.wait_messages("alice", 1)
    server.wait_log(rf'log=role-ended.*key="?{role}.*Killed')


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_falls_silent_is_killed_and_replaced(server, role):
    stuck = list(server.pids(role))[0]
    end_as_silent(server, [stuck])
    wait_for(f"{role} to be replaced", lambda: stuck not in server.pids(role)
             and len(server.pids(role)) == (2 if role == "edge" else 1))
    server.wait_log(r"log=role-ended.*silent")
    server.wait_known("alice@example.test")


def test_all_edges_may_be_stuck_and_no_connection_is_lost(server):
    edges = server.pids("edge")
    for pid in edges:
        os.kill(pid, signal.SIGSTOP)
    waiting = [Talk(server.port) for _ in range(20)]
    end_as_silent(server, edges)
    for talk in waiting:
        assert talk.reply().startswith(b"220")
        talk.close()


def test_a_session_outlives_a_restart_of_the_store(server):
    talk = server.talk().hello()
    gone = server.kill_role("store")
    wait_for("the store to be replaced", lambda: replaced(server, "store", gone))
    server.wait_known("alice@example.test")
    talk.envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    assert talk.ask(b"Subject: later\r\n\r\nhello\r\n.\r\n").startswith(b"250")
    server.wait_messages("alice", 1)


def test_a_role_that_keeps_dying_is_started_ever_more_slowly(server):
    waits = [0, 100, 200, 400, 800]
    took = []
    for _ in waits:
        pid, = wait_for("it to be there", lambda: server.pids("auth"))
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_for("another", lambda: set(server.pids("auth")) - {pid})
        took.append(1000 * (time.monotonic() - killed))
    server.wait_log(rf"log=role-ended .*key=auth .*again-in-ms={waits[-1]}\b")
    assert [int(n) for n in re.findall(r"log=role-ended .*key=auth .*again-in-ms=(\d+)", server.log())] == waits
    assert all(t >= n - 10 for t, n in zip(took, waits)), took


def is_there(pid):
    """What has ended has no words left, also if nobody has asked yet how it ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    return False


def test_roles_leave_when_the_supervisor_is_killed(server):
    roles = server.pids()
    server.process.kill()
    server.process.wait()
    wait_for("the roles to leave", lambda: not any(map(is_there, roles)))


@root_only
def test_each_role_has_its_own_user_and_is_closed_in(server):
    for pid in server.pids():
        server.wait_log(rf"log=role-started .*pid={pid}\b")
    closes_in = "built with sanitizers" not in server.log() and os.path.exists("/proc/sys/kernel/seccomp")
    assert not closes_in or "seccomp=true" in server.log()
    assert all(server.pids(role) for role in ROLES)
    for role in ROLES:
        for pid in server.pids(role):
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert re.search(rf"^Uid:\s+{ROLE_IDS[role]}\s+{ROLE_IDS[role]}\s+{ROLE_IDS[role]}",
                             status, re.M)
            assert re.search(r"^CapEff:\s+0+$", status, re.M)
            assert re.search(r"^CapPrm:\s+0+$", status, re.M)
            assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
            if closes_in:
                assert re.search(r"^Seccomp:\s+2$", status, re.M)


def open_files(pid):
    """Its descriptors, and what each is; one may be closed while we look."""
    found = {}
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[fd] = os.readlink(fd)
    return found


def ticket_key(server):
    for fd, name in open_files(server.process.pid).items():
        if "memfd:holdfast-tickets" in name:
            return fd.read_bytes()
    return None


def remembers(pid, key):
    """Is it in memory that is this process's own?"""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, how = line.split()[:2]
            if how != "rw-p":
                continue
            first, end = (int(n, 16) for n in where.split("-"))
            with contextlib.suppress(OSError):
                mem.seek(first)
                if key in mem.read(end - first):
                    return True
    return False


@root_only
def test_the_key_of_tickets_is_with_auth_and_the_store_and_stays_the_same(server):
    key = ticket_key(server)
    assert len(key) == 32 and any(key)
    assert all(server.pids(role) for role in ROLES)
    for again in range(2):
        for role in ROLES:
            for pid in server.pids(role):
                assert remembers(pid, key) == (role in ("auth", "store")), role
                assert not [name for name in open_files(pid).values() if "tickets" in name], role
        if not again:
            server.cli("upgrade")
            server.wait_log(r"the old program's roles have all ended")
            server.wait_ready()
            assert ticket_key(server) == key


def test_watch_has_a_session_of_its_own_and_goes_before_the_others(server):
    (watch,), edge = server.pids("watch"), min(server.pids("edge"))
    assert os.getsid(watch) == watch
    assert os.getsid(edge) == os.getsid(server.process.pid) != watch
    if os.geteuid() != 0:
        return  # only root may go before the others
    assert os.getpriority(os.PRIO_PROCESS, watch) == -5
    assert os.getpriority(os.PRIO_PROCESS, edge) == os.getpriority(os.PRIO_PROCESS, server.process.pid)
    group = pathlib.Path(f"/proc/{watch}/autogroup")
    if group.exists():  # the kernel has them
        assert group.read_text().split()[1:] == ["nice", "-5"]


@root_only
def test_roles_that_do_not_fetch_carry_no_code_that_does(server):
    for role in ROLES:
        assert server.pids(role)
        for pid in server.pids(role):
            libraries = pathlib.Path(f"/proc/{pid}/maps").read_text()
            assert "libcrypto" in libraries
            for name in ("libcurl", "libldap", "libkrb5", "libssh", "liblzma"):
                assert name not in libraries


def test_one_process_serves_too(make_server):
    server = make_server(run_args=["--one-process"])
    assert not server.pids()
    deliver(server)
    server.wait_messages("alice", 1)
    assert server.stop() == 0


def test_it_is_called_serving_when_all_its_roles_are_ready(make_server):
    server = make_server(start=False)
    for _ in range(3):
        server.errors.write_text("")
        server.start(wait=False)
        server.wait_ready()
        by = datetime.datetime.now(datetime.timezone.utc)
        roles = [pid for role in ROLES for pid in server.pids(role)]  # the new program's come later
        assert "takes over" in server.cli("upgrade")  # which is refused before
        assert len(roles) == 5
        ready = {pid: server.wait_log(rf"^time=(\S+) .*log=role-started .*pid={pid}\b")[1] for pid in roles}
        assert all(datetime.datetime.fromisoformat(t.replace("Z", "+00:00")) <= by for t in ready.values()), (by, ready)
        server.wait_log(r"roles have all ended")
        assert server.stop() == 0


# ---- configurations change -----------------------------------------------------------------


def test_a_reload_opens_and_closes_ports_and_drops_no_session(server):
    more = free_port()
    first = f'{{ address = "127.0.0.1:{server.port}"; service = "smtp"; }}'
    both = f'{first}, {{ address = "127.0.0.1:{more}"; service = "smtp"; }}'
    talk = server.talk().hello()
    configure(server, lambda text: text.replace(first, both))
    reload(server)
    on_new = Talk(more).hello()
    configure(server, lambda text: text.replace(both, first))
    reload(server)
    wait_for("the port to be closed", lambda: not listening(more))
    for t in (talk, on_new):
        t.envelope("alice")
        assert t.ask("DATA").startswith(b"354")
        assert t.ask(b"Subject: x\r\n\r\nhello\r\n.\r\n").startswith(b"250")
    server.wait_messages("alice", 2)


def local(path):
    return f'{{ address = "unix:{path}"; service = "submission"; }}'


def test_the_file_of_a_socket_goes_with_its_listener(server):
    path = server.home / "submit.sock"
    first = f'{{ address = "127.0.0.1:{server.port}"; service = "smtp"; }}'
    both = f'{first}, {local(path)}'
    configure(server, lambda text: text.replace(first, both))
    reload(server)
    assert path.is_socket()
    # one that cannot be had: what was opened before it goes as well
    other = server.home / "other.sock"
    third = f'{both}, {local(other)}, {local("/proc/x")}'
    configure(server, lambda text: text.replace(both, third))
    reload(server)
    server.wait_log(r"log=reload-failed.*/proc/x")
    assert path.is_socket() and not other.exists()
    configure(server, lambda text: text.replace(third, first))
    reload(server)
    wait_for("the socket's file to go", lambda: not path.exists())


def test_a_bad_configuration_is_refused_and_the_old_one_stays(server):
    good = server.config.read_text()
    configure(server, lambda text: text.replace("smtp: {", "smtp: { recipients = 5; greet-dellay = \"1s\";"))
    reload(server)
    server.wait_log(r"log=reload-failed.*smtp.recipients")
    server.wait_log(r"log=reload-failed.*greet-delay")
    deliver(server)
    server.config.write_text(good)
    assert "in force" in server.cli("reload")
    server.wait_messages("alice", 1)


def test_what_needs_a_restart_is_said_and_not_done(server):
    configure(server, lambda text: text.replace(str(server.dir), str(server.dir) + "2"))
    reload(server)
    server.wait_log(r"log=config-doubt.*dir has changed, which needs a restart")
    assert "in force, but for dir, which needs a restart" in server.cli("reload")
    gone = server.kill_role("store")
    wait_for("the store to be replaced", lambda: replaced(server, "store", gone))
    server.wait_known("alice@example.test")
    deliver(server)
    server.wait_messages("alice", 1)


def test_a_port_in_use_stops_the_start_with_a_remedy(make_server):
    server = make_server(start=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.start(wait=False)
        assert server.process.wait(PATIENCE) == 1
    assert f"127.0.0.1:{server.port}" in server.log()
    assert "listen on another port" in server.log()


def test_a_bad_configuration_stops_the_start_with_every_problem(make_server):
    server = make_server(start=False, settings='smtp: { recipients = 5; };\nnonsense = 1;\n')
    server.start(wait=False)
    assert server.process.wait(PATIENCE) == 78
    assert re.search(r"holdfast.conf:\d+: .*smtp.recipients", server.log())
    assert re.search(r"holdfast.conf:\d+: .*nonsense", server.log())


def test_a_second_server_on_the_same_directory_is_refused(server, make_server, home):
    other = home / "other.conf"
    other.write_text(server.config.read_text().replace(str(server.port), str(free_port()))
                     .replace(str(server.control), str(home / "other.sock")))
    got = subprocess.run([conftest.HOLDFAST, "run", "--config", other], capture_output=True,
                         text=True, timeout=PATIENCE)
    assert got.returncode == 1
    assert "another holdfast serves this directory" in got.stderr
    deliver(server)


@root_only
def test_a_user_that_does_not_exist_stops_the_start_with_the_command_for_it(make_server):
    server = make_server(start=False)
    configure(server, lambda text: text.replace(str(ROLE_IDS["edge"]), "nobody-of-that-name"))
    server.start(wait=False)
    assert server.process.wait(PATIENCE) == 1
    assert "run.user-edge" in server.log() and "useradd" in server.log()


@root_only
@pytest.mark.parametrize("name", ["root", "0", "0:61190"])
def test_a_role_that_would_be_root_stops_the_start(make_server, name):
    server = make_server(start=False)
    configure(server, lambda text: text.replace(f'user-edge = "{ROLE_IDS["edge"]}"', f'user-edge = "{name}"'))
    server.start(wait=False)
    assert server.process.wait(PATIENCE) != 0
    assert f'run.user-edge: "{name}" is root' in server.log()
    got = server.cli("config", "check", check=False)
    assert got.returncode == 1 and "run.user-edge" in got.stdout


@root_only
def test_two_roles_with_one_user_serve_but_not_silently(make_server):
    server = make_server(start=False)
    configure(server, lambda text: text.replace(f'user-auth = "{ROLE_IDS["auth"]}"',
                                                f'user-auth = "{ROLE_IDS["store"]}"'))
    server.start()
    assert re.search(r"note: .*: run.user-auth is the same user as run.user-store", server.log())
    deliver(server)


# ---- stopping --------------------------------------------------------------------------------


def test_a_stop_lets_sessions_finish(make_server):
    server = make_server(run_args=["--set", "run.drain=10m"])
    talk = server.talk().hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    server.process.send_signal(signal.SIGTERM)
    server.wait_log(r"log=stopping.*draining")
    assert talk.ask(b"Subject: last\r\n\r\nhello\r\n.\r\n").startswith(b"250")
    assert server.process.wait(PATIENCE) == 0
    assert len(server.messages("alice")) == 1
    assert not server.control.exists()


def test_a_stop_ends_in_time_whatever_sessions_do(make_server):
    server = make_server(run_args=["--set", "run.drain=1s"])
    talk = server.talk().hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")  # its own time-out is 3 minutes
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0


def test_a_second_signal_ends_it_at_once(make_server):
    server = make_server(run_args=["--set", "run.drain=10m"])
    talk = server.talk().hello().envelope("alice")
    assert talk.ask("DATA").startswith(b"354")
    server.process.send_signal(signal.SIGINT)
    server.wait_log(r"log=stopping.*draining")
    server.process.send_signal(signal.SIGINT)
    server.process.wait(PATIENCE)


# ---- programs change -------------------------------------------------------------------------


@pytest.fixture
def upgradable(make_server, home, monkeypatch):
    """A server that runs from a program file of its own."""
    program = home / "holdfast"
    shutil.copy(conftest.HOLDFAST, program)
    program.chmod(0o755)
    monkeypatch.setattr(conftest, "HOLDFAST", program)
    server = make_server(run_args=["--set", "run.drain=2m"])  # a test may need a while for its part
    server.wait_fetch()
    server.program = program
    server.original = pathlib.Path(conftest.BUILD) / "holdfast"
    return server


def replace_program(server, content):
    fresh = server.program.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.rename(server.program)


def run_original(server, *words):
    return subprocess.run([server.original, *words, "--config", server.config],
                          capture_output=True, text=True, timeout=PATIENCE)


def test_an_upgrade_keeps_sessions_and_the_pid(upgradable):
    server = upgradable
    before = server.pids()
    idle = server.talk().hello()
    busy = server.talk().hello().envelope("alice")
    assert busy.ask("DATA").startswith(b"354")
    replace_program(server, server.program.read_bytes())
    assert "takes over" in server.cli("upgrade")
    wait_for("new roles", lambda: len(set(server.pids()) - set(before)) == len(before))
    server.wait_ready()
    assert busy.ask(b"Subject: over\r\n\r\nan upgrade\r\n.\r\n").startswith(b"250")
    assert server.process.poll() is None
    deliver(server)
    server.wait_messages("alice", 2)
    busy.ask("QUIT")
    idle.ask("QUIT")
    server.wait_log(r"log=upgrade.*old program's roles have all ended")
    assert not set(server.pids()) & set(before)
    assert server.stop() == 0


def test_upgrades_may_follow_each_other_and_leave_nothing_behind(upgradable):
    server = upgradable

    def descriptors():
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    count, roles = descriptors(), len(server.pids())
    for n in range(1, 4):
        server.process.send_signal(signal.SIGUSR2)
        wait_for(f"upgrade {n}",
                 lambda: len(re.findall(r"roles have all ended", server.log())) == n)
        wait_for("new roles", lambda: len(server.pids()) == roles)
    server.wait_ready()
    server.wait_known("alice@example.test")
    assert descriptors() <= count + 2
    deliver(server)
    server.wait_messages("alice", 1)


def test_no_connection_is_refused_during_an_upgrade(upgradable):
    server = upgradable
    server.process.send_signal(signal.SIGUSR2)
    answered, end = 0, time.monotonic() + LONG_PATIENCE
    while not re.search(r"roles have all ended", server.log()) or answered < 50:
        with contextlib.closing(Talk(server.port)) as talk:
            assert talk.reply().startswith(b"220")
            talk.ask("QUIT")
            answered += 1
        assert time.monotonic() < end, server.log()


def numbers_of_edges(server):
    rows = map(json.loads, server.cli("roles", "--json").splitlines())
    return {row["number"] for row in rows if row["role"] == "edge" and not row["drains"]}


def test_the_number_of_an_edge_that_died_rests_over_an_upgrade(upgradable):
    server = upgradable
    before, victim = numbers_of_edges(server), max(server.pids("edge"))
    os.kill(victim, signal.SIGKILL)
    wait_for("another edge", lambda: len(now := numbers_of_edges(server)) == len(before) and now != before)
    dead, = before - numbers_of_edges(server)
    server.process.send_signal(signal.SIGUSR2)
    server.wait_log(r"roles have all ended")
    server.wait_ready()
    after = numbers_of_edges(server)
    # others may still have to hear of its death, and would take away what the next of that number holds
    assert len(after) == len(before) and dead not in after, (before, dead, after)


@pytest.mark.parametrize("content", [b"#!/bin/sh\nexit 3\n", b"nonsense"])
def test_a_new_program_that_does_not_work_is_refused(upgradable, content):
    server = upgradable
    before = server.pids()
    replace_program(server, content)
    got = run_original(server, "upgrade")
    assert got.returncode != 0 and "the old program goes on" in got.stderr + got.stdout
    assert server.pids() == before
    deliver(server)
    server.wait_messages("alice", 1)
    gone = server.kill_role("auth")
    wait_for("auth to be replaced by the old program", lambda: replaced(server, "auth", gone))


def test_an_upgrade_with_a_bad_configuration_is_refused(upgradable):
    server = upgradable
    good = server.config.read_text()
    configure(server, lambda text: text + "nonsense = 1;\n")
    got = run_original(server, "upgrade", "--control", server.control)
    assert got.returncode != 0 and "config check" in got.stderr + got.stdout
    server.config.write_text(good)
    deliver(server)
    server.wait_messages("alice", 1)


# ---- service managers ---------------------------------------------------------------------------


def test_the_service_manager_is_told(make_server, home):
    path = str(home / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE)

        def hear(what):
            while True:
                message = manager.recv(4096).decode()
                if what in message:
                    return message

        server = make_server(start=False, env={**os.environ, "NOTIFY_SOCKET": path})
        server.start()
        assert f"MAINPID={server.process.pid}" in hear("READY=1")
        server.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        server.process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")


def test_sockets_that_were_handed_over_are_used(make_server):
    server = make_server(start=False)
    held = socket.socket()
    held.bind(("127.0.0.1", server.port))
    held.listen()
    early = Talk(server.port)  # before there is a server
    program = ("import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True);"
               "os.environ['LISTEN_FDS'] = '1'; os.environ['LISTEN_PID'] = str(os.getpid());"
               "os.execv(sys.argv[2], sys.argv[2:])")
    server.process = subprocess.Popen(
        ["python3", "-c", program, str(held.fileno()), conftest.HOLDFAST, "run", "--config",
         server.config], pass_fds=[held.fileno()], stderr=open(server.errors, "ab"))
    held.close()
    assert early.reply().startswith(b"220")
    early.close()
