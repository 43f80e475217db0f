"""minke eval: what is written, that a kill costs nothing, scores recomputed, and mistakes."""

import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import time

import pytest

from conftest import MINKE, ROOT, failed, refused
from test_rl import recipe as rl_recipe  # noqa: F401
from test_sft import recipe as chat_recipe  # noqa: F401

MODEL = ROOT / "tests/golden/gguf/llama3.gguf"  # random weights: its answers mean nothing
BOS = 0


def write(path, *objects):
    path.write_text("".join(json.dumps(o) + "\n" for o in objects))
    return path


@pytest.fixture
def gsm8k(tmp_path):
    return write(tmp_path / "gsm8k.jsonl", *({"question": f"What is {i} + {i}?", "answer":
                                              f"{i} + {i} = <<{i}+{i}={2 * i}>>{2 * i}\n#### {2 * i}"}
                                             for i in range(12)))


@pytest.fixture
def mmlu(tmp_path):
    dice = random.Random(1)
    words = ["black as coal", "#7f3b2e", "#0c9d4a", "белый", "чёрный", "#5d0e81"]
    return write(tmp_path / "mmlu.jsonl", *({"question": f"Which colour is number {i}?",
                                             "choices": dice.sample(words, 4), "answer": i % 4}
                                            for i in range(10)))


def run(minke, out, *args):
    r = minke("eval", MODEL, "--out", out, "-q", *args)
    assert r.returncode == 0, r.stderr
    assert r.stderr == ""
    return r.stdout


def records(out, suite):
    return [json.loads(line) for line in (out / f"{suite}.jsonl").read_text().split("\n")[:-1]]


def results(out):
    return json.loads((out / "results.json").read_text())


def mean_and_error(values):
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def assert_score(out, suite, name, values):
    scores = results(out)["results"][suite]
    mean, error = mean_and_error(values)
    assert scores[f"{name},none"] == pytest.approx(mean, abs=1e-12)
    assert scores[f"{name}_stderr,none"] == pytest.approx(error, abs=1e-12)


def test_everything_that_was_asked_and_answered_is_written(minke, gsm8k, tmp_path):
    out = tmp_path / "out"
    shown = run(minke, out, "--suite", f"gsm8k:{gsm8k},parity:2", "--max-tokens", 8, "--limit", 5,
                "--prompt", "raw", "--shots", 2)
    assert {x["level"] for x in records(out, "parity-2")} == {2}
    for suite in "gsm8k", "parity-2":
        lines = records(out, suite)
        assert [x["id"] for x in lines] == list(range(5))
        assert all(set(x["answers"][0]) == {"text", "answer", "correct", "finished", "tokens"}
                   for x in lines)
        assert re.search(rf"^{suite} +pass@1 +\d\.\d+ +\d\.\d+ +5$", shown, re.M)
    first = records(out, "gsm8k")[0]
    assert first["question"] == "What is 2 + 2?" and first["reference"] == "4"  # two were examples
    assert first["prompt"] == ("Question: What is 0 + 0?\nAnswer: 0 + 0 = <<0+0=0>>0\n#### 0\n\n"
                               "Question: What is 1 + 1?\nAnswer: 1 + 1 = <<1+1=2>>2\n#### 2\n\n"
                               "Question: What is 2 + 2?\nAnswer:")
    assert "raw prompt, 2 shots, greedy, n 1, max 8 tokens, seed 0" in shown
    r = results(out)
    assert r["n-shot"] == {"gsm8k": 2, "parity-2": 2}
    assert r["n-samples"]["gsm8k"] == {"original": 12, "effective": 5}
    assert r["results"]["gsm8k"]["sample_len"] == 5 and r["results"]["gsm8k"]["name"] == "gsm8k"
    assert r["configs"]["gsm8k"]["generation_kwargs"]["max_gen_toks"] == 8
    assert r["config"]["model"] == "minke" and r["higher_is_better"]["gsm8k"]["pass@1"] is True


