"""minke train: runs that are killed and resumed, and what a person can do wrong."""

import gzip
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest

from conftest import MINKE, ROOT, failed, refused

TEXT = ROOT / "tests/golden/text/shakespeare.txt"
MODEL = {
    "model_type": "deepseek_v3", "vocab_size": 384, "hidden_size": 48, "num_hidden_layers": 2,
    "num_nextn_predict_layers": 1, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "intermediate_size": 96, "num_attention_heads": 2, "num_key_value_heads": 2,
    "q_lora_rank": None, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
    "v_head_dim": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "moe_intermediate_size": 24, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
    "routed_scaling_factor": 1.0, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
    "max_position_embeddings": 256, "tie_word_embeddings": False, "attention_bias": False,
}
RECIPE = """\
out: {out}
model: {{config: config.json}}
data:
  sequence: 32
  validation: 0.2
  sources: [{{path: text.txt}}]
train: {{tokens: 25600, batch: 4}}
optimizer: {{lr: 3e-3, outlier_z: 6, ema: 0.9}}
eval: {{every: 50, sequences: 4}}
save: {{every: 10}}
sample: {{every: 100, tokens: 5, prompt: a}}
"""


@pytest.fixture
def recipe(tmp_path):
    """200 steps of a tiny model with everything in it."""
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    shutil.copy(TEXT, tmp_path / "text.txt")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run"))
    return path


def files_of(run):
    """All that may not depend on the clock, nor on how often the run was told another end."""
    timed = ("timing.jsonl", "report.html", "events.out.tfevents.0.minke")
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*"))
            if p.is_file() and p.name not in timed and not p.name.startswith("recipe.")}


def ok(result):
    assert result.returncode == 0, result.stderr
    return result


def test_rows_that_pad_the_vocabulary_say_nothing(minke, recipe):
    """A short text gives fewer tokens than the model has room for; a young model draws the others too."""
    run = ok(minke("train", recipe, "-q", "--set", "tokenizer.vocab=280", "--set", "train.tokens=200")).stdout.strip()
    got = json.loads(ok(minke("generate", run, "--raw", "-p", "a", "-t", 1, "-n", 60, "--json")).stdout)
    assert max(got["ids"]) >= 280 and len(got["text"]) < 500


def test_a_run_killed_ten_times_is_the_run_that_was_not(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / 'whole'}"))
    whole = files_of(tmp_path / "whole")
    lines = [json.loads(x) for x in whole["metrics.jsonl"].splitlines()]
    assert [x["step"] for x in lines] == list(range(1, len(lines) + 1)) and len(lines) >= 200
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5  # it learns
    kills, longest = 0, 0.4
    for _ in range(400):
        p = subprocess.Popen([MINKE, "train", recipe, "-q", "--resume"], env=minke.env, cwd=ROOT,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            p.communicate(timeout=random.uniform(0.02, longest) if kills < 10 else 300)
            assert p.returncode == 0 and files_of(tmp_path / "run") == whole
            if kills == 10:
                break
            shutil.rmtree(tmp_path / "run")  # a fast machine: it was there too soon, once more
            longest *= 0.7
        except subprocess.TimeoutExpired:
            p.kill()
            p.communicate()
            kills += 1
            if not checkpoints_of(tmp_path / "run"):  # a slow machine: it must come to one at times
                longest *= 1.3
    assert p.returncode == 0 and kills == 10


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_threads_and_memory_change_no_byte(minke, recipe, tmp_path, threads):
    sizes = {"1": ("8192", "1024"), "2": ("64", "0"), "3": ("40", "1")}[threads]
    runs = []
    for name, options in (("a", ()), ("b", ("--set", f"threads={threads}",
                                            "--set", f"train.pass_tokens={sizes[0]}",
                                            "--set", f"train.memory_mb={sizes[1]}"))):
        ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / name}",
                 "--set", "train.tokens=6400", *options))
        runs.append(files_of(tmp_path / name))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("compute", ["bf16", "fp8"])
