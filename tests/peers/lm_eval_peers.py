"""minke eval beside lm-evaluation-harness itself, its tasks in lm_eval_tasks, on SmolLM2 in f32 through
transformers. Both read the same files; every prompt, answer, choice, score and error is compared, and
what results.json looks like.

Where answers part, the two best logits of transformers must be closer than NEAR_TIE; such places are
printed. Needs requirements-lm-eval.txt besides what `make test-peers` installs."""
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

pytest.importorskip("lm_eval", reason="pip install --no-deps -r tests/peers/requirements-lm-eval.txt")

from convert_peers import MODEL, ROOT, TEXT, convert
from eval_peers import NEAR_TIE, choice_questions, evaluate, greedy, lines, word_problems, write

TASKS = ROOT / "tests/peers/lm_eval_tasks"
TOKENS, WINDOW = 48, 384  # of an answer; of a text, and all that the harness lets a model read
# Letters of one, two and three bytes: a choice's length in characters is not that in bytes.
FOREIGN = ("dog Hund, house maison, water вода, sun ήλιος, moon луна, tree árbol, book книга, bread ψωμί, fire 火, "
           "mountain 山, river река, sea θάλασσα, friend amigo, city πόλη, morning утро, night noche, milk молоко, "
           "horse Pferd, child παιδί, school école")


def with_notes(problems):
    """The calculator's notes that GSM8K has: 5 + 3 = <<5+3=8>>8."""
    return [p | {"answer": re.sub(r"(\d+) ([+*]) (\d+) = (\d+)", r"\1 \2 \3 = <<\1\2\3=\4>>\4", p["answer"])}
            for p in problems]


def questions():
    """Those of eval_peers, some with blanks around them, and some of other scripts."""
    dice, group = random.Random(6), [p.split(" ") for p in FOREIGN.split(", ")]
    out = choice_questions()
    for asked, right in group:
        wrong = dice.sample([a for _, a in group if a != right], 3)
        choices = dice.sample([right, *wrong], 4)
        out.append({"question": f"What is the word for {asked} in another language?", "choices": choices,
                    "answer": choices.index(right)})
    dice.shuffle(out)
    return [q | {"question": f" {q['question']} \n"} if i % 5 == 0 else q for i, q in enumerate(out)]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with the model and the questions."""
    folder = tmp_path_factory.mktemp("lm_eval")
    convert(MODEL, folder / "smollm2", "f32")
    problems, choices = with_notes(word_problems(23)), questions()
    write(folder / "gsm8k-train.jsonl", problems[:3])
    write(folder / "gsm8k.jsonl", problems[3:])
    write(folder / "mmlu-dev.jsonl", choices[:3])
    write(folder / "mmlu.jsonl", choices[3:])
    text = TEXT.decode()
    write(folder / "texts.jsonl", [{"text": text[:3000]}, {"text": "\n" + text[3000:3300]},
                                   {"text": "Größe\u00a0 zählt \u2003nicht.\n\n"}, {"text": text[4000:6000]}])
    return folder


def harness(here, out, tasks, *args):
    """results.json as the harness writes it, and the samples of each task."""
    env = dict(os.environ, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=str(here / "hf"))
    ran = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args",
         f"pretrained=smollm2,dtype=float32,max_length={WINDOW}", "--device", "cpu", "--batch_size", "1",
         "--tasks", *tasks, "--include_path", str(TASKS), "--output_path", out, "--log_samples", *args],
        cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert "Left truncation" not in ran.stdout
    results, = (here / out).rglob("results_*.json")
    samples = {t: [lines(p) for p in (here / out).rglob(f"samples_{t}_2*.jsonl")][0] for t in tasks}
    return json.loads(results.read_text()), samples


@pytest.fixture(scope="module")
def raw(here):
    return harness(here, "raw", ["word_problems", "letters", "texts", "rolling"])


@pytest.fixture(scope="module")
def chat(here):
    return harness(here, "chat", ["word_problems_chat", "letters_chat"], "--apply_chat_template", "--limit",
                   "12")


def ask(here, suite, *args):
    """minke's lines and results.json."""
    out = here / f"minke-{len(list(here.glob('minke-*')))}"
    name, file = suite.split(":")
    found, _ = evaluate(here / "smollm2", out, f"{name}:{here / file}", *args)
    return found, json.loads((out / "results.json").read_text())


