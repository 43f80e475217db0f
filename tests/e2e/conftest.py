"""What the end-to-end tests share: the built command, run in a world of its own."""

import os
import pathlib
import pty
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build" / "minke"


class Minke:
    """Runs build/minke with an empty store and no settings of the user's."""

    def __init__(self, home):
        self.home = home
        self.store = home / "minke" / "models"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PIP_", "XDG_"))}
        self.env = kept | {"XDG_DATA_HOME": str(home), "HOME": str(home), "no_proxy": "127.0.0.1"}

    def __call__(self, *args, timeout=600, stdin="", **env):
        return subprocess.run([str(MINKE), *map(str, args)], env=self.env | env, text=True,
                              input=stdin, capture_output=True, timeout=timeout, cwd=ROOT)

    def without_roots_rights(self, *args):
        """Files' permissions count, for root as for everyone."""
        less = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
        return subprocess.run([*less, str(MINKE), *map(str, args)], env=self.env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT)

    def on_a_terminal(self, *args, stdout=None, **env):
        """stdout and stderr on a terminal, or stderr alone: what it showed."""
        ours, theirs = pty.openpty()
        p = subprocess.Popen([str(MINKE), *map(str, args)], env=self.env | env, cwd=ROOT,
                             stdin=subprocess.DEVNULL, stdout=stdout or theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other side is closed
            pass
        os.close(ours)
        assert p.wait() == 0
        return shown.decode()


def failed(result, *words):
    """One line on stderr, nothing on stdout, status 1."""
    assert result.returncode == 1, result
    assert result.stdout == ""
    assert re.fullmatch(r"minke: [^\n]+\n", result.stderr)
    for word in words:
        assert word in result.stderr


def refused(result, *words):
    """A wrong command line: status 2 and one line that points to the help."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert re.fullmatch(r"minke[^\n]*\n", result.stderr)
    for word in words:
        assert word in result.stderr


@pytest.fixture
def minke(tmp_path):
    return Minke(tmp_path / "data")
