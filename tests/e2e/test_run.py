"""minke generate, score, bench and tokenize on the golden models: the numbers, the JSON, the manners."""

import array
import ast
import json
import math
import platform
import re
import struct
import subprocess
import sys

import pytest

from conftest import MINKE, ROOT, failed, refused

GOLDEN = ROOT / "tests/golden"
MODELS = GOLDEN / "models"
V3 = MODELS / "v3"
LLAMA3 = GOLDEN / "gguf/llama3.gguf"  # has a vocabulary; its weights are those of models/llama3
PROMPT = V3 / "expected/ids_29.txt"
GREEDY = [int(x) for x in (V3 / "expected/greedy_29.txt").read_text().split()]


def read_npy(path):
    """Shape and float32 values of an .npy file, as numpy's format document describes it."""
    data = path.read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    n, = struct.unpack_from("<H", data, 8)
    assert (10 + n) % 64 == 0
    header = ast.literal_eval(data[10:10 + n].decode("ascii").strip())
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    values = array.array("f", data[10 + n:])
    if sys.byteorder == "big":
        values.byteswap()
    assert len(values) == math.prod(header["shape"])
    return header["shape"], values


def assert_close(got, want, tolerance=1e-4):
    """Within tolerance of the largest value."""
    assert len(got) == len(want)
    worst = max(abs(a - b) for a, b in zip(got, want))
    assert worst <= tolerance * max(map(abs, want))


def result_of(run):
    """The JSON on stdout of a run that went well."""
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout.endswith("\n") and run.stdout.count("\n") == 1
    return json.loads(run.stdout)


def logits_of(minke, path, model, prompt, *options):
    result_of(minke("score", model, "--ids-file", prompt, "--logits", path, "--json", *options))
    return read_npy(path)[1]


def ids_of(minke, *options, model=V3, prompt=PROMPT, n=32):
    run = minke("generate", model, "--ids-file", prompt, "-n", n, "--ignore-eos", "--json", *options)
    return result_of(run)["ids"]


# ---- The numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("model, expected", [
    (V3, V3), (MODELS / "qwen3", MODELS / "qwen3"), (MODELS / "mistral", MODELS / "mistral"),
    (LLAMA3, MODELS / "llama3"), (GOLDEN / "gguf/v3-mla.gguf", V3),
    (GOLDEN / "gguf/qwen2-split-00001-of-00002.gguf", MODELS / "qwen2-untied"),
], ids=lambda path: path.name)
def test_score_writes_the_logits_of_the_golden_files(minke, tmp_path, model, expected):
    out = tmp_path / "logits.npy"
    want_shape, want = read_npy(expected / "expected/logits_29.npy")
    r = minke("score", model, "--ids-file", expected / "expected/ids_29.txt", "--logits", out)
    assert r.returncode == 0 and r.stderr == ""
    shape, got = read_npy(out)
    assert shape == want_shape == (29, 517)
    assert_close(got, want)


@pytest.mark.parametrize("model", ["v3", "mistral"])
def test_a_prompt_longer_than_a_step_has_the_logits_of_the_golden_files(minke, tmp_path, model):
    expected = MODELS / model / "expected"
    got = logits_of(minke, tmp_path / "l.npy", MODELS / model, expected / "ids_150.txt")
    assert_close(got[142 * 517:], read_npy(expected / "logits_150_last8.npy")[1])


def test_score_derives_log_probabilities_and_perplexity_from_the_logits(minke, tmp_path):
    out = tmp_path / "l.npy"
    got = result_of(minke("score", V3, "--ids-file", PROMPT, "--json", "--logits", out))
    ids, logits = [int(x) for x in PROMPT.read_text().split()], read_npy(out)[1]
    assert list(got) == ["tokens", "logprobs", "nll", "perplexity"]
    assert got["tokens"] == ids and got["logprobs"][0] is None and len(got["logprobs"]) == len(ids)
    for i in range(1, len(ids)):
        row = logits[(i - 1) * 517:i * 517]
        want = row[ids[i]] - max(row) - math.log(math.fsum(math.exp(x - max(row)) for x in row))
        assert got["logprobs"][i] == pytest.approx(want, abs=1e-4)
    assert got["nll"] == pytest.approx(-sum(got["logprobs"][1:]) / (len(ids) - 1), rel=1e-6)
    assert got["perplexity"] == pytest.approx(math.exp(got["nll"]), rel=1e-6)