def same_score(ours, theirs, name, their_name=None, flt="none"):
    for what in name, f"{name}_stderr":
        other = what.replace(name, their_name or name)
        assert ours[f"{what},none"] == pytest.approx(theirs[f"{other},{flt}"], abs=1e-12)
    return f"{name} {ours[f'{name},none']:.4f} ({ours[f'{name}_stderr,none']:.4f})"


# ---- Answers ------------------------------------------------------------------------------------


def gap_where_they_part(here, prompt, ours, theirs):
    """How far apart transformers' two best logits are before the first token that differs."""
    folder = here / "smollm2"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids, gaps = greedy(model, tokenizer(prompt, add_special_tokens=False).input_ids, TOKENS,
                       tokenizer.eos_token_id)
    common = len(os.path.commonprefix([ours, theirs]))
    at = next(i for i in range(len(ids)) if len(tokenizer.decode(ids[:i + 1])) > common)
    return gaps[at]


def compare_answers(here, ours, theirs):
    """Near-ties by number; the harness's lines are once a filter."""
    theirs = {x["doc_id"]: x for x in theirs if x["filter"] == "flexible-extract"}
    near = {}
    for x in ours:
        y = theirs[x["id"]]
        assert x["prompt"] == y["arguments"]["gen_args_0"]["arg_0"]
        text, other = x["answers"][0]["text"], y["resps"][0][0]
        if text != other:
            near[x["id"]] = gap_where_they_part(here, x["prompt"], text, other)
            print(f"answer {x['id']} parts where the best logits are {near[x['id']]:.1e} apart")
    assert len(ours) == len(theirs) and all(gap < NEAR_TIE for gap in near.values())
    return near


def test_greedy_answers_are_the_harness_s(here, raw):
    results, samples = raw
    ours, scores = ask(here, "gsm8k:gsm8k.jsonl", "--shots", 3, "--shots-from",
                       f"gsm8k:{here / 'gsm8k-train.jsonl'}", "--max-tokens", TOKENS, "--prompt", "raw")
    near = compare_answers(here, ours, samples["word_problems"])
    assert "<<" in ours[0]["prompt"]
    scores, theirs = scores["results"]["gsm8k"], results["results"]["word_problems"]
    shown = f"pass@1 {scores['pass@1,none']:.4f}"
    if not near:
        shown = same_score(scores, theirs, "pass@1", "exact_match", "flexible-extract")
    print(f"{len(ours) - len(near)} of {len(ours)} answers the same; {shown}, flexible-extract "
          f"{theirs['exact_match,flexible-extract']:.4f}, strict-match {theirs['exact_match,strict-match']:.4f}")


def test_answers_in_conversations_are_the_harness_s(here, chat):
    ours, _ = ask(here, "gsm8k:gsm8k.jsonl", "--shots", 2, "--shots-from",
                  f"gsm8k:{here / 'gsm8k-train.jsonl'}", "--max-tokens", TOKENS, "--prompt", "chat", "--limit", 12)
    near = compare_answers(here, ours, chat[1]["word_problems_chat"])
    print(f"{len(ours) - len(near)} of {len(ours)} answers in conversations the same")


# ---- Choices ------------------------------------------------------------------------------------


def log_likelihoods(sample):
    return np.array([float(r[0][0]) for r in sample["resps"]])


def choices_of(sample, texts):
    """What acc and acc_norm take."""
    lls = log_likelihoods(sample)
    return "ABCD"[lls.argmax()] + "ABCD"[(lls / [len(t) for t in texts]).argmax()]


def compare_choices(ours, theirs):
    """The number of questions with the same choices, and the largest difference of a log-likelihood."""
    same, worst = 0, 0.0
    for x, y in zip(ours, theirs, strict=True):
        args = [y["arguments"][f"gen_args_{i}"] for i in range(4)]
        assert {a["arg_0"] for a in args} == {x["prompt"]}
        assert [a["arg_1"].strip() for a in args] == [c["text"] for c in x["choices"]]
        lls = [c["loglikelihood"] for c in x["choices"]]
        worst = max(worst, np.abs(log_likelihoods(y) - lls).max())
        if x["answer"] + x["answer_norm"] == choices_of(y, [c["text"] for c in x["choices"]]):
            same += 1
        else:
            print(f"question {x['id']}: {x['answer']} {x['answer_norm']}, {lls}, theirs {log_likelihoods(y)}")
    assert same >= 0.99 * len(ours)
    return same, worst