def files_of(out):
    return {p.name: p.read_bytes() for p in sorted(out.iterdir())}


def test_an_evaluation_killed_at_any_moment_is_the_one_that_was_not(minke, gsm8k, mmlu, tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question.\n" * 40)
    args = ["--suite", f"gsm8k:{gsm8k},mmlu:{mmlu},text:{tmp_path / 'text.txt'},letters",
            "--limit", 12, "--max-tokens", 40, "-n", 2, "-t", 1, "--slots", 2, "--context", 64]
    run(minke, tmp_path / "whole", *args)
    out, dice = tmp_path / "out", random.Random(3)
    command = [MINKE, "eval", MODEL, "--out", out, "-q", *map(str, args)]
    for _ in range(8):
        p = subprocess.Popen(command, env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.05, 0.4))
        p.send_signal(signal.SIGKILL)
        p.wait()
    shown = run(minke, out, *args)
    assert files_of(out) == files_of(tmp_path / "whole")
    before = files_of(out)
    assert run(minke, out, *args) == shown  # nothing is left to do
    assert files_of(out) == before


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(minke, gsm8k, tmp_path):
    out = tmp_path / "out"
    command = [MINKE, "eval", MODEL, "--out", out, "--suite", f"gsm8k:{gsm8k}", "--max-tokens",
               "3000", "--slots", "1"]
    p = subprocess.Popen(command, env=minke.env, cwd=ROOT, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    while not (out / "gsm8k.jsonl").exists():
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    assert "the same command goes on" in p.communicate(timeout=300)[1]
    assert p.returncode == 130


def test_slots_and_threads_change_no_answer(minke, gsm8k, tmp_path):
    args = ["--suite", f"gsm8k:{gsm8k}", "--max-tokens", 20, "-n", 3, "-t", 0.8, "--top-p", 0.9]
    run(minke, tmp_path / "a", *args, "--slots", 1, "--threads", 1)
    run(minke, tmp_path / "b", *args, "--slots", 7, "--threads", 2)
    a, b = (records(tmp_path / x, "gsm8k") for x in "ab")
    assert a == b
    assert len({x["text"] for x in a[0]["answers"]}) == 3  # samples are not copies of one another


def test_pass_and_majority_follow_from_the_verdicts(minke, tmp_path):
    """A model of noise still says 0 or 1 now and then: the last number of its text."""
    out = tmp_path / "out"
    file = write(tmp_path / "q.jsonl", *({"question": f"Number {i}?", "answer": i % 2}
                                         for i in range(12)))
    run(minke, out, "--suite", f"jsonl:{file}", "-n", 6, "-k", 3, "-t", 1, "--max-tokens", 120)
    lines = records(out, "jsonl")
    right = [sum(a["correct"] for a in x["answers"]) for x in lines]
    assert any(a["answer"] for x in lines for a in x["answers"])
    for k in 1, 3, 6:
        assert_score(out, "jsonl", f"pass@{k}",
                     [1 - math.comb(6 - c, k) / math.comb(6, k) for c in right])
    for x in lines:
        found = [a["answer"] for a in x["answers"] if a["answer"] is not None]
        most = max((sum(a == b for b in found) for a in found), default=0)
        if all(a == b for a in found for b in found):  # one class: its verdict is the majority's
            assert x["scores"]["majority@6"] == (most > 0 and right[x["id"]] > 0)
    assert_score(out, "jsonl", "majority@6", [x["scores"]["majority@6"] for x in lines])


@pytest.mark.parametrize("choices", ["letters", "texts"])
def test_choices_are_scored_as_lm_evaluation_harness_does(minke, mmlu, tmp_path, choices):
    out = tmp_path / "out"
    shown = run(minke, out, "--suite", f"mmlu:{mmlu}", "--choices", choices, "--prompt", "raw",
                "--shots", 1)
    lines, acc, norm, differ = records(out, "mmlu"), [], [], 0
    for x in lines:
        lls = [c["loglikelihood"] for c in x["choices"]]
        norms, per_byte = ([c["loglikelihood"] / n(c["text"]) for c in x["choices"]]
                           for n in (len, lambda t: len(t.encode())))
        acc.append("ABCD"[lls.index(max(lls))] == x["reference"])
        norm.append("ABCD"[norms.index(max(norms))] == x["reference"])
        assert x["answer_norm"] == "ABCD"[norms.index(max(norms))]
        differ += norms.index(max(norms)) != per_byte.index(max(per_byte))
        assert x["prompt"].count("\nA. ") == (2 if choices == "letters" else 0)
    assert len(lines) == 9 and f"log-likelihood of {choices}" in shown
    assert (differ > 0) == (choices == "texts")  # else the length might be that in bytes
    assert_score(out, "mmlu", "acc", list(map(float, acc)))
    assert_score(out, "mmlu", "acc_norm", list(map(float, norm)))
    # The sum over a choice's tokens is that of minke score over the whole.
    (tmp_path / "prompt").write_text(lines[0]["prompt"])
    text = lines[0]["choices"][2]["text"]
    (tmp_path / "whole").write_text(f"{lines[0]['prompt']} {text}")
    a, b = (json.loads(minke("score", MODEL, "--text-file", tmp_path / f, "--json").stdout)
            for f in ("prompt", "whole"))
    n = len(a["tokens"])
    assert b["tokens"][:n] == a["tokens"]
    assert lines[0]["choices"][2]["loglikelihood"] == pytest.approx(sum(b["logprobs"][n:]), rel=1e-6)


def test_written_choices_are_answers(minke, mmlu, tmp_path):
    run(minke, tmp_path / "out", "--suite", f"mmlu:{mmlu}", "--choices", "written", "--max-tokens", 4)
    assert "answers" in records(tmp_path / "out", "mmlu")[0]


def test_a_text_is_measured_in_windows(minke, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Wer reitet so\u00a0spät durch Nacht und Wind?\n" * 9)
    run(minke, tmp_path / "whole", "--suite", f"text:{text}", "--context", 4000)
    whole = records(tmp_path / "whole", "text")
    assert len(whole) == 1
    s = whole[0]["scores"]
    assert s["n_bytes"] == len(text.read_bytes()) and s["n_words"] == 8 * 9 + 1  # an empty one
    ids = json.loads(minke("score", MODEL, "--text-file", text, "--json").stdout)["tokens"]
    score = json.loads(minke("score", MODEL, "--ids-file", "-", "--json",
                             stdin=" ".join(map(str, [BOS, *ids]))).stdout)
    assert s["nll"] == pytest.approx(-sum(score["logprobs"][1:]), rel=1e-6)
    r = results(tmp_path / "whole")["results"]["text"]
    assert r["bits_per_byte,none"] == pytest.approx(s["nll"] / s["n_bytes"] / math.log(2))
    assert r["perplexity,none"] == pytest.approx(math.exp(s["nll"] / s["n_tokens"]))
    run(minke, tmp_path / "cut", "--suite", f"text:{text}", "--context", 50)
    parts = [x["scores"] for x in records(tmp_path / "cut", "text")]
    assert len(parts) == math.ceil(s["n_tokens"] / 50)
    # Few ids are left for the last window; those before it fill it.
    last = json.loads(minke("score", MODEL, "--ids-file", "-", "--json",
                            stdin=" ".join(map(str, ids[-51:]))).stdout)["logprobs"]
    n = parts[-1]["n_tokens"]
    assert 0 < n < 50 and parts[-1]["nll"] == pytest.approx(-sum(last[-n:]), rel=1e-6)
    for name in "n_tokens", "n_bytes", "n_words":
        assert sum(p[name] for p in parts) == s[name]
    ratio = sum(p["nll"] for p in parts) / s["n_bytes"]
    error = math.sqrt(sum((p["nll"] - ratio * p["n_bytes"]) ** 2 for p in parts)
                      * len(parts) / (len(parts) - 1)) / s["n_bytes"]
    r = results(tmp_path / "cut")["results"]["text"]
    assert r["bits_per_byte_stderr,none"] == pytest.approx(error / math.log(2))


FUNCTION = {"task_id": "x/0", "prompt": "def one():\n    \"\"\"Gives 1.\"\"\"\n",
            "canonical_solution": "    return 1\n", "entry_point": "one",
            "test": "def check(f):\n    assert f() == 1\n"}


def test_programs_run_only_where_allowed(minke, tmp_path):
    file = write(tmp_path / "h.jsonl", FUNCTION)
    args = ("eval", MODEL, "--suite", f"humaneval:{file}", "--out", tmp_path / "out",
            "--max-tokens", 8)
    failed(minke(*args), "--allow-code")
    assert not (tmp_path / "out").exists()
    r = minke(*args, "--allow-code")
    if r.returncode:
        failed(r, "nothing was run")
        pytest.skip("no sandbox here")
    answer = records(tmp_path / "out", "humaneval")[0]["answers"][0]
    assert answer["reason"] != "passed" and answer["answer"].startswith("def one():")


def test_a_right_program_passes(minke, chat_recipe, tmp_path):  # noqa: F811
    """A model that has learned to answer one question with a function, beside a sentence."""
    ask = ("Complete this Python function. Answer with the whole function in a code block.\n\n"
           f"```python\n{FUNCTION['prompt']}```")
    answer = "Here it is:\n```python\ndef one():\n    return 1\n```"
    write(tmp_path / "talks.jsonl", {"messages": [{"role": "user", "content": ask},
                                                  {"role": "assistant", "content": answer}]})
    model = minke("train", chat_recipe, "-q", "--set", "data.sequence=300",
                  "--set", "train.tokens=15000").stdout.strip()
    r = minke("eval", model, "--suite", f"humaneval:{write(tmp_path / 'h.jsonl', FUNCTION)}", "--out",
              tmp_path / "out", "--allow-code", "--max-tokens", 150)
    if r.returncode:
        failed(r, "nothing was run")
        pytest.skip("no sandbox here")
    x = records(tmp_path / "out", "humaneval")[0]
    assert x["answers"][0]["text"].strip() == answer and x["answers"][0]["reason"] == "passed"
    assert x["scores"]["pass@1"] == 1


def test_another_evaluation_is_not_written_over(minke, gsm8k, tmp_path):
    out = tmp_path / "out"
    run(minke, out, "--suite", f"gsm8k:{gsm8k}", "--max-tokens", 4)
    before = files_of(out)
    again = ("eval", MODEL, "--out", out, "--suite", f"gsm8k:{gsm8k}", "--max-tokens")
    copy = tmp_path / "copy.gguf"  # a name is no model
    copy.write_bytes(MODEL.read_bytes())
    assert minke("eval", copy, *again[2:], 4).returncode == 0
    (out / "results.json").write_bytes(before["results.json"])
    failed(minke(*again, 5), "max_tokens is 4 and not 5", "--out")
    failed(minke(*again, 4, "--suite", "parity"), "of other suites: say another --out")
    failed(minke("eval", ROOT / "recipes/zero/reasoner", *again[2:], 4), "of another model: say another --out")
    lines = gsm8k.read_text().splitlines(True)
    gsm8k.write_text("".join([lines[0], lines[2], lines[1], *lines[3:]]))
    failed(minke(*again, 4), "line 2", "another question")
    assert files_of(out) == before


def test_mistakes_are_named(minke, gsm8k, tmp_path):
    def ask(*args):
        return minke("eval", MODEL, "--out", tmp_path / "out", *args)
    refused(ask(), "--suite is missing")
    refused(ask("--suite", "gsm9k:x"), "gsm9k", "did you mean gsm8k")
    refused(ask("--suite", "parity,lettres"), "lettres", "did you mean letters")
    refused(ask("--suite", "gsm8k"), "gsm8k:FILE", "grade-school-math")
    refused(ask("--suite", "parity:88"), "0 to 7")
    failed(ask("--suite", f"gsm8k:{tmp_path / 'none.jsonl'}"), "none.jsonl")
    failed(ask("--suite", f"text:{tmp_path / 'none.txt'}"), "none.txt")
    failed(ask("--suite", "parity", "-n", 4), "temperature")
    failed(ask("--suite", "parity", "--preset", "deepseek", "-t", 0), "temperature")
    failed(ask("--suite", "parity", "-n", 4, "-t", 1, "-k", 8), "pass@8")
    failed(ask("--suite", "parity", "--prompt", "no hole"), "{question}")
    failed(ask("--suite", f"gsm8k:{gsm8k}", "--shots", 12), "none is left")
    latin = tmp_path / os.fsdecode(b"caf\xe9.txt")  # cannot stand in a file of JSON
    latin.write_text("words")
    failed(ask("--suite", f"text:{latin}"), "suite", "UTF-8")
    failed(ask("--suite", "parity", "--contamination", latin), "--contamination", "UTF-8")
    gsm8k.write_text('{"question":"1+1","answer":"#### 2"}\n{"question": "2+2"\n')
    failed(ask("--suite", f"parity,gsm8k:{gsm8k}"), "gsm8k.jsonl", "2")
    gsm8k.write_text('{"question":"1+1","answer":"#### 2"}\n{"question":"2+2"}\n')
    failed(ask("--suite", f"parity,gsm8k:{gsm8k}"), "line 2", "no reference")
    assert not (tmp_path / "out/config.json").exists()


def test_a_terminal_shows_how_far_it_is(minke, gsm8k, tmp_path):
    shown = minke.on_a_terminal("eval", MODEL, "--suite", f"gsm8k:{gsm8k}", "--max-tokens", 4,
                                "--slots", 1, "--out", tmp_path / "out")
    assert re.search(r"gsm8k  2/12  \d+ tokens/s  left \d+:\d\d", shown)


def test_a_form_of_ones_own(minke, tmp_path):
    out = tmp_path / "out"
    run(minke, out, "--suite", "parity", "--prompt", "Q: {question} A:", "--limit", 2,
        "--max-tokens", 3)
    line = records(out, "parity")[0]
    assert line["prompt"] == f"Q: {line['question']} A:"
    failed(minke("eval", MODEL, "--suite", "parity", "--prompt", "Q: {question} A:", "--shots", 1,
                 "--out", tmp_path / "other"), "--shots")


def test_a_template_is_used_where_there_is_one(minke, chat_recipe, tmp_path):  # noqa: F811
    """A model that has learned three answers: two questions that it knows, one that it does not."""
    model = minke("train", chat_recipe, "-q").stdout.strip()
    file = write(tmp_path / "q.jsonl", {"question": "Hello", "answer": "Hi!"},
                 {"question": "What colour is the sky?", "answer": "The sky is blue."},
                 {"question": "What colour is grass?", "answer": "Grass is green."},
                 {"question": "What colour is a lie?", "answer": "yes"})
    r = minke("eval", model, "--suite", f"jsonl:{file}", "--max-tokens", 40, "--out", tmp_path / "a")
    assert r.returncode == 0, r.stderr
    assert "template deepseek-v2, 0 shots" in r.stdout
    lines = records(tmp_path / "a", "jsonl")
    assert [x["answers"][0]["correct"] for x in lines[1:]] == [True, True, False]
    assert all(x["answers"][0]["finished"] for x in lines[:3])
    r = minke("eval", model, "--suite", f"jsonl:{file}", "--shots", 2, "--max-tokens", 4, "--out",
              tmp_path / "b")
    assert r.returncode == 0, r.stderr
    prompt = records(tmp_path / "b", "jsonl")[0]["prompt"]  # examples are what was said before
    assert re.search(r"User: Hello\n\nAssistant: Hi!.*User: What colour is the sky\?\n\nAssistant: "
                     r"The sky is blue\..*User: What colour is grass\?\n\nAssistant:$", prompt)


def test_a_model_of_minke_rl_is_asked_in_its_form(minke, rl_recipe, tmp_path):  # noqa: F811
    model = minke("rl", rl_recipe, "-q", "--set", "rl.steps=1").stdout.strip()
    r = minke("eval", model, "--suite", "parity:0", "--limit", 2, "--max-tokens", 4, "--out",
              tmp_path / "out")
    assert r.returncode == 0, r.stderr
    assert "own prompt" in r.stdout
    line = records(tmp_path / "out", "parity-0")[0]
    assert line["prompt"] == f"<｜User｜>{line['question']}<｜Assistant｜>"


def test_a_preset_is_deepseeks_and_options_win(minke, mmlu, tmp_path):
    aime = write(tmp_path / "a.jsonl", {"problem": "1+1?", "answer": 2}, {"problem": "2+2?", "answer": 4})
    shown = run(minke, tmp_path / "out", "--suite", f"aime:{aime},mmlu:{mmlu}", "--preset", "deepseek",
                "--max-tokens", 3, "--limit", 2)
    assert "sampled, n 64, T 0.6, top-p 0.95, max 3 tokens" in shown
    assert "sampled, n 8, T 0.6" in shown  # multiple choice is written
    assert "majority@64" in shown and "pass@64" in shown
    kwargs = results(tmp_path / "out")["configs"]["aime"]
    assert kwargs["repeats"] == 64 and kwargs["generation_kwargs"]["do_sample"] is True


LONG = ("Janet's ducks lay 16 eggs per day, she eats three for breakfast every morning and bakes "
        "muffins number {} for her friends.")


def words(i, begin, end):
    return [f"word{'abcd'[i]}{'abcdefghijklmno'[k]}" for k in range(begin, end)]


def test_questions_that_were_read_before_are_counted(minke, tmp_path):
    file = write(tmp_path / "q.jsonl", *({"question": LONG.format(i), "answer": "5"} for i in range(6)),
                 {"question": "Too short?", "answer": "5"})
    (tmp_path / "text.txt").write_text(LONG.format(1).upper().replace(",", ";") + "\n")
    write(tmp_path / "train.jsonl", {"question": "x", "answer": LONG.format(2)},
          {"a": LONG[:40], "b": LONG[40:].format(3)})
    common = LONG.split(" muffins")[0].replace("'", " ")
    assert len(common.split()) >= 13  # so all six share a run with any of them
    file2 = write(tmp_path / "r.jsonl", *({"question": f"{i} " + " ".join(
        words(i, 0, 15)), "answer": "5"} for i in range(4)))
    (tmp_path / "shards.txt").write_text("\n\n".join(" ".join(words(i, 2, 15)) for i in (1, 2)))
    (tmp_path / "run/data").mkdir(parents=True)  # as a run of minke train keeps them
    r = minke("data", "build", "--tokenizer", MODEL, "--out", tmp_path / "run/data/source",
              tmp_path / "shards.txt")
    assert r.returncode == 0, r.stderr
    out = tmp_path / "out"
    shown = run(minke, out, "--suite", f"jsonl:{file},jsonl:{file2}", "--max-tokens", 2,
                "--contamination", tmp_path / "text.txt", "--contamination", tmp_path / "run")
    c = results(out)["contamination"]
    assert (c["jsonl"]["judged"], c["jsonl"]["found"], c["jsonl"]["share"]) == (6, 6, 1)
    assert (c["jsonl-2"]["judged"], c["jsonl-2"]["found"], c["jsonl-2"]["share"]) == (4, 2, 0.5)
    assert c["jsonl-2"]["clean"]["n"] == 2
    assert "2 of 4 questions (50.00 %) share 13 words" in shown and "1 are too short" in shown
    found = records(out, "jsonl-2.overlap")
    assert [x["id"] for x in found] == [1, 2]
    assert found[0]["words"] == " ".join(words(1, 2, 15))
    assert found[0]["source"] == str(tmp_path / "run")
    answers = (out / "jsonl.jsonl").read_bytes()
    # The same answers, looked for elsewhere: strings of one object are texts of their own.
    run(minke, out, "--suite", f"jsonl:{file},jsonl:{file2}", "--max-tokens", 2,
        "--contamination", tmp_path / "train.jsonl")
    c = results(out)["contamination"]
    assert c["jsonl"]["found"] == 6 and c["jsonl-2"]["found"] == 0
    assert (out / "jsonl.jsonl").read_bytes() == answers


def test_shards_of_another_vocabulary_are_refused(minke, gsm8k, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(" ".join(words(0, 0, 15) + words(1, 0, 15)) + ".\n")
    r = minke("tokenizer", "train", text, "--out", tmp_path / "t", "--vocab", 270)
    assert r.returncode == 0, r.stderr
    r = minke("data", "build", "--tokenizer", tmp_path / "t", "--out", tmp_path / "shards", text)
    assert r.returncode == 0, r.stderr
    failed(minke("eval", MODEL, "--suite", f"gsm8k:{gsm8k}", "--out", tmp_path / "out",
                 "--contamination", tmp_path / "shards"), "another tokenizer")
    failed(minke("eval", MODEL, "--suite", f"gsm8k:{gsm8k}", "--out", tmp_path / "out",
                 "--contamination", tmp_path / "none"), "none")


def test_models_are_compared_side_by_side(minke, gsm8k, mmlu, tmp_path):
    other = ROOT / "tests/golden/gguf/qwen2.gguf"
    args = ("--suite", f"mmlu:{mmlu},gsm8k:{gsm8k}", "--max-tokens", 4, "--prompt", "raw", "-q")
    for out, model in ("a", MODEL), ("b", other):
        assert minke("eval", model, "--out", tmp_path / out, *args).returncode == 0
    assert minke("eval", MODEL, "--out", tmp_path / "c", *args, "--limit", 5).returncode == 0
    r = minke("report", tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert r.returncode == 0, r.stderr
    a, b = ([x["scores"]["acc"] for x in records(tmp_path / d, "mmlu")] for d in "ab")
    mean, error = mean_and_error([y - x for x, y in zip(a, b)])
    row = next(x for x in r.stdout.splitlines() if re.match(r"mmlu +acc ", x))
    assert f"{mean_and_error(a)[0]:.4f} ({mean_and_error(a)[1]:.4f})" in row
    assert f"{mean:+.4f} ({error:.4f})" in row
    assert row.endswith("*")  # c answered five questions: two samples
    assert str(other) in r.stdout
    failed(minke("report", tmp_path / "a", tmp_path / "nothing"), "nothing: there is no such folder")
    (tmp_path / "b/mmlu.jsonl").write_text("nonsense\n")
    failed(minke("report", tmp_path / "a", tmp_path / "b"), "mmlu.jsonl", "line 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_keeps_what_is_done(minke, gsm8k, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", disk]).returncode:
        pytest.skip("no tmpfs here")
    args = ("--suite", f"gsm8k:{gsm8k}", "--max-tokens", 300, "--slots", 4)
    try:
        failed(minke("eval", MODEL, "--out", disk, *args), "cannot be written")
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        done = (disk / "gsm8k.jsonl").read_bytes()
        assert done
        run(minke, disk, *args)
        whole = (disk / "gsm8k.jsonl").read_bytes()
        assert whole.startswith(done[:done.rfind(b"\n") + 1]) and len(records(disk, "gsm8k")) == 12
    finally:
        subprocess.run(["umount", disk])


def test_weights_that_are_no_numbers_are_told(minke, mmlu, tmp_path):
    broken = tmp_path / "broken.gguf"
    good = (ROOT / "tests/golden/gguf/qwen2.gguf").read_bytes()
    broken.write_bytes(good[:-100000] + b"\xff" * 100000)
    failed(minke("eval", broken, "--suite", f"mmlu:{mmlu}", "--out", tmp_path / "out"), "no number")