@pytest.mark.parametrize("options", [
    ["--threads", 1], ["--threads", 2], ["--threads", 3], ["--mla", "absorbed"],
    ["--mla", "expanded"], ["--kv", "f32"], ["--numerics", "fast"], ["--cpu", "ref"],
], ids=lambda o: "=".join(map(str, o)))
def test_greedy_ids_are_those_of_the_golden_files(minke, options):
    assert ids_of(minke, *options) == GREEDY


@pytest.mark.parametrize("kv, tolerance", [("bf16", 0.01), ("int8", 0.04)])
def test_a_smaller_cache_costs_little_accuracy(minke, tmp_path, kv, tolerance):
    model = MODELS / "qwen3"  # without experts: a rounding cannot choose another one
    want = read_npy(model / "expected/logits_29.npy")[1]
    got = logits_of(minke, tmp_path / "l.npy", model, model / "expected/ids_29.txt", "--kv", kv)
    assert_close(got, want, tolerance)
    assert max(abs(a - b) for a, b in zip(got, want)) > 1e-3  # it is in use


def test_logits_have_the_same_bits_on_any_number_of_threads(minke, tmp_path):
    prompt = V3 / "expected/ids_150.txt"
    one = logits_of(minke, tmp_path / "1.npy", V3, prompt, "--threads", 1)
    assert one.tobytes() == logits_of(minke, tmp_path / "3.npy", V3, prompt, "--threads", 3).tobytes()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86-64")
@pytest.mark.parametrize("cpu", ["avx2", "avx512"])
def test_a_kernel_variant_agrees_with_the_reference_or_says_it_cannot(minke, tmp_path, cpu):
    flags = re.search(r"^flags\s*: (.*)$", open("/proc/cpuinfo").read(), re.M).group(1).split()
    if {"avx2": "avx2", "avx512": "avx512f"}[cpu] not in flags:
        failed(minke("score", V3, "--ids-file", PROMPT, "--cpu", cpu), cpu)
        return
    want = logits_of(minke, tmp_path / "ref.npy", V3, PROMPT, "--cpu", "ref")
    assert_close(logits_of(minke, tmp_path / "cpu.npy", V3, PROMPT, "--cpu", cpu), want)


# ---- generate ---------------------------------------------------------------------------------


def test_generate_prints_the_fields_that_scripts_read(minke):
    got = result_of(minke("generate", LLAMA3, "--raw", "-p", "hello", "-n", 6, "--ignore-eos",
                          "--json"))
    assert list(got) == ["ids", "text", "reasoning", "finish_reason", "prompt_tokens",
                         "prefill_tps", "decode_tps"]
    assert len(got["ids"]) == 6 and got["text"] and got["reasoning"] is None
    assert got["finish_reason"] == "length" and got["prompt_tokens"] == 3
    assert got["prefill_tps"] > 0 and got["decode_tps"] > 0


def test_generate_prints_the_answer_and_nothing_else(minke):
    options = ["generate", LLAMA3, "--raw", "-p", "hello", "-n", 6, "--ignore-eos"]
    r = minke(*options)
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout == result_of(minke(*options, "--json"))["text"] + "\n"


def test_a_seed_repeats_its_answer_and_another_gives_another(minke):
    draws = [ids_of(minke, "-t", 1, "--seed", seed) for seed in (7, 7, 8)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] != GREEDY


@pytest.mark.parametrize("options", [["--top-k", 1], ["--top-p", 0], ["--min-p", 1]],
                         ids=lambda o: o[0])
