"""A Postfix with directories and ports of its own, for as long as a `with` block."""
import os
import pathlib
import pwd
import shutil
import socket
import subprocess

import pytest

from conftest import free_port, wait_for

MASTER = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

needs_postfix = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("postfix"),
    reason="Postfix is not installed, or not for us: only root can start it")


class Postfix:
    """With relayhost it passes on what it takes; with mailboxes it keeps it in Maildirs."""

    def __init__(self, directory, relayhost="", mailboxes=(), address="127.0.0.1", port=None, settings=None):
        self.top = pathlib.Path(directory)
        self.address, self.port = address, port or free_port()
        self.settings = settings or {}
        self.relayhost = relayhost
        self.mailboxes = mailboxes

    def __enter__(self):
        user = pwd.getpwnam("postfix")
        conf, queue, data, mail = (self.top / d for d in ("conf", "queue", "data", "mail"))
        for d in (conf, queue, data, mail):
            d.mkdir(parents=True)
        os.chown(data, user.pw_uid, user.pw_gid)
        os.chown(mail, user.pw_uid, user.pw_gid)
        settings = {
            "queue_directory": queue, "data_directory": data, "inet_interfaces": self.address,
            "inet_protocols": "ipv4", "myhostname": "postfix.example", "mydestination": "",
            "mynetworks": "127.0.0.0/8", "compatibility_level": "3.6", "smtp_host_lookup": "native",
            "maillog_file": self.top / "maillog", "maillog_file_prefixes": self.top,
            "relayhost": self.relayhost, "disable_dns_lookups": "yes", "alias_maps": "",
            "alias_database": "", "multi_instance_name": f"postfix-{self.port}",
            "smtp_tls_security_level": "none", "minimal_backoff_time": "1s",
            "queue_run_delay": "1s", "syslog_name": f"postfix-{self.port}",
        }
        if self.mailboxes:
            (conf / "mailboxes").write_text("".join(f"{a} {a}/\n" for a in self.mailboxes))
            settings |= {"virtual_mailbox_domains": ",".join({a.split("@")[1] for a in self.mailboxes}),
                         "virtual_mailbox_maps": f"texthash:{conf}/mailboxes",
                         "virtual_mailbox_base": mail, "virtual_minimum_uid": "1",
                         "virtual_uid_maps": f"static:{user.pw_uid}",
                         "virtual_gid_maps": f"static:{user.pw_gid}"}
        settings |= self.settings
        (conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in settings.items()))
        (conf / "master.cf").write_text(MASTER.format(port=f"{self.address}:{self.port}"))
        self.conf, self.mail = conf, mail
        self.postfix("start")
        wait_for("Postfix to listen", self.listening)
        return self

    def postfix(self, verb):
        got = subprocess.run(["postfix", "-c", self.conf, verb], capture_output=True, text=True, timeout=60)
        log = self.log() if (self.top / "maillog").exists() else ""
        # after 5 s it kills those who are left, and fails if they have gone by themselves meanwhile
        forced = verb == "stop" and "stopping the Postfix mail system with force" in log
        assert got.returncode == 0 or forced, got.stdout + got.stderr + log

    def listening(self):
        try:
            socket.create_connection((self.address, self.port), 5).close()
            return True
        except OSError:
            return False

    def messages(self, address):
        new = self.mail / address / "new"
        return [f.read_bytes() for f in new.iterdir()] if new.exists() else []

    def log(self):
        return (self.top / "maillog").read_text(errors="replace")

    def __exit__(self, *unused):
        self.postfix("stop")
        # its master is gone; who has not died of the same signal yet would answer for the next on this port
        wait_for("Postfix to let go of its port", lambda: not self.listening())
        shutil.rmtree(self.top, ignore_errors=True)
