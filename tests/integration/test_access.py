"""Access lists: what is wrong with them, what they say, and that a bad one changes nothing."""
import json
import subprocess

import pytest

from conftest import HOLDFAST, wait_for

PLAIN = """# a comment
192.0.2.0/24
192.0.2.7 permit a friend
203.0.113.9 until=2099-12-31 guessed passwords
2001:db8::/32
"""


def holdfast(*words):
    return subprocess.run([HOLDFAST, *map(str, words)], capture_output=True, text=True, timeout=60)


@pytest.fixture
def conf(tmp_path):
    def write(text, **files):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        path = tmp_path / "holdfast.conf"
        path.write_text('hostname = "mx.example.org";\n' + text)
        return path
    return write


def test_every_problem_of_a_list_has_its_file_and_line(conf, tmp_path):
    path = conf('access = ( { file = "bad"; } );\n',
                bad=b"192.0.2.1\r\n192.0.2.256\n10.0.0.1/8\n\0\nexample.org\n192.0.2.2 until=soon")
    got = holdfast("config", "check", "--config", path)
    assert got.returncode == 1
    bad = tmp_path / "bad"
    lines = got.stdout.splitlines()
    assert [line.split(": ")[0 if line[0] == "/" else 1] for line in lines[:-1]] == [
        f"{bad}:{n}" for n in (2, 3, 4, 5, 6)]
    assert lines[1].startswith("warning: ")
    assert lines[-1] == f"{path}: 4 problems, 1 warning"


def test_of_ten_thousand_problems_a_hundred_are_told(conf):
    path = conf('access = ( { file = "bad"; } );\n', bad="garbage\n" * 10000)
    got = holdfast("config", "check", "--config", path)
    lines = got.stdout.splitlines()
    assert got.returncode == 1
    assert len(lines) == 102
    assert lines[-2] == "9900 more problems, which are not shown"
    assert lines[-1] == f"{path}: 10000 problems, 0 warnings"


@pytest.mark.parametrize("text, says", [
    ('allow = [ "192.0.2.1/24" ];', ':2: allow: "192.0.2.1/24" is neither an address nor a network'),
    ('deny = [ 5 ];', ":2: deny: this is a number, but wanted is a text, in quotes"),
    ('access = ( { file = "none"; } );', "/none: cannot be read: No such file or directory"),
    ('access = ( { file = "."; } );', ": is not a file"),
    ('access = ( { file = "cidr:"; } );', ':2: access: "cidr:" names no file'),
    ('access = ( { file = "x"; files = "x"; } );', ':2: access: there is no "files" in it; did you mean "file"?'),
    ('access = ( { file = "x"; of = "clients"; } );',
     ':2: access: of: "clients" is none of client|sender|recipient|helo|ptr'),
    ('dnsbl = ( { zone = "a b"; } );', ':2: "a b" is not a domain'),
    ('dnsbl = ( { zone = "z.example"; weight = 0; } );', ":2: dnsbl: z.example: the weight 0 is outside 1 to 1000"),
    ('dnsbl = ( { zone = "z.example"; weight = "9"; } );',
     ":2: dnsbl: weight: this is a text, but wanted is a number"),
    ('dnsbl = ( { zone = "z.example"; answers = "127.0.0.9-2"; } );',
     ':2: dnsbl: z.example: answers: "127.0.0.9-2" is not inside of'),
    ('dnsbl = ( { zone = "z.example"; answers = "127.255.255.1"; } );',
     ':2: dnsbl: z.example: answers: "127.255.255.1" is not inside of'),
    ('guard: { observe = [ "points", "history", "nothing" ]; };',
     ':2: guard.observe: there is no rule "nothing"; `holdfast events --rules` lists them'),
    ('guard: { late-at = 60; ban-at = 50; };', ":2: guard.late-at is more than guard.ban-at"),
    ('guard: { contact = "Stra\u00dfe 5"; };', ":2: guard.contact: printable ASCII characters only"),
    ('dns: { servers = "192.0.2.1, x"; };', ':2: dns.servers: "x" is neither an address nor one with a port'),
    ('firewall: { table = "a b"; };', ':2: firewall.table: "a b" is not a name'),
])
def test_what_is_wrong_around_the_guard_is_told(conf, text, says):
    path = conf(text + "\n")
    got = holdfast("config", "check", "--config", path)
    assert got.returncode == 1
    assert says in got.stdout
    assert got.stdout.endswith(": 1 problem, 0 warnings\n")


def test_the_first_list_that_has_an_answer_counts(conf, tmp_path):
    path = conf('allow = [ "192.0.2.128/25" ];\ndeny = [ "198.51.100.0/24" ];\n'
                'access = ( { file = "plain"; }, { file = "cidr:c"; }, { file = "hash:s"; of = "sender"; } );\n',
                plain=PLAIN, c="198.51.100.1 OK\n192.0.0.0/16 REJECT go away\n",
                s="example.com REJECT\nalice@example.com OK\n")
    expected = {
        "192.0.2.200": ("permit", "allow", None),
        "192.0.2.1": ("deny", "plain", 2),
        "192.0.2.7": ("permit", "plain", 3),
        "192.0.3.1": ("deny", "c", 2),
        "198.51.100.1": ("deny", "deny", None),
        "203.0.113.9": ("deny", "plain", 4),
        "203.0.113.8": ("none", None, None),
        "2001:db8::1": ("deny", "plain", 5),
        "::ffff:192.0.2.1": ("deny", "plain", 2),
    }
    for address, (answer, file, line) in expected.items():
        got = holdfast("access", "test", address, "--json", "--config", path)
        assert got.returncode == 0, got.stderr
        row = json.loads(got.stdout)
        assert row["answer"] == answer, address
        if line:
            assert (row["file"], row["line"]) == (str(tmp_path / file), line)
    got = holdfast("access", "test", "bob@example.com", "--of", "sender", "--config", path)
    assert got.stdout == f"bob@example.com as sender: deny by {tmp_path}/s:1\n"
    got = holdfast("access", "test", "alice@example.com", "--of", "sender", "--config", path)
    assert got.stdout == f"alice@example.com as sender: permit by {tmp_path}/s:2\n"
    got = holdfast("access", "test", "203.0.113.9", "--config", path)
    assert got.stdout == (f"203.0.113.9 as client: deny by {tmp_path}/plain:4 (203.0.113.9), "
                          "until 2100-01-01T00:00:00Z: guessed passwords\n")
    rows = holdfast("access", "list", "--json", "--config", path).stdout.splitlines()
    assert [(r["name"], r["of"], r["entries"]) for r in map(json.loads, rows)] == [
        ("allow", "client", 1), ("deny", "client", 1), ("access", "client", 4), ("access", "client", 2),
        ("access", "sender", 3)]