def test_a_draw_from_one_token_is_greedy(minke, options):
    assert ids_of(minke, "-t", 1, "--seed", 3, *options) == GREEDY


@pytest.mark.parametrize("option, value", [
    ("--temperature", "-1"), ("--temperature", "101"), ("--temperature", "nan"),
    ("--temperature", "warm"), ("--top-k", "-1"), ("--top-k", "1.5"), ("--top-p", "1.01"),
    ("--top-p", "-0.1"), ("--min-p", "2"), ("--min-p", "-1"), ("--repetition-penalty", "0"),
    ("--seed", "-1"), ("--logprobs", "21"), ("--max-tokens", "0"), ("--threads", "0"),
    ("--context", "0"), ("--kv", "f16"), ("--mla", "none"), ("--max-tokens", "99999999999"),
])
def test_a_value_out_of_range_is_refused_by_name(minke, option, value):
    r = minke("generate", V3, "--ids-file", PROMPT, option, value)
    refused(r, option, value)
    assert not re.search(r"\de[+-]\d", r.stderr)  # limits in plain figures


def test_a_stop_text_ends_the_answer_and_is_not_in_it(minke):
    options = ["generate", LLAMA3, "--raw", "-p", "hello", "-n", 40, "--ignore-eos", "--json"]
    whole = result_of(minke(*options))["text"]
    stop = whole[4:6]
    got = result_of(minke(*options, "--stop", "not in there", "--stop", stop))
    assert got["finish_reason"] == "stop"
    assert got["text"] == whole[:whole.index(stop)]


def test_the_end_token_ends_the_answer_unless_it_is_ignored(minke, tmp_path):
    ids = [int(x) for x in PROMPT.read_text().split()]
    for line in ("config.json", "generation_config.json", "model.safetensors.index.json"):
        text = json.loads((V3 / line).read_text())
        if "eos_token_id" in text:
            text["eos_token_id"] = GREEDY[4]
        (tmp_path / line).write_text(json.dumps(text))
    for shard in V3.glob("*.safetensors"):
        (tmp_path / shard.name).symlink_to(shard)
    prompt = tmp_path / "ids.txt"
    prompt.write_text("\n".join(map(str, ids)) + "\n")
    r = result_of(minke("generate", tmp_path, "--ids-file", prompt, "-n", 32, "--json"))
    assert r["finish_reason"] == "stop"
    assert r["ids"] in (GREEDY[:4], GREEDY[:5])
    assert ids_of(minke, model=tmp_path, prompt=prompt) == GREEDY


def test_log_probabilities_are_those_of_score(minke):
    got = result_of(minke("generate", V3, "--ids-file", PROMPT, "-n", 3, "--ignore-eos", "--json",
                          "--logprobs", 2))
    ids = PROMPT.read_text() + " " + " ".join(map(str, GREEDY[:3]))
    scored = result_of(minke("score", V3, "--ids-file", "-", "--json", stdin=ids))["logprobs"]
    assert [e["id"] for e in got["logprobs"]] == GREEDY[:3]
    for entry, want in zip(got["logprobs"], scored[-3:]):
        assert entry["logprob"] == want  # the same bits, whether cached or computed again
        assert entry["top"][0] == {"id": entry["id"], "logprob": entry["logprob"]}
        assert len(entry["top"]) == 2 and entry["top"][1]["logprob"] < entry["logprob"]


def test_a_dash_is_standard_input(minke, tmp_path):
    assert result_of(minke("generate", V3, "--ids-file", "-", "-n", 32, "--ignore-eos", "--json",
                           stdin=PROMPT.read_text()))["ids"] == GREEDY
    text = tmp_path / "text"
    text.write_text("hello there\n")
    by_name = result_of(minke("score", LLAMA3, "--text-file", text, "--json"))
    assert by_name["perplexity"] > 1
    assert by_name == result_of(minke("score", LLAMA3, "--text-file", "-", "--json",
                                      stdin="hello there\n"))