@pytest.mark.parametrize("way", ["letters", "texts"])
def test_choices_are_the_harness_s(here, raw, way):
    results, samples = raw
    args = ["--prompt", "raw", "--choices", way]
    if way == "letters":
        args += ["--shots", 3, "--shots-from", f"mmlu:{here / 'mmlu-dev.jsonl'}"]
    ours, scores = ask(here, "mmlu:mmlu.jsonl", *args)
    same, worst = compare_choices(ours, samples[way])
    scores, theirs = scores["results"]["mmlu"], results["results"][way]
    shown = [same_score(scores, theirs, name) for name in ("acc", "acc_norm")] if same == len(ours) else []
    print(f"{way}: {same} of {len(ours)} choices the same, log-likelihoods within {worst:.1e}", *shown)
    assert len(ours) >= 100


def test_letters_in_conversations_are_the_harness_s(here, chat):
    """The harness cuts the prompt before its last line break, which it scores with each letter."""
    ours, _ = ask(here, "mmlu:mmlu.jsonl", "--prompt", "chat", "--limit", 12, "--shots", 1, "--shots-from",
                  f"mmlu:{here / 'mmlu-dev.jsonl'}")
    same, _ = compare_choices(ours, chat[1]["letters_chat"])
    moved = [log_likelihoods(y) - [c["loglikelihood"] for c in x["choices"]]
             for x, y in zip(ours, chat[1]["letters_chat"], strict=True)]
    print(f"{same} of {len(ours)} letters in conversations the same")
    assert all(np.ptp(m) < NEAR_TIE for m in moved)  # the line break's, whichever letter follows


# ---- Texts and files ----------------------------------------------------------------------------


def test_texts_are_as_probable_as_for_the_harness(here, raw):
    results, samples = raw
    ours, scores = ask(here, "text:texts.jsonl", "--context", WINDOW)
    theirs, scores = results["results"]["rolling"], scores["results"]["text"]
    for y in samples["rolling"]:
        parts = [x["scores"] for x in ours if x["document"] == y["doc_id"]]
        assert sum(s["nll"] for s in parts) == pytest.approx(-float(y["resps"][0][0]), rel=2e-5)
        assert sum(s["n_bytes"] for s in parts) == y["bits_per_byte"][1]
        assert sum(s["n_words"] for s in parts) == y["word_perplexity"][1]
    for name in "bits_per_byte", "byte_perplexity", "word_perplexity":
        print(f"{name} {scores[f'{name},none']:.6f}, theirs {theirs[f'{name},none']:.6f}")
        assert scores[f"{name},none"] == pytest.approx(theirs[f"{name},none"], rel=1e-4)
    assert len(ours) > len(samples["rolling"]) == scores["sample_len"] == theirs["sample_len"]


def kind(x):
    return "number" if isinstance(x, (int, float)) and not isinstance(x, bool) else type(x).__name__


def test_results_are_in_the_harness_s_shape(here, raw):
    from lm_eval.utils import make_table
    _, ours = ask(here, "mmlu:mmlu.jsonl", "--prompt", "raw", "--choices", "texts")
    theirs = raw[0]
    for key in "results", "configs", "versions", "n-shot", "higher_is_better", "n-samples":
        mine, others = ours[key]["mmlu"], theirs[key]["texts"]
        assert kind(mine) == kind(others)
        if key in ("results", "higher_is_better", "n-samples"):
            assert {k: kind(v) for k, v in mine.items()} == {k: kind(v) for k, v in others.items()}
        if key in ("n-shot", "higher_is_better", "n-samples"):
            assert mine == others
    for group in (ours, theirs), (ours["config"], theirs["config"]):
        mine, others = group
        assert all(kind(mine[k]) == kind(others[k]) or k in ("model_args", "batch_size")
                   for k in mine.keys() & others.keys())
    print("not in minke's:", *sorted(theirs.keys() - ours.keys()))
    table = make_table(ours)
    assert re.search(r"mmlu +\| +1\|none +\| +0\|acc +\|↑ +\|0\.\d{4}\|± +\|0\.\d{4}\|", table), table