def test_what_is_exported_says_the_same(conf, tmp_path):
    path = conf('access = ( { file = "plain"; }, { file = "cidr:c"; } );\n',
                plain=PLAIN, c="!128.0.0.0/1 DUNNO\n192.0.0.0/16 REJECT\n2001:db8:1::/48 OK\n")
    questions = ["192.0.2.7", "192.0.2.8", "192.0.3.1", "10.0.0.1", "2001:db8:1::1", "2001:db9::", "203.0.113.9"]

    def answers(config):
        return [json.loads(holdfast("access", "test", q, "--json", "--config", config).stdout)["answer"]
                for q in questions]

    for form, prefix in (("plain", ""), ("cidr", "cidr:")):
        got = holdfast("access", "export", "--as", form, "--config", path)
        assert got.returncode == 0, got.stderr
        (tmp_path / "again").write_text(got.stdout)
        again = tmp_path / "again.conf"
        again.write_text(f'hostname = "mx.example.org";\naccess = ( {{ file = "{prefix}again"; }} );\n')
        assert answers(again) == answers(path)


@pytest.mark.parametrize("text, read_as, lines", [
    ("create x hash:ip\nadd x 192.0.2.1\n", "ipset", ["192.0.2.1"]),
    ("[{'sshd': ['192.0.2.1']}]\n", "ipset", ["192.0.2.1 sshd"]),
    ("192.0.2.:deny\n:allow\n", "tcprules", ["192.0.2.0/24"]),
    ("192.0.2.0/24 REJECT x\n", "cidr", ["192.0.2.0/24 x"]),
    ("192.0.2 REJECT x\n", "hash", ["192.0.2.0/24 x"]),
    ("192.0.2.1\n192.0.2.1 again\n192.0.2.0/32\n", "plain", ["192.0.2.0", "192.0.2.1"]),
])
def test_any_known_format_is_imported(tmp_path, text, read_as, lines):
    (tmp_path / "list").write_text(text)
    got = holdfast("access", "import", tmp_path / "list")
    assert got.returncode == 0, got.stderr
    assert got.stdout.splitlines() == [f"# from {tmp_path}/list, which was read as {read_as}", *lines]


def test_an_import_adds_an_end_and_a_reason(tmp_path):
    (tmp_path / "list").write_text("192.0.2.1\n192.0.2.2 until=2099-01-01 known\n")
    got = holdfast("access", "import", tmp_path / "list", "--until", "2098-01-01", "--why", "all of them",
                   "--to", tmp_path / "out")
    assert got.returncode == 0 and got.stdout == ""
    assert (tmp_path / "out").read_text().splitlines()[1:] == [
        "192.0.2.1 until=2098-01-02T00:00:00Z all of them",
        "192.0.2.2 until=2099-01-02T00:00:00Z known"]


def test_a_bad_import_writes_nothing(tmp_path):
    (tmp_path / "list").write_text("192.0.2.1\ngarbage\n")
    (tmp_path / "out").write_text("what was there\n")
    got = holdfast("access", "import", tmp_path / "list", "--to", tmp_path / "out")
    assert got.returncode == 1
    assert f"{tmp_path}/list:2: " in got.stderr
    assert (tmp_path / "out").read_text() == "what was there\n"


@pytest.fixture
def guarded(make_server, home):
    (home / "list").write_text("127.0.0.2\n")
    return make_server(settings='access = ( { file = "list"; } );\n'
                                'guard: {\n  mode = "enforce"; lookups = false; connect-rate = 0;\n};\n')


def test_a_list_with_an_error_leaves_the_old_one_in_force(guarded, home):
    assert guarded.talk("127.0.0.2").reply().startswith(b"554")
    (home / "list").write_text("127.0.0.3\ngarbage\n")
    got = guarded.cli("reload", check=False)
    assert got.returncode == 1
    assert f'{home}/list:2: "garbage" is neither an address nor a prefix' in got.stderr + got.stdout
    assert guarded.talk("127.0.0.2").reply().startswith(b"554")
    assert guarded.talk("127.0.0.3").reply().startswith(b"220")
    (home / "list").write_text("127.0.0.3\n")
    guarded.cli("reload")
    # each may be answered by another edge
    wait_for("the new list to be in force", lambda: guarded.talk("127.0.0.3").reply().startswith(b"554"))
    wait_for("the old one to be gone", lambda: guarded.talk("127.0.0.2").reply().startswith(b"220"))
    guarded.wait_log(r"log=lists .*key=access .*entries=1 ")
