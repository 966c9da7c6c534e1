"""`holdfast config`, and what `meson install` installs."""
import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, HOLDFAST, PATIENCE, ROLE_IDS, TOP, self_signed


def config(*words):
    return subprocess.run([HOLDFAST, "config", *map(str, words)], capture_output=True, text=True,
                          timeout=PATIENCE)


@pytest.fixture
def conf(tmp_path):
    def write(text):
        path = tmp_path / "holdfast.conf"
        path.write_text(text)
        return path
    return write


def test_the_configuration_we_ship_is_good():
    got = config("check", "--config", TOP / "data/holdfast.conf")
    assert got.returncode == 0, got.stdout
    assert got.stdout.endswith("holdfast.conf: good\n")


def test_check_reports_every_problem_and_fails(conf):
    path = conf('hostnam = "mx.example.org";\nsmtp: { hops = 1; greet-delay = "90s"; };\n')
    got = config("check", "--config", path)
    assert got.returncode == 1
    assert got.stdout.splitlines() == [
        f'{path}:1: there is no setting "hostnam"; did you mean "hostname"?',
        f"{path}:2: smtp.hops: 1 is outside 10 to 1000",
        f"{path}:2: smtp.greet-delay: 90s is outside 0s to 60s",
        f"{path}: 3 problems, 0 warnings",
    ]


def test_a_doubt_is_no_failure(conf):
    path = conf('domains = [ "a.example", "a.example" ];\n')
    got = config("check", "--config", path)
    assert got.returncode == 0
    assert got.stdout.startswith(f"warning: {path}:1: domains: a.example is there twice\n")


def test_show_tells_where_each_value_came_from(conf):
    path = conf('hostname = "mx.example.org";\n\nsmtp: { hops = 20; };\n')
    got = config("show", "--config", path, "--set", "smtp.errors=7", "--json")
    assert got.returncode == 0
    rows = {row["key"]: row for row in map(json.loads, got.stdout.splitlines())}
    assert (rows["hostname"]["value"], rows["hostname"]["from"]) == ("mx.example.org", f"{path}:1")
    assert (rows["smtp.hops"]["value"], rows["smtp.hops"]["from"]) == ("20", f"{path}:3")
    assert (rows["smtp.errors"]["value"], rows["smtp.errors"]["from"]) == ("7", "--set")
    assert rows["smtp.junk"]["from"] == "default"


def test_what_show_prints_is_a_configuration(conf, tmp_path):
    path = conf('hostname = "mx.example.org";\nsmtp: { message-max = "10m"; };\n')
    groups = {}
    for line in config("show", "--config", path).stdout.splitlines():
        key, value = line.split(" # ")[0].split(" = ", 1)
        if key == "listen":
            continue
        group, _, name = key.rpartition(".")
        groups.setdefault(group, []).append(f"{name} = {value}")
    again = tmp_path / "again.conf"
    again.write_text("\n".join(groups.pop("")) + "\n" + "".join(
        f"{g}: {{ {' '.join(lines)} }};\n" for g, lines in groups.items()))
    got = config("check", "--config", again)
    assert got.returncode == 0, got.stdout


def test_doc_explains_each_key_that_defaults_lists():
    keys = [line.split(" = ")[0] for line in config("defaults").stdout.splitlines()]
    assert len(keys) > 50
    for key in keys[::10]:
        got = config("doc", key)
        assert got.returncode == 0 and got.stdout.startswith(key)
    got = config("doc", "smtp.hop")
    assert got.returncode == 1
    assert got.stderr == 'holdfast: there is no setting "smtp.hop"; did you mean "smtp.hops"?\n'


def test_a_missing_file_is_named():
    got = config("check", "--config", "/nonexistent/holdfast.conf")
    assert got.returncode == 1
    assert "/nonexistent/holdfast.conf: cannot be read: No such file or directory" in got.stdout
    got = subprocess.run([HOLDFAST, "run", "--config", "/nonexistent/holdfast.conf"],
                         capture_output=True, text=True, timeout=PATIENCE)
    assert got.returncode == 78 and "holdfast demo" in got.stderr


@pytest.mark.parametrize("words", [[], ["chekc"], ["check", "--nonsense"], ["check", "--config"]])
def test_a_wrong_use_shows_the_right_one(words):
    got = config(*words)
    assert got.returncode == 2
    assert "usage: holdfast config check" in got.stderr


def test_the_complete_example_is_good(tmp_path):
    cert, key = self_signed(tmp_path, "mx.example.org")
    key.chmod(0o600)
    text = (TOP / "data/holdfast-full.conf").read_text()
    text = text.replace("/etc/holdfast/mx.crt", str(cert)).replace("/etc/holdfast/mx.key", str(key))
    # what is commented out is an example as well
    (tmp_path / "all.conf").write_text(re.sub(r"^(\s*)# (, \{|oauth = |backends = |relay = \"smtp)", r"\1\2", text, flags=re.M)
                                       .replace('relay = "mx";', "").replace('"plain login"', '"plain xoauth2"'))
    (tmp_path / "users").write_text("")
    (tmp_path / "plain.conf").write_text(text)
    for name in ("plain", "all"):
        got = subprocess.run([HOLDFAST, "config", "check", "--config", tmp_path / f"{name}.conf"],
                             capture_output=True, text=True)
        assert got.stdout == f"{tmp_path}/{name}.conf: good\n", got.stdout + got.stderr


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd is not installed: systemd-sysusers")
def test_systemd_makes_the_users_of_the_roles(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib/sysusers.d").mkdir(parents=True)
    shutil.copy(TOP / "data/holdfast.sysusers", tmp_path / "usr/lib/sysusers.d/holdfast.conf")
    got = subprocess.run(["systemd-sysusers", f"--root={tmp_path}"], capture_output=True, text=True)
    assert got.returncode == 0, got.stderr
    users = re.findall("^holdfast-([a-z]+):", (tmp_path / "etc/passwd").read_text(), re.M)
    assert sorted(users) == sorted(ROLE_IDS)


def test_install_brings_all_and_keeps_the_administrators_file(tmp_path):
    meson = shutil.which("meson")
    if not meson or not (BUILD / "build.ninja").exists():
        pytest.skip("no build directory of Meson")
    env = {**os.environ, "DESTDIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([meson, "install", "--no-rebuild", "-C", BUILD], check=True, env=env,
                       capture_output=True)
        found = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
        for end in ("bin/holdfast", "systemd/system/holdfast.service",
                    "systemd/system/holdfast.socket", "sysusers.d/holdfast.conf",
                    "tmpfiles.d/holdfast.conf", "logrotate.d/holdfast",
                    "holdfast/holdfast.conf", "examples/holdfast.conf"):
            assert any(f.endswith(end) for f in found), end
        mine = next(f for f in tmp_path.rglob("holdfast/holdfast.conf") if "doc" not in f.parts)
        if mine.read_text() != "mine":
            mine.write_text("mine")
    assert mine.read_text() == "mine"
    unit = next(tmp_path.rglob("holdfast.service")).read_text()
    assert "@" not in unit.replace("@system-service", "")
