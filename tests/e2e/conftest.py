"""What the end-to-end tests share: the built command, run in a world of its own."""

import os
import pathlib
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

    def __call__(self, *args, timeout=120, **env):
        return subprocess.run([str(MINKE), *map(str, args)], env=self.env | env, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
                              cwd=ROOT)


@pytest.fixture
def minke(tmp_path):
    return Minke(tmp_path / "data")
