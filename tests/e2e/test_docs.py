"""The documentation says what the program does."""

import re
import shutil
import subprocess

import pytest

from conftest import ROOT

MAN = ROOT / "docs" / "minke.1"


def test_every_environment_variable_is_documented():
    source = "".join(p.read_text() for p in sorted((ROOT / "src").rglob("*.c")))
    used = set(re.findall(r'getenv\("(\w+)"\)', source))
    documented = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/switches.md").read_text(), re.M))
    assert used == documented
    assert all(name in MAN.read_text() for name in used)


def test_every_command_is_in_the_man_page(minke):
    commands = re.findall(r"^  (\w+) ", minke("--help").stdout, re.M)
    assert "pull" in commands
    described = re.findall(r'^\.SS "minke (\w+)', MAN.read_text(), re.M)
    assert set(commands) <= set(described)


# Those with commands of their own explain each of these.
PARTS = {"data": ["data build", "data show"], "tokenizer": ["tokenizer train"],
         "tasks": ["tasks", "tasks corpus"], "verify": ["verify math", "verify format", "verify code"]}
NAMES = re.findall(r'^    \{"(\w+)", "', (ROOT / "src/cli/main.c").read_text(), re.M)


@pytest.mark.parametrize("command", [c for name in NAMES for c in PARTS.get(name, [name])])
def test_every_long_option_is_in_the_man_page(minke, command):
    options = re.findall(r"--([a-z0-9-]+)", minke(*command.split(), "--help").stdout)
    assert options
    text = MAN.read_text().replace("\\-", "-")
    assert [o for o in options if not re.search(rf"--{o}\b(?!-)", text)] == []


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff here")
def test_the_man_page_is_sound():
    r = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", str(MAN)], capture_output=True, text=True)
    assert r.returncode == 0 and r.stderr == ""