def test_without_a_tokenizer_ids_work_and_text_says_what_is_missing(minke):
    assert ids_of(minke, n=1) == GREEDY[:1]
    failed(minke("generate", V3, "-p", "hello"), "tokenizer", "ids")
    failed(minke("score", V3, "--text-file", "-", stdin="hello"), "tokenizer", "ids")
    failed(minke("tokenize", V3, stdin="hello"), "tokenizer")


# ---- bench and tokenize -----------------------------------------------------------------------


def test_bench_prints_a_result_for_every_depth(minke):
    got = result_of(minke("bench", V3, "--prompt", 8, "--gen", 4, "--depth", "0,16", "--repeat", 2,
                          "--json"))
    assert list(got) == ["results"] and [r["depth"] for r in got["results"]] == [0, 16]
    for r in got["results"]:
        assert list(r) == ["depth", "prompt", "gen", "prefill_tps", "decode_tps"]
        assert r["prompt"] == 8 and r["gen"] == 4
        assert r["prefill_tps"] > 0 and r["decode_tps"] > 0


@pytest.mark.parametrize("depths", ["", "1,", "-1", "x", "1;2", ",".join("0" * 40)])
def test_bench_refuses_depths_that_are_no_list(minke, depths):
    refused(minke("bench", V3, f"--depth={depths}"), "--depth")


@pytest.mark.parametrize("name", ["deepseek_v3", "llama2", "qwen3"])
def test_tokenize_gives_the_ids_of_the_golden_files(minke, name):
    folder = GOLDEN / "tokenizer" / name
    cases = [c for c in json.loads((folder / "cases.json").read_text()) if c["ids"]]
    for case in cases[:4]:
        special = ["--special"] if case["special"] else []
        text = case["text"].encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        got = result_of(minke("tokenize", folder, "--json", *special, stdin=text))
        assert got == {"ids": case["ids"]}


def test_tokenize_turns_ids_back_into_text(minke):
    text = "Hello, wörld: 12 + 3 = 15\n"
    ids = minke("tokenize", LLAMA3, stdin=text)
    assert ids.returncode == 0 and re.fullmatch(r"(\d+\n)+", ids.stdout)
    as_json = minke("tokenize", LLAMA3, "--json", stdin=text)
    for printed in (ids.stdout, as_json.stdout):
        assert minke("tokenize", LLAMA3, "--decode", stdin=printed).stdout == text


# ---- Manners ----------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [
    ["generate"], ["generate", V3], ["generate", V3, "-p", "a", "--ids-file", PROMPT],
    ["generate", V3, V3, "-p", "a"], ["generate", V3, "-p"], ["generate", V3, "-x"],
    ["generate", V3, "-p", "a", *["--stop", "x"] * 17], ["generate", V3, "--json=yes", "-p", "a"],
    ["score"], ["score", V3], ["score", V3, "--text-file", "a", "--ids-file", "b"],
    ["bench"], ["bench", V3, "--repeat", "0"], ["tokenize"], ["tokenize", V3, "--jsn"],
], ids=lambda line: " ".join(getattr(w, "name", w) for w in line)[:40])
def test_a_wrong_command_line_has_status_2(minke, line):
    refused(minke(*line), "--help")


@pytest.mark.parametrize("ids, words", [
    ("", ["nothing"]), ("1 2 517", ["517", "vocabulary"]), ("1 -2", ["-2"]), ("1,2", ["1,2"]),
    ("1 99999999999999999999", ["999"]), ("1 x\x1b[31m", ["x"]), ("1 2147483648", ["2147483648"]),
], ids=repr)
def test_ids_that_are_none_are_an_error_in_one_line(minke, ids, words):
    r = minke("score", V3, "--ids-file", "-", stdin=ids)
    failed(r, *words)
    assert "\x1b" not in r.stderr


