"""The power is cut: what was not synced is lost, and still nothing acknowledged is."""
import os
import signal
import subprocess

import pytest

from conftest import TOP
from crash import Crowd

FUSE = subprocess.run(["pkg-config", "--exists", "fuse3"], capture_output=True).returncode == 0

needs_powerfs = pytest.mark.skipif(
    os.geteuid() != 0 or not FUSE or not os.path.exists("/dev/fuse"),
    reason="mounting a file system of our own needs root, libfuse3-dev and /dev/fuse")
pytestmark = needs_powerfs


class PowerFs:
    def __init__(self, home, seed):
        program = home / "powerfs"
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror",
                        TOP / "tests/powercut/powerfs.c", "-o", program, *flags], check=True)
        self.mount, self.after = home / "disk", home / "after"
        self.mount.mkdir()
        self.process = subprocess.Popen([program, "--after", self.after, "--seed", str(seed), self.mount],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "mounted\n"

    def cut(self):
        self.process.send_signal(signal.SIGUSR1)
        assert self.process.stdout.readline() == "cut\n"

    def close(self):
        subprocess.run(["umount", "-l", self.mount], check=True)
        self.process.wait(60)


@pytest.mark.parametrize("seed", range(int(os.environ.get("HOLDFAST_POWER_CUTS", "5"))))
def test_nothing_acknowledged_is_lost(make_server, home, seed):
    disk = PowerFs(home, seed)
    try:
        server = make_server(dir=disk.mount / "data")
        crowd = Crowd(server, seed)
        crowd.progressed(30 + seed * 17)
        disk.cut()
        crowd.stopping.set()
        server.kill_everything()
        crowd.stop()
    finally:
        disk.close()
    server.dir = disk.after / "data"
    server.config.write_text(server.config.read_text().replace(str(disk.mount), str(disk.after)))
    server.start()
    crowd.judge()
