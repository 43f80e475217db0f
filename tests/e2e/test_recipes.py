"""recipes/: every one is read and its model has a shape; the ablations compare what is equal, and
their table says what the runs did; the texts of `words` are fetched and cut."""

import argparse
import gzip
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess

import pytest

from conftest import MINKE, ROOT, failed

ALL = sorted((ROOT / "recipes").glob("*.yaml"))
PIPELINES = [p for p in ALL if re.search("^stages:", p.read_text(), re.M)]
RECIPES = [p for p in ALL if p not in PIPELINES]
RUN_SIZES = {"kv_bytes": 640, "params": 2103232, "active": 2103232}


def load(path):
    loader = importlib.machinery.SourceFileLoader(path.stem, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(path.stem, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ablations():
    return load(ROOT / "bench/ablations.py")


def plan(minke, recipe, *options):
    r = minke("train", recipe, "--dry-run", *options)
    assert r.returncode == 0 and r.stderr == "", r.stderr
    return r.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_can_be_planned(minke, recipe, tmp_path):
    goes_on = re.search(r"^ *from: ([^ \n]+)", recipe.read_text(), re.M)
    if goes_on and not (recipe.parent / goes_on[1]).exists():
        failed(minke("train", recipe, "--dry-run"), goes_on[1])  # another recipe's run comes first
        return
    text = plan(minke, recipe, "--set", f"out={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    words = {line.split()[1] for line in comments}
    assert words >= {"run", "model", "cache", "memory", "source", "steps"}
    yaml = [line for line in text.splitlines() if not line.startswith("#")]
    assert yaml[0] == 'base: ""' and any(line.startswith("  lr: ") for line in yaml)
    assert f"`{recipe.stem}`" in (ROOT / "docs/training.md").read_text()


@pytest.mark.parametrize("recipe", PIPELINES, ids=lambda p: p.stem)
def test_a_pipeline_can_be_planned(minke, recipe):
    text = subprocess.run([str(MINKE), "pipeline", recipe, "--dry-run"], env=minke.env, check=True,
                          capture_output=True, text=True).stdout
    names = re.findall("^- name: (.*)$", recipe.read_text(), re.M)
    assert re.findall("^# stage (.*), of kind", text, re.M) == names
    assert text.startswith(f"# runs/{recipe.stem}: {len(names)} stages\n")
    assert f"`{recipe.stem}`" in (ROOT / "docs/training.md").read_text()
    failed(minke("train", recipe, "--dry-run"), recipe.name, "minke pipeline")


def test_the_stages_of_pipelines_are_what_they_were(tmp_path):
    """However much of them is said in `defaults`."""
    golden = load(ROOT / "tools/golden/pipelines.py")
    found = golden.pipelines()
    assert len(found) >= 5 and sorted(found.values()) == sorted(golden.GOLDEN.glob("*"))
    for recipe, frozen in found.items():
        assert golden.explain(recipe, tmp_path) == frozen.read_text(), recipe


def test_a_plan_read_again_is_the_plan(minke, tmp_path):
    model = ROOT / "recipes/shakespeare/config.json"
    options = ("--set", f"model.config={model}")
    first = plan(minke, ROOT / "recipes/ablate-moe.yaml", *options)
    (tmp_path / "ablate-moe.yaml").write_text(first)
    def keys(text):
        return [line for line in text.splitlines() if not line.startswith("#")]
    assert keys(plan(minke, tmp_path / "ablate-moe.yaml")) == keys(first)
    assert "is not there" in plan(minke, tmp_path / "ablate-moe.yaml")


def test_a_plan_names_what_is_wrong(minke, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: {config: none.json}\ndata: {sources: [{path: a}]}\n")
    failed(minke("train", recipe, "--dry-run"), "none.json")
    (tmp_path / "none.json").write_text('{"model_type": "deepseek_v3"}')
    failed(minke("train", recipe, "--dry-run"), "none.json", "num_hidden_layers")
    recipe.write_text("base: gone.yaml\n")
    failed(minke("train", recipe, "--dry-run"), "gone.yaml")


def millions(text):
    return [float(x) for x in re.findall(r"([\d.]+) M", re.search("# model.*", text)[0])]


def test_the_ablations_compare_models_of_equal_size(minke, ablations):
    size = {n: millions(plan(minke, ROOT / f"recipes/ablate-{n}.yaml")) for n in ablations.RECIPES}
    for name in ("gqa", "mqa", "mha"):
        assert size[name][0] == pytest.approx(size["mla"][0], rel=0.01)
    for name in ("moe", "mtp", "aux", "unbalanced"):
        assert size[name][1] == pytest.approx(size["mla"][1], rel=0.01)
        assert size[name] == size["moe"]
    assert {p.stem[7:] for p in RECIPES if p.stem.startswith("ablate-")} == set(ablations.RECIPES)


def run_of(folder, valid, busiest=None):
    """The files of a finished run of 40 steps."""
    (folder / "checkpoints/step-000040").mkdir(parents=True)
    steps = [{"step": i, "loss": 5.0} for i in range(1, 41)]
    if busiest:
        for s in steps:
            s["experts"] = [{"layer": 0, "most": busiest}, {"layer": 1, "most": busiest + 1}]
    steps[-1]["valid_loss"] = valid
    (folder / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))
    return folder


def test_a_run_is_read(ablations, tmp_path):
    r = ablations.outcome(run_of(tmp_path / "moe-0", 4.5, busiest=1.5))
    assert (r["valid"], r["busiest"]) == (4.5, 2.0)
    assert ablations.outcome(run_of(tmp_path / "mla-0", 4.5))["busiest"] is None


def outcomes_of(ablations, tmp_path, **valid):
    return {name: [ablations.outcome(run_of(tmp_path / f"{name}-{i}", v))
                   for i, v in enumerate(values)] for name, values in valid.items()}


def test_speed_is_what_more_steps_cost(ablations, minke, tmp_path):
    """A real run of a few steps: a number that no load of the machine makes absurd."""
    o = argparse.Namespace(work=tmp_path, set=["data.sequence=32", "train.batch=1"])
    ablations.STEP = 60
    assert 10 < ablations.speed(o, "gqa") < 1e6
    assert ablations.speed(o, "gqa") == json.loads((tmp_path / "gqa-speed.json").read_text())


def test_a_difference_is_called_what_it_is(ablations, tmp_path):
    runs = outcomes_of(ablations, tmp_path, mla=(4.40, 4.42), mha=(4.41, 4.42), gqa=(4.60, 4.58),
                       moe=(4.30, 4.32))
    assert ablations.deviation(runs) == pytest.approx(0.0127, abs=1e-4)
    told = {line.split("  ")[0].strip(): line for line in ablations.answers(runs)}
    assert len(told) == 3 and all(len(line) <= 80 for line in told.values())
    assert "noise (" in told["latent attention, not multi-head"]
    assert "-0.180  better" in told["latent attention, not grouped queries"]
    assert "-0.100  better" in told["experts, not dense, at equal compute"]
    worse = outcomes_of(ablations, tmp_path / "w", mla=(5.0, 5.01), mha=(4.5, 4.51))
    assert "+0.500  worse" in next(ablations.answers(worse))
    alone = outcomes_of(ablations, tmp_path / "1", mla=(5.0,), mha=(4.5,))
    assert "noise unknown" in next(ablations.answers(alone))


def test_the_table_fits_a_terminal_and_its_file_keeps_the_numbers(ablations, tmp_path):
    runs = outcomes_of(ablations, tmp_path, mla=(4.40, 4.42), unbalanced=(4.30,))
    runs["unbalanced"][0]["busiest"] = 15.25
    rows = ablations.rows_of(runs, {n: RUN_SIZES for n in runs}, {n: 3130.75 for n in runs})
    lines = list(ablations.table(rows))
    assert len(lines) == 3 and all(len(line) <= 80 for line in lines)
    assert lines[1].split() == ["mla", "640", "2.10M", "2.10M", "4.410", "4.400-4.420", "-", "3131"]
    assert "one seed" in lines[2] and "15.25" in lines[2]
    ablations.write(tmp_path / "t.csv", ["what"], rows)
    text = (tmp_path / "t.csv").read_text().splitlines()
    assert text[0] == "# what" and text[1].startswith("recipe,kv_bytes,params,active,seeds,")
    assert text[2] == "mla,640,2103232,2103232,2,4.4100,4.4000,4.4200,,3130.7500"


# ---- tools/words_texts ------------------------------------------------------------------------

@pytest.fixture
def words(tmp_path):
    """words_texts, and a Debian of its own: apt-get and dpkg-deb that find packages in a folder."""
    tool = load(ROOT / "tools/words_texts")
    (tmp_path / "bin").mkdir()
    for name, script in {
            "apt-get": 'test -d "$DEBIAN/$3" || { echo "E: no $3" >&2; exit 100; }; '
                       'touch "$3_1_all.deb"',
            "dpkg-deb": 'p=${2##*/}; cp -r "$DEBIAN/${p%%_*}" "$3"'}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    for _, package, _, pattern, _ in tool.TEXTS:
        name = pattern.replace("**/", "").replace("*", "x")
        path = tmp_path / "debian" / package / name
        path.parent.mkdir(parents=True)
        text = f"About {package}: \u00e9\n".encode()
        path.write_bytes(gzip.compress(text) if path.suffix in (".gz", ".dz") else text)
        notice = tmp_path / "debian" / package / "usr/share/doc" / package / "copyright"
        notice.parent.mkdir(parents=True, exist_ok=True)
        notice.write_text("free\n")

    def run():
        env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                            "DEBIAN": str(tmp_path / "debian")}
        return subprocess.run([ROOT / "tools/words_texts", tmp_path / "texts"], env=env, text=True,
                              capture_output=True)
    return tool, run, tmp_path


def test_the_texts_are_those_that_the_recipe_reads(words):
    tool, run, folder = words
    r = run()
    assert r.returncode == 0, r.stderr
    assert all(len(line) <= 80 for line in r.stdout.splitlines()[:-1])
    sources = set(re.findall(r"words/texts/(\w+\.jsonl)", (ROOT / "recipes/words.yaml").read_text()))
    assert {p.name for p in (folder / "texts").glob("*.jsonl")} == sources
    assert len(list((folder / "texts").glob("*.copyright"))) == len(tool.TEXTS)
    lines = (folder / "texts/lexicons.jsonl").read_text().splitlines()
    assert [json.loads(x)["text"] for x in lines] == [
        f"About {p}: \u00e9" for p in ("dict-foldoc", "dict-jargon", "dict-devil")]


def test_a_package_that_is_gone_is_named_and_leaves_nothing_half(words):
    _, run, folder = words
    gone = folder / "debian/git-doc"
    gone.rename(folder / "gone")
    r = run()
    assert r.returncode == 1 and "git-doc" in r.stderr and "apt-get update" in r.stderr
    assert not list((folder / "texts").glob("*.jsonl"))


def test_a_dictionary_is_cut_between_entries(words):
    entry = "Word \\Word\\, n.\n   A {unit} of speech.\n   [1913 Webster]\n\n   2. A promise.\n\n"
    pieces = list(words[0].entries(entry * 200))
    assert len(pieces) > 1 and all(p.startswith("Word Word, n.") for p in pieces)
    assert all(words[0].PIECE <= len(p) < words[0].PIECE + 200 for p in pieces[:-1])
    text = "\n\n".join(pieces)
    assert text.count("A unit of speech.") == text.count("2. A promise.") == 200
    assert "Webster" not in text and "{" not in text