@pytest.mark.parametrize("line, words", [
    (["score", V3, "--ids-file", "/no/such"], ["/no/such"]),
    (["score", V3, "--ids-file", ROOT], [str(ROOT), "directory"]),
    (["score", V3, "--ids-file", PROMPT, "--logits", "/no/such/l.npy"], ["/no/such/l.npy"]),
    (["score", V3, "--ids-file", PROMPT, "--context", 8], ["29", "8", "context"]),
    (["generate", V3, "--ids-file", PROMPT, "--context", 8], ["29", "8", "context"]),
    (["generate", V3, "--ids-file", PROMPT, "--context", 1000000], ["1000000", "context"]),
    (["generate", V3, "--ids-file", PROMPT, "--cpu", "6502"], ["6502", "avx2"]),
    (["generate", LLAMA3, "--raw", "-p", ""], ["prompt"]),
    (["bench", V3, "--prompt", 9, "--context", 8], ["9", "8", "context"]),
    (["generate", "/no/such/model", "-p", "a"], ["/no/such/model"]),
    (["generate", ROOT / "docs", "-p", "a"], ["docs"]),
    (["generate", PROMPT, "-p", "a"], ["ids_29.txt"]),
])
def test_a_failure_is_one_line_that_names_its_cause(minke, line, words):
    r = minke(*line)
    failed(r, *words)
    assert len(r.stderr) < 300


@pytest.mark.parametrize("name", ["v2-lite", "v3-fp8", "qwen2-tied"])
def test_inspect_needs_the_config_alone_and_says_so(minke, tmp_path, name):
    (tmp_path / "config.json").write_bytes((MODELS / name / "config.json").read_bytes())
    whole = result_of(minke("inspect", MODELS / name, "--json"))
    got = result_of(minke("inspect", tmp_path, "--json"))
    assert whole["has_weights"] and whole["tensors"]
    assert got == whole | {"has_weights": False, "weight_bytes": 0, "tensors": []}
    for options in [], ["--tensors"]:
        shown = minke("inspect", tmp_path, *options)
        assert shown.returncode == 0 and shown.stderr == ""
        assert f"{tmp_path} holds config.json and no weights\n" in shown.stdout
        assert f"parameters         {whole['parameters']['total']} " in shown.stdout
        assert "B of weights" not in shown.stdout
    failed(minke("generate", tmp_path, "-p", "a"), "holds no model")
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"x": "gone"}}')
    failed(minke("inspect", tmp_path), "holds no model")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    failed(minke("generate", tmp_path / "run", "-p", "a"), "is a run that has no checkpoint yet")
    (tmp_path / "run/pipeline.yaml").touch()
    failed(minke("generate", tmp_path / "run", "-p", "a"), "is a pipeline's: name a stage of it")


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LC_ALL": "C"}], ids=repr)
def test_a_pipe_sees_no_escape_codes(minke, env):
    for line in (["generate", V3, "--ids-file", PROMPT, "-n", 2, "--json"],
                 ["generate", LLAMA3, "--raw", "-p", "hello", "-n", 4],
                 ["score", V3, "--ids-file", PROMPT], ["bench", V3, "--prompt", 2, "--gen", 2],
                 ["--help"], ["genrate"], ["generate", "nosuch", "-p", "a"]):
        r = minke(*line, **env)
        assert (r.stdout + r.stderr).replace("\n", "").isprintable()


def test_control_characters_of_a_model_reach_a_pipe_but_no_terminal(minke):
    line = ["generate", LLAMA3, "--raw", "-p", "hello", "-n", 200, "-t", 5, "--ignore-eos", "-q"]
    control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
    assert control.search(minke(*line).stdout)
    shown = minke.on_a_terminal(*line)
    assert "\ufffd" in shown and not control.search(shown)


def test_a_full_disk_is_an_error(minke):
    with open("/dev/full", "w") as full:
        r = subprocess.run([MINKE, "score", V3, "--ids-file", PROMPT], stdout=full, text=True,
                           stderr=subprocess.PIPE, env=minke.env)
    assert r.returncode == 1
    assert re.fullmatch(r"minke: [^\n]+\n", r.stderr)