def test_narrow_types_learn_and_resume_to_the_byte(minke, recipe, tmp_path, compute):
    options = ("-q", "--set", f"train.compute={compute}", "--set", "train.tokens=6400")
    ok(minke("train", recipe, *options, "--set", f"out={tmp_path / 'whole'}"))
    whole = files_of(tmp_path / "whole")
    lines = [json.loads(x) for x in whole["metrics.jsonl"].splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.2
    ok(minke("train", recipe, *options))
    for step in ("050", "040"):  # as if it had been killed after step 30
        shutil.rmtree(tmp_path / f"run/checkpoints/step-000{step}", ignore_errors=True)
    ok(minke("train", recipe, *options, "--resume"))
    run = files_of(tmp_path / "run")
    assert run["metrics.jsonl"] == whole["metrics.jsonl"]
    last = max(n for n in whole if n.endswith("model.safetensors"))
    assert run[last] == whole[last]


def tensors_of(path):
    data = path.read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    return {name: (t["shape"], data[8 + n:][slice(*t["data_offsets"])])
            for name, t in header.items() if name != "__metadata__"}


def weights_of(checkpoint):
    return {n: x for n, (_, x) in tensors_of(checkpoint / "model.safetensors").items()}


def metrics_of(run):
    return [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]


def test_frozen_weights_keep_every_bit(minke, recipe, tmp_path):
    options = ("-q", "--set", "train.tokens=1280", "--set", "save.keep=9", "--set", "save.every=5",
               "--set", "model.learn=*.mlp.experts.*,lm_head.weight")
    ok(minke("train", recipe, *options))
    early, late = (weights_of(tmp_path / f"run/checkpoints/step-0000{s}") for s in ("05", "10"))
    moved = {name for name in early if early[name] != late[name]}
    assert moved and "lm_head.weight" in moved
    assert all(".mlp.experts." in n or n == "lm_head.weight" for n in moved)
    failed(minke("train", recipe, "-q", "--set", "model.learn=nothing",
                 "--set", f"out={tmp_path / 'other'}"), "model.learn", "nothing")


def test_a_checkpoint_exported_in_fp8_runs_and_trains_on(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.compute=fp8", "--set", "train.tokens=6400"))
    last, out = max((tmp_path / "run/checkpoints").iterdir()), tmp_path / "fp8"
    ok(minke("convert", last, out, "--to", "fp8"))
    assert json.loads((out / "config.json").read_text())["quantization_config"]["quant_method"] == "fp8"
    scales = [n for n in weights_of(out) if n.endswith("_scale_inv")]
    assert len(scales) > 30 and "lm_head.weight_scale_inv" not in scales
    text = TEXT.read_text()[:300]
    losses = [json.loads(ok(minke("score", m, "--text-file", "-", "--json", stdin=text)).stdout)["nll"]
              for m in (last, out)]
    assert 0 < abs(losses[1] / losses[0] - 1) < 0.005
    ok(minke("train", recipe, "-q", "--set", "model.config=", "--set", f"model.from={out}",
             "--set", f"out={tmp_path / 'on'}", "--set", "train.tokens=256"))


@pytest.fixture
def base(minke, recipe, tmp_path):
    """A model to go on with, and options for adapters on it."""
    ok(minke("train", recipe, "-q", "--set", "train.tokens=1280", "--set", f"out={tmp_path / 'first'}"))
    model = tmp_path / "base"
    shutil.copytree(tmp_path / "first/checkpoints/step-000010", model)
    return model, ("-q", "--set", "model.config=", "--set", f"model.from={model}",
                   "--set", "lora.rank=4", "--set", "lora.alpha=8", "--set", "train.tokens=3840",
                   "--set", "lora.targets=*.self_attn.*,*.experts.1.*,lm_head.weight", "--set", "save.keep=9")


def test_adapters_learn_and_the_base_keeps_every_bit(minke, recipe, base, tmp_path):
    model, options = base
    ok(minke("train", recipe, *options))
    ok(minke("train", recipe, *options, "--set", "lora.rank=0", "--set", f"out={tmp_path / 'all'}",
             "--set", "train.tokens=128"))
    lines = metrics_of(tmp_path / "run")
    assert lines[0]["loss"] == metrics_of(tmp_path / "all")[0]["loss"]
    assert lines[-1]["valid_loss"] < metrics_of(tmp_path / "first")[-1]["valid_loss"] - 0.01
    last = tmp_path / "run/checkpoints/step-000030"
    adapter = tensors_of(last / "adapter/adapter_model.safetensors")
    before, after = (tensors_of(x / "model.safetensors") for x in (model, last))
    adapted = {n.removeprefix("base_model.model.").replace(".lora_A", "") for n in adapter if "lora_A" in n}
    assert {n for n in after if before[n] != after[n]} == adapted
    assert all(re.search(r"[.]self_attn[.]|[.]experts[.]1[.]|^lm_head", n) for n in adapted)
    for name in adapted:
        part = "base_model.model." + name.removesuffix(".weight") + ".lora_%s.weight"
        (n_out, n_in), _ = after[name]
        assert adapter[part % "A"][0] == [4, n_in] and adapter[part % "B"][0] == [n_out, 4]
    config = json.loads((last / "adapter/adapter_config.json").read_text())
    assert config["peft_type"] == "LORA" and (config["r"], config["lora_alpha"]) == (4, 8)
    assert {n + ".weight" for n in config["target_modules"]} == adapted


def test_an_adapter_merged_later_is_the_model_of_its_checkpoint(minke, recipe, base, tmp_path):
    model, options = base
    ok(minke("train", recipe, *options))
    last, merged = tmp_path / "run/checkpoints/step-000030", tmp_path / "merged"
    ok(minke("convert", model, merged, "--to", "f32", "--adapter", last / "adapter"))
    assert weights_of(merged) == weights_of(last)
    ok(minke("generate", merged, "--raw", "-p", "The", "-n", "3"))
    failed(minke("convert", model, tmp_path / "m.gguf", "--adapter", last / "adapter"), "GGUF")
    failed(minke("convert", model, tmp_path / "m", "--adapter", last), "adapter_config.json")
    failed(minke("convert", ROOT / "tests/golden/models/qwen3", tmp_path / "m", "--adapter",
                 last / "adapter"), "adapter")
    config = last / "adapter/adapter_config.json"
    config.write_text(config.read_text().replace('"use_dora": false', '"use_dora": true'))
    failed(minke("convert", model, tmp_path / "m", "--adapter", last / "adapter"), "use_dora")


def test_a_gguf_takes_adapters_too(minke, recipe, tmp_path):
    gguf, merged = ROOT / "tests/golden/gguf/llama3.gguf", tmp_path / "merged"
    ok(minke("train", recipe, "-q", "--set", "model.config=", "--set", f"model.from={gguf}", "--set",
             "lora.rank=4", "--set", "lora.targets=*", "--set", "train.tokens=1280"))
    last = tmp_path / "run/checkpoints/step-000010"
    ok(minke("convert", gguf, merged, "--to", "f32", "--adapter", last / "adapter"))
    assert weights_of(merged) == weights_of(last)


def test_adapters_resume_to_the_byte_on_their_own_base(minke, recipe, base, tmp_path):
    model, options = base
    ok(minke("train", recipe, *options))
    whole = files_of(tmp_path / "run")
    for step in ("030", "020"):
        shutil.rmtree(tmp_path / f"run/checkpoints/step-000{step}")
    ok(minke("train", recipe, *options, "--resume", "--set", "threads=1"))
    run = files_of(tmp_path / "run")
    assert set(run) == set(whole)
    assert run == whole
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-2] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    failed(minke("train", recipe, *options, "--resume"), "model.from has changed")


def test_adapters_need_a_base_and_learn_alone(minke, recipe, base):
    _, options = base
    failed(minke("train", recipe, "-q", "--set", "lora.rank=4"), "model.from")
    failed(minke("train", recipe, *options, "--set", "model.learn=*.mlp.*"), "model.learn")
    failed(minke("train", recipe, *options, "--set", "lora.targets=*norm*"), "lora.targets")
    failed(minke("train", recipe, *options, "--set", "model.mla=absorbed"), "kv_b_proj")


def test_the_mean_of_weights_is_a_model_of_its_own(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=2560"))
    last = tmp_path / "run/checkpoints/step-000020"
    mean, kept = tensors_of(last / "ema/model.safetensors"), tensors_of(last / "optimizer.safetensors")
    learned = {n.removeprefix("ema."): x for n, x in kept.items() if n.startswith("ema.")}
    assert len(learned) > 20 and all(mean[n] == x for n, x in learned.items())
    assert mean["lm_head.weight"] != tensors_of(last / "model.safetensors")["lm_head.weight"]
    line = metrics_of(tmp_path / "run")[-1]
    assert 0 < abs(line["valid_loss_ema"] - line["valid_loss"]) < 0.5
    ok(minke("generate", last / "ema", "--raw", "-p", "The", "-n", "3"))


def test_a_checkpoint_is_a_model(minke, recipe, tmp_path):
    r = ok(minke("train", recipe, "-q", "--set", "train.tokens=2560"))
    checkpoint = r.stdout.strip()
    assert os.path.isdir(checkpoint)
    assert "deepseek_v3" in ok(minke("inspect", checkpoint)).stdout
    ok(minke("generate", checkpoint, "--raw", "-p", "The", "-n", "5"))
    score = json.loads(ok(minke("score", checkpoint, "--text-file", "-", "--json",
                                stdin="The king is dead.\n")).stdout)
    assert score["nll"] < 6.2
    again = tmp_path / "again"
    ok(minke("train", recipe, "-q", "--set", "model.config=", "--set", f"model.from={checkpoint}",
             "--set", f"out={again}", "--set", "train.tokens=256"))


def test_a_run_is_its_last_checkpoint(minke, recipe, tmp_path):
    run = tmp_path / "run"
    failed(minke("inspect", run), "there is no such file or folder")
    last = ok(minke("train", recipe, "-q", "--set", "train.tokens=1920")).stdout.strip()
    assert len(checkpoints_of(run)) == 2
    (tmp_path / "ids").write_text("5 6 7 8 9")
    for name, model in (("a", run), ("b", last)):
        ok(minke("grad", model, "--ids-file", tmp_path / "ids", "--out", tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    ok(minke("generate", run, "--raw", "-p", "The", "-n", "5"))
    r = ok(minke("train", recipe, "--set", "model.config=", "--set", f"model.from={run}",
                 "--set", f"out={tmp_path / 'again'}", "--set", "train.tokens=256"))
    assert f"reading {last}\n" in r.stderr
    (run / "checkpoints").rename(run / "gone")
    failed(minke("inspect", run), "holds no model")


def test_what_the_recipe_names_must_be_there(minke, recipe, tmp_path):
    recipe.with_name("text.txt").rename(tmp_path / "other.txt")
    failed(minke("train", recipe), "data.sources: text.txt", "text.txt is not there", "recipe's folder")
    failed(minke("train", recipe, "--set", "model.config=none.json"), "model.config", "none.json is not there")
    failed(minke("train", recipe, "--set", "model.config=", "--set", "model.from=../runs/none"), "model.from",
           "none is not there", "made first")
    failed(minke("train", recipe, "--set", "tokenizer.path=none"), "tokenizer.path", "none is not there")
    failed(minke("train", tmp_path), "is a folder")


def test_resuming_nothing_and_what_is_done_are_told(minke, recipe, tmp_path):
    r = ok(minke("train", recipe, "--resume", "--set", "train.tokens=256"))
    assert "run has no checkpoint to go on from: it begins\n" in r.stderr
    r = ok(minke("train", recipe, "--resume", "--set", "train.tokens=256"))
    assert "nothing is left to do: 256 of 256 tokens" in r.stderr and "it begins" not in r.stderr
    assert r.stdout.strip().endswith("step-000002")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_saves_and_says_how_to_go_on(minke, recipe, tmp_path, name):
    p = subprocess.Popen([MINKE, "train", recipe, "--set", "save.every=0"], env=minke.env, cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run/metrics.jsonl"
    end = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.02)
    p.send_signal(getattr(signal, name))
    _, err = p.communicate(timeout=300)
    if p.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert p.returncode == 130 and "--resume" in err and "\x1b" not in err
    step = re.search(r"stopped after step (\d+)", err)[1]
    assert [c.name for c in checkpoints_of(tmp_path / "run")] == [f"step-{int(step):06}"]
    assert len(metrics.read_text().splitlines()) == int(step)


def test_a_second_run_into_the_same_folder_is_refused(minke, recipe):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=256"))
    failed(minke("train", recipe, "-q"), "--resume")


def test_a_typo_is_refused_by_name_and_line(minke, recipe):
    recipe.write_text(recipe.read_text() + "optimiser: {lr: 1}\n")
    failed(minke("train", recipe), "recipe.yaml:12", "optimiser")
    failed(minke("train", recipe.parent / "none.yaml"), "none.yaml")
    refused(minke("train"), "RECIPE")


GZIP = gzip.compress(b"All the world's a stage, and all the men and women merely players. " * 99)
BAD_TEXTS = {
    "missing": ("text.txt", None, "text.txt"),
    "empty": ("text.txt", b"", "text"),
    "not UTF-8": ("text.txt", b"\xff\xfe" * 40, "UTF-8"),
    "a folder without text": ("text", {"a.bin": b"x"}, "text"),
    "an empty folder": ("text", {}, "text"),
    "a cut gz": ("text.txt.gz", GZIP[:-20], "text.txt.gz"),
    "a gz that is none": ("text.txt.gz", b"plain", "text.txt.gz"),
    "a damaged zst": ("text.txt.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "text.txt.zst"),
    "cut JSONL": ("text.jsonl", b'{"text": "a"}\n{"text": "b', "line 2"),
    "JSONL without the field": ("text.jsonl", b'{"body": "a"}\n', "text"),
    "a shard that is none": ("text.tokens", b"minke-tk" + bytes(20), "text.tokens"),
    "a link to nowhere": ("text.txt", "nowhere", "text.txt"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_text_that_is_none_is_said(minke, recipe, tmp_path, name):
    file, content, word = BAD_TEXTS[name]
    path = recipe.with_name(file)
    recipe.with_name("text.txt").unlink()
    if isinstance(content, dict):
        path.mkdir()
        for k, v in content.items():
            (path / k).write_bytes(v)
    elif isinstance(content, str):
        path.symlink_to(tmp_path / content)
    elif content is not None:
        path.write_bytes(content)
    recipe.write_text(recipe.read_text().replace("path: text.txt", f"path: {file}"))
    r = minke("train", recipe, "-q")
    assert r.returncode == 1 and re.fullmatch(r"minke: [^\n]+\n", r.stderr), r.stderr
    assert word in r.stderr
    # what is wrong is made right, and the run begins
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    shutil.copy(TEXT, recipe.with_name("good.txt"))
    recipe.write_text(recipe.read_text().replace(f"path: {file}", "path: good.txt"))
    ok(minke("train", recipe, "-q", "--set", "train.tokens=256"))


def test_a_text_that_may_not_be_read_is_said(minke, recipe):
    recipe.with_name("text.txt").chmod(0)
    failed(minke.without_roots_rights("train", recipe, "-q"), "text.txt", "ermission")


def test_a_vocabulary_too_large_for_the_model_is_refused(minke, recipe):
    failed(minke("train", recipe, "-q", "--set", "tokenizer.vocab=500"), "vocab_size", "384")


def test_a_cut_shard_and_another_vocabulary_are_refused(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=256"))
    shard = next((tmp_path / "run/data/text.txt").glob("*.tokens"))
    other = tmp_path / "other.tokens"
    other.write_bytes(shard.read_bytes()[:-9])
    use = recipe.read_text().replace("text.txt", "other.tokens").replace("/run\n", "/run2\n")
    recipe.write_text(use.replace("model:", "tokenizer: {path: run/tokenizer}\nmodel:"))
    failed(minke("train", recipe, "-q"), "other.tokens")
    other.write_bytes(shard.read_bytes())
    recipe.write_text(use)  # learns a vocabulary of its own; there is no text to learn from
    assert minke("train", recipe, "-q").returncode == 1


@pytest.mark.parametrize("name", ["state.json", "optimizer.safetensors", "model.safetensors",
                                  "config.json"])
def test_a_checkpoint_without_one_of_its_files_is_refused_by_name(minke, recipe, tmp_path, name):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=2560"))
    whole = files_of(tmp_path / "run")
    earlier, last = sorted((tmp_path / "run/checkpoints").iterdir())
    recipes = {p: p.read_bytes() for p in (tmp_path / "run").glob("recipe*")}
    kept = (last / name).read_bytes()
    (last / name).unlink()
    failed(minke("train", recipe, "-q", "--resume"), name.split(".")[0], f"remove {last}", "step 10")
    (last / name).write_bytes(kept[:len(kept) // 2])
    failed(minke("train", recipe, "-q", "--resume"), name, f"remove {last}")
    assert recipes == {p: p.read_bytes() for p in (tmp_path / "run").glob("recipe*")}
    ok(minke("inspect", earlier))
    shutil.rmtree(last)  # as it was told
    ok(minke("train", recipe, "-q", "--resume", "--set", "train.tokens=2560"))
    assert files_of(tmp_path / "run") == whole


def test_other_data_is_no_data_to_go_on_with(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=1280"))
    other = recipe.with_name("other.yaml")
    other.write_text(recipe.read_text().replace("text.txt", "text.txt, name: b"))
    failed(minke("train", other, "-q", "--resume"), "state.json", "'text.txt'", "'b'")
    failed(minke("train", recipe, "-q", "--resume", "--set", "data.sequence=40"), "state.json",
           "text.txt", "sequences")


def test_a_learning_rate_that_explodes_leaves_the_last_checkpoint(minke, recipe, tmp_path):
    r = minke("train", recipe, "-q", "--set", "optimizer.lr=10", "--set", "optimizer.clip=0",
              "--set", "optimizer.weight_decay=10", "--set", "optimizer.outlier_z=0",
              "--set", "save.every=1", "--set", "eval.every=0", "--set", "sample.every=0")
    failed(r, "not a number", "last checkpoint is")
    checkpoint = re.search(r"last checkpoint is ([^\s:]+)", r.stderr)[1]
    assert (ROOT / checkpoint / "state.json").exists()


@pytest.fixture
def disk(tmp_path):
    """A small disk; call it with options of mount(8)."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a disk")
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options):
        new = ["remount"] if os.path.ismount(path) else []
        if subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([options, *new]), "tmpfs",
                           path]).returncode:
            pytest.skip("no tmpfs here")
        return path

    yield mount
    subprocess.run(["umount", path])


def checkpoints_of(run):
    return sorted(p for p in (run / "checkpoints").glob("*")) if run.exists() else []


@pytest.mark.parametrize("size", ["100k", "400k", "1500k", "3m", "5m", "6m"])
def test_a_full_disk_keeps_what_was_saved_and_the_run_goes_on(minke, recipe, tmp_path, disk, size):
    """The disk is full while texts, metrics or a checkpoint are written; then it is made larger."""
    short = ("--set", "train.tokens=5120")
    ok(minke("train", recipe, "-q", *short, "--set", f"out={tmp_path / 'whole'}"))
    run = disk(f"size={size}") / "run"
    r = minke("train", recipe, "-q", *short, "--set", f"out={run}")
    failed(r, str(run))
    saved = checkpoints_of(run)
    assert all(re.fullmatch(r"step-\d{6}", p.name) for p in saved)
    if saved:
        assert f"the last checkpoint is {saved[-1]}: " in r.stderr
    for checkpoint in saved:
        ok(minke("inspect", checkpoint))
    disk("size=64m")
    ok(minke("train", recipe, "-q", *short, "--set", f"out={run}", "--resume"))
    assert files_of(run) == files_of(tmp_path / "whole")


def test_a_disk_that_becomes_read_only_stops_the_run_and_loses_nothing(minke, recipe, disk):
    run = disk("size=64m") / "run"
    p = subprocess.Popen([MINKE, "train", recipe, "-q", "--set", f"out={run}", "--set",
                          "train.tokens=2560000"], env=minke.env, cwd=ROOT, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while len(checkpoints_of(run)) < 2:
        assert time.monotonic() < end and p.poll() is None
        time.sleep(0.02)
    p.send_signal(signal.SIGSTOP)
    # nothing may be open for writing when a disk is made read-only: a new mount over it is
    subprocess.run(["mount", "--bind", run, run], check=True)
    try:
        ro = subprocess.run(["mount", "-o", "remount,bind,ro", run]).returncode == 0
        p.send_signal(signal.SIGCONT)
        _, err = p.communicate(timeout=300)
    finally:
        p.kill()
        subprocess.run(["umount", run])
    if not ro:
        pytest.skip("no read-only mount here")
    saved = [c for c in checkpoints_of(run) if not c.name.endswith(".part")]
    assert p.returncode == 1 and "Read-only" in err and re.fullmatch(r"minke: [^\n]+\n", err)
    assert f"the last checkpoint is {saved[-1]}" in err
    for checkpoint in saved:
        ok(minke("inspect", checkpoint))


def test_a_folder_that_is_read_only_is_said(minke, recipe, disk):
    failed(minke("train", recipe, "-q", "--set", f"out={disk('size=1m,ro')}/run"), "run")


def test_the_bias_of_the_router_moves_by_gamma_until_it_is_told_to_rest(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=2560", "--set", "save.every=5", "--set",
             "save.keep=9", "--set", "balance.gamma=0.25", "--set",
             "balance.gamma_until_tokens=1280", "--set", "optimizer.outlier_z=0"))
    name = "model.layers.1.mlp.gate.e_score_correction_bias"
    steps = [struct.unpack("<8f", weights_of(tmp_path / f"run/checkpoints/step-0000{s}")[name])
             for s in ("05", "10", "15", "20")]
    for n, bias in zip((5, 10), steps):
        assert any(bias) and all(b % 0.25 == 0 and abs(b) <= n * 0.25 for b in bias)
    assert steps[0] != steps[1] and steps[1] == steps[2] == steps[3]


TWO_SOURCES = """\
model: {config: config.json}
data:
  sequence: 32
  validation: 0.2
  sources:
  - {path: text.txt, name: prose}
  - {path: digits.txt, name: digits, weights: [{tokens: 3200, weight: 0}, {tokens: 6400, weight: 1}]}
train: {tokens: 12800, batch: 8}
optimizer: {lr: 1e-2}
eval: {every: 10, sequences: 16}
"""


def test_experts_are_told_apart_by_source_and_weights_follow_the_tokens(minke, recipe, tmp_path):
    (tmp_path / "digits.txt").write_text(" ".join(str(i * i) for i in range(9000)))
    recipe.write_text(TWO_SOURCES)
    runs = []
    for name, options in (("a", ()), ("b", ("--set", "train.pass_tokens=40", "--set", "threads=3"))):
        ok(minke("train", recipe, "-q", "--set", f"out={tmp_path / name}", *options))
        runs.append((tmp_path / name / "metrics.jsonl").read_bytes())
    assert runs[0] == runs[1]
    steps = [json.loads(line) for line in runs[0].splitlines()]
    drawn = [s["tokens"] for s in steps if s["sources"]["digits"]["tokens"]]
    assert min(drawn) > 3200
    last = steps[-1]
    assert last["sources"]["digits"]["tokens"] > 1000
    assert sum(s["tokens"] for s in last["sources"].values()) == last["tokens"]
    assert last["sources"]["digits"]["epochs"] > 0
    valid = last["valid_sources"]
    assert min(valid.values()) < last["valid_loss"] < max(valid.values())
    for layer in last["experts"]:
        assert layer["dropped"] == 0
        counts = layer["sources"]
        assert set(counts) == {"prose", "digits"} and len(counts["prose"]) == 8
        assert 0 <= layer["information"] <= 1
    # every token of the validation text has two experts in a layer; a block of MTP has one row less
    layers = {x["layer"]: sum(map(sum, x["sources"].values())) for x in last["experts"]}
    assert layers[1] == 2 * 16 * 32 and layers[2] < layers[1]
    assert max(x["information"] for x in last["experts"]) > 0.01
    page = (tmp_path / "a/report.html").read_text()
    assert "Who learned what: experts by source" in page and "layer 1, expert 0: prose" in page


@pytest.mark.parametrize("options", [(), ("train.memory_mb=0",), ("optimizer.kind=muon",),
                                     ("train.compute=bf16", "optimizer.ema=0.9"),
                                     ("eval.sequences=300", "train.batch=2")], ids=" ".join)
def test_memory_is_told_before_the_run_and_kept(minke, recipe, tmp_path, options):
    sets = [x for o in ("train.batch=64", "data.sequence=64", "train.tokens=20480", *options)
            for x in ("--set", o)]
    # a child's peak counts what its parent had at the fork: a small parent of its own starts it
    measure = ("import os, subprocess, sys; p = subprocess.Popen(sys.argv[1:]); "
               "_, status, usage = os.wait4(p.pid, 0); print(status, usage.ru_maxrss * 1024)")
    r = subprocess.run([sys.executable, "-S", "-c", measure, MINKE, "train", recipe, *sets],
                       env=minke.env, cwd=ROOT, text=True, capture_output=True)
    said = r.stderr
    status, most = map(int, r.stdout.splitlines()[-1].split())
    assert status == 0, said
    told = int(re.search(r"^memory  about (\d+) MB:", said, re.M)[1]) * 1e6
    assert said.index("memory  about") < said.index("step 1 ")
    assert most <= told <= 1.5 * most + 16e6, said
    parts = re.search(r"weights ([\d.]+), gradients ([\d.]+), moments ([\d.]+),\s+passes ([\d.]+), "
                      r"data and the rest ([\d.]+)\n", said).groups()
    # five parts and their sum, each rounded to a megabyte or less
    assert sum(map(float, parts)) * 1e6 == pytest.approx(told, rel=0.02, abs=3e6)


def test_the_memory_of_who_started_it_is_not_told(minke, recipe):
    large = "import subprocess, sys; x = bytearray(500_000_000); subprocess.run(sys.argv[1:])"
    r = subprocess.run([sys.executable, "-S", "-c", large, MINKE, "train", recipe, "--set",
                        "train.tokens=256"], env=minke.env, cwd=ROOT, text=True, capture_output=True)
    told, most, again = map(int, re.search(r"about (\d+) MB(?s:.*)memory  (\d+) MB at most, (\d+) MB",
                                           r.stderr).groups())
    assert most <= told == again < 300


def test_a_run_that_cannot_fit_is_refused_before_it_begins(minke, recipe, tmp_path):
    failed(minke("train", recipe, "-q", "--set", "train.batch=16777216", "--set",
                 "train.pass_tokens=16777216", "--set", "train.memory_mb=16777216"),
           "memory", "train.pass_tokens")
    assert not (tmp_path / "run/metrics.jsonl").exists()
    ok(minke("train", recipe, "-q", "--set", "train.tokens=256"))


def test_a_person_sees_how_it_goes(minke, recipe, tmp_path):
    shown = minke.on_a_terminal("train", recipe, "--set", "train.tokens=2560", "--set",
                                "eval.every=5", NO_COLOR="1")
    assert "\x1b" not in shown
    lines = [x.rstrip() for x in re.split(r"[\r\n]+", shown) if x.strip()]
    bars = [x for x in lines if x.startswith("[")]
    assert bars and all(len(x) <= 79 for x in lines if str(tmp_path) not in x)
    assert re.fullmatch(r"\[#+\.*\] 100 %  loss \d\.\d{3}  valid \d\.\d{3}  \d+ tok/s  "
                        r"util \d+ %  took \d+:\d\d", bars[-1]), bars
    assert any("  ETA " in x for x in bars)
    row = lines[next(i for i, x in enumerate(lines) if x.endswith("source")) + 1]
    counted = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert row.split()[0] == str(counted["sources"]["text.txt"]["tokens"])
    timing = [json.loads(x) for x in (tmp_path / "run/timing.jsonl").read_text().splitlines()]
    assert all(0 < t["utilisation"] for t in timing)
    assert "Utilisation" in (tmp_path / "run/report.html").read_text()
    r = minke("train", recipe, "--set", f"out={tmp_path / 'piped'}", "--set", "train.tokens=256")
    assert "\r" not in r.stderr and "\x1b" not in r.stderr and "step 2  loss" in r.stderr


def test_a_capacity_drops_choices_and_says_how_many(minke, recipe, tmp_path):
    options = ("-q", "--set", "train.tokens=1280", "--set", "balance.devices=4")
    ok(minke("train", recipe, *options, "--set", "balance.capacity=1"))
    steps = [json.loads(line) for line in
             (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(0 < layer["dropped"] < 128 for s in steps for layer in s["experts"])
    assert "Choices of experts dropped" in (tmp_path / "run/report.html").read_text()
    failed(minke("train", recipe, "-q", "--set", "balance.capacity=1",
                 "--set", f"out={tmp_path / 'one'}"), "balance.devices")


def test_every_key_of_a_recipe_is_documented():
    table = (ROOT / "src/train/recipe_keys.c").read_text()
    keys = re.findall(r'^    \{"(\w*)", "(\w+)",', table, re.M)
    documented = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/training.md").read_text(), re.M)
    assert len(keys) > 40
    assert [f"{s}.{k}" if s else k for s, k in keys] == [k for k in documented if "/" not in k][:len(keys)]
