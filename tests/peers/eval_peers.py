"""minke eval beside transformers on SmolLM2, whose values are dequantised to f32 for both.

Prompts, scores and errors are made once more here, by lm-evaluation-harness's formulae: few-shot
prompts of gsm8k and mmlu, continuations as its _encode_pair cuts them, acc, acc_norm, rolling
windows, the standard error of a mean; lm_eval_peers.py asks the harness itself. Greedy answers may
part where transformers' two best logits are closer than NEAR_TIE: those places are printed.
"""
import json
import math
import pathlib
import random
import re
import subprocess

import numpy as np
import pytest
import torch
import transformers
from convert_peers import MINKE, MODEL, TEXT, convert

NEAR_TIE = 1e-3
SHOTS = 3
TOKENS = 48  # of an answer
# One of a group is asked for by the other of its pair; the wrong choices are its neighbours.
FACTS = {
    "What is the capital of {}?": (
        "France Paris, Spain Madrid, Italy Rome, Germany Berlin, Austria Vienna, Poland Warsaw, Greece Athens, "
        "Portugal Lisbon, Russia Moscow, Japan Tokyo, China Beijing, Egypt Cairo, Norway Oslo, Sweden Stockholm, "
        "Denmark Copenhagen, Finland Helsinki, Ireland Dublin, Hungary Budapest, Cuba Havana, Peru Lima, "
        "Canada Ottawa, Turkey Ankara, Kenya Nairobi, India Delhi, Iran Tehran, Iraq Baghdad, Thailand Bangkok"),
    "What is the chemical symbol of {}?": (
        "hydrogen H, helium He, carbon C, nitrogen N, oxygen O, sodium Na, iron Fe, gold Au, silver Ag, copper Cu, "
        "lead Pb, zinc Zn, calcium Ca, potassium K, chlorine Cl, sulfur S, mercury Hg, tin Sn, neon Ne, silicon Si"),
    "What is the opposite of {}?": (
        "hot cold, big small, fast slow, happy sad, light dark, rich poor, early late, old young, hard soft, "
        "wet dry, empty full, strong weak, high low, loud quiet, love hate, war peace, buy sell, open close, "
        "begin end, day night, win lose, remember forget, true false, sweet sour"),
    "What is a young {} called?": (
        "dog puppy, cat kitten, cow calf, horse foal, sheep lamb, goat kid, pig piglet, lion cub, deer fawn, "
        "duck duckling, goose gosling, frog tadpole, kangaroo joey, chicken chick, swan cygnet"),
    "Which language is mostly spoken in {}?": (
        "Brazil Portuguese, Mexico Spanish, Austria German, Japan Japanese, China Mandarin, Egypt Arabic, "
        "Russia Russian, Greece Greek, Israel Hebrew, Poland Polish, Turkey Turkish, Italy Italian, Sweden Swedish"),
    "What does a {} do?": (
        "teacher teaches children at a school, baker bakes bread and cakes, pilot flies an airplane, "
        "farmer grows crops and keeps animals, doctor treats sick people, painter paints pictures or walls, "
        "sailor works on a ship, tailor makes and mends clothes, judge decides cases in a court of law, "
        "plumber repairs pipes and taps, librarian looks after books, miner digs coal or ore from the ground"),
}
WORDS = [("Tom", "apples"), ("Anna", "books"), ("Mia", "pencils"), ("Ben", "marbles"), ("Sara", "coins")]
ASKS = [
    ("{n} has {a} {w}. A friend gives {n} {b} more. How many {w} does {n} have now?",
     "{n} had {a} and gets {b}, so {a} + {b} = {c}.", lambda a, b: a + b),
    ("{n} buys {a} boxes with {b} {w} in each. How many {w} is that?",
     "Each of {a} boxes holds {b}, so {a} * {b} = {c}.", lambda a, b: a * b),
    ("{n} had {a} {w} and then found as many again, but lost {b}. How many {w} are left?",
     "Twice {a} is 2 * {a}, less {b} is {c}.", lambda a, b: 2 * a - b)]


def pairs(text):
    return [tuple(p.split(" ", 1)) for p in text.split(", ")]


def choice_questions():
    dice = random.Random(4)
    out = []
    for form, text in FACTS.items():
        group = pairs(text)
        for asked, right in group:
            wrong = dice.sample([a for _, a in group if a != right], 3)
            choices = dice.sample([right, *wrong], 4)
            out.append({"question": form.format(asked), "choices": choices,
                        "answer": choices.index(right)})
    dice.shuffle(out)
    return out


def word_problems(n):
    dice = random.Random(9)
    out = []
    for i in range(n):
        (name, what), (ask, work, solve) = WORDS[i % len(WORDS)], ASKS[i % len(ASKS)]
        a, b = dice.randint(5, 12), dice.randint(2, 9)
        v = {"n": name, "w": what, "a": a, "b": b, "c": solve(a, b)}
        out.append({"question": ask.format(**v),
                    "answer": f"{work.format(**v)}\n#### {v['c']}"})
    return out


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide") / "smollm2"
    convert(MODEL, folder, "f32")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return folder, model, transformers.AutoTokenizer.from_pretrained(folder)


def lines(path):
    return [json.loads(x) for x in path.read_text().split("\n")[:-1]]


def evaluate(folder, out, suite, *args):
    subprocess.run([MINKE, "eval", folder, "--out", out, "-q", "--suite", suite, *map(str, args)],
                   check=True, stdout=subprocess.DEVNULL)
    results = json.loads((out / "results.json").read_text())
    name = suite.split(":")[0]
    return lines(out / f"{name}.jsonl"), results["results"][name]


def write(path, objects):
    path.write_text("".join(json.dumps(o) + "\n" for o in objects))
    return path


def error_of(values):
    """lm-evaluation-harness's mean_stderr."""
    return np.std(values, ddof=1) / math.sqrt(len(values))


# ---- Answers ------------------------------------------------------------------------------------


def greedy(model, prompt, n, eos):
    """Ids, and the distance of the two best logits before each."""
    ids, gaps, past, step = [], [], None, torch.tensor([prompt])
    with torch.no_grad():
        while len(ids) < n:
            out = model(step, past_key_values=past, use_cache=True)
            past = out.past_key_values
            best = out.logits[0, -1].topk(2)
            gaps.append(float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
            if ids[-1] == eos:
                break
            step = torch.tensor([[ids[-1]]])
    return ids, gaps


def harness_answer(text):
    """gsm8k's flexible-extract: the last number."""
    found = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)
    return "".join(found[-1]).strip("$.,").replace(",", "") if found else None


def test_greedy_answers_are_those_of_transformers(peer, tmp_path):
    folder, model, tokenizer = peer
    problems = word_problems(20 + SHOTS)
    ours, scores = evaluate(folder, tmp_path / "out", f"gsm8k:{write(tmp_path / 'q.jsonl', problems)}",
                            "--shots", SHOTS, "--max-tokens", TOKENS, "--prompt", "raw")
    same, parted, right = 0, [], []
    for x, asked in zip(ours, problems[SHOTS:], strict=True):
        text = "\n\n".join([f"Question: {p['question']}\nAnswer: {p['answer']}" for p in problems[:SHOTS]]
                           + [f"Question: {asked['question']}\nAnswer:"])
        assert x["prompt"] == text
        prompt = tokenizer(text, add_special_tokens=False).input_ids
        ids, gaps = greedy(model, prompt, TOKENS, tokenizer.eos_token_id)
        theirs = tokenizer.decode([i for i in ids if i != tokenizer.eos_token_id])
        theirs = re.split("Question:|</s>|<\\|im_end\\|>", theirs)[0]
        answer = x["answers"][0]
        if theirs == answer["text"]:
            same += 1
            right.append(harness_answer(theirs) == asked["answer"].split("#### ")[1])
        else:
            parted.append((x["id"], min(gaps)))
            right.append(answer["correct"])
    print(f"{same} of {len(ours)} answers the same, near-ties {parted}; "
          f"pass@1 {scores['pass@1,none']:.4f} ({scores['pass@1_stderr,none']:.4f}), "
          f"flexible-extract {np.mean(right):.4f} ({error_of(right):.4f})")
    assert all(gap < NEAR_TIE for _, gap in parted)
    assert scores["pass@1,none"] == pytest.approx(np.mean(right), abs=1e-12)
    assert scores["pass@1_stderr,none"] == pytest.approx(error_of(right), abs=1e-12)


def test_chats_are_what_the_template_makes_of_them(peer, tmp_path):
    folder, _, tokenizer = peer
    problems = word_problems(5)
    ours, _ = evaluate(folder, tmp_path / "out", f"gsm8k:{write(tmp_path / 'q.jsonl', problems)}",
                       "--shots", 2, "--max-tokens", 1, "--prompt", "chat")
    end = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    for x, asked in zip(ours, problems[2:], strict=True):
        talk = [m for p in problems[:2] for m in ({"role": "user", "content": p["question"] + end},
                                                  {"role": "assistant", "content": p["answer"]})]
        talk.append({"role": "user", "content": asked["question"] + end})
        assert x["prompt"] == tokenizer.apply_chat_template(talk, tokenize=False,
                                                            add_generation_prompt=True)


# ---- Choices ------------------------------------------------------------------------------------


def encode_pair(tokenizer, context, continuation):
    """lm_eval.api.model.TemplateLM._encode_pair."""
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        continuation, context = context[-spaces:] + continuation, context[:-spaces]
    whole = tokenizer(context + continuation, add_special_tokens=False).input_ids
    before = tokenizer(context, add_special_tokens=False).input_ids
    return before, whole[len(before):]


@torch.no_grad()
def loglikelihoods(model, context, continuations):
    """Of each behind the context, which is computed once."""
    out = model(torch.tensor([context]), use_cache=True)
    past, first, sums = out.past_key_values, out.logits[0, -1:], []
    for ids in continuations:
        rows = first
        if len(ids) > 1:
            more = model(torch.tensor([ids[:-1]]), past_key_values=past, use_cache=True).logits[0]
            past.crop(1 - len(ids))
            rows = torch.cat([first, more])
        logp = rows.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])
        sums.append(float(logp.double().sum()))
    return np.array(sums)


def render(question, choices, way):
    if way == "texts":
        return f"Question: {question}\nAnswer:"
    return question + "".join(f"\n{c}. {t}" for c, t in zip("ABCD", choices)) + "\nAnswer:"


@pytest.mark.parametrize("way", ["letters", "texts"])
def test_choices_are_those_of_transformers(peer, tmp_path, way):
    folder, model, tokenizer = peer
    questions = choice_questions()
    ours, scores = evaluate(
        folder, tmp_path / "out", f"mmlu:{write(tmp_path / 'q.jsonl', questions)}",
        "--prompt", "raw", "--shots", SHOTS if way == "letters" else 0, "--choices", way)
    shots = questions[:SHOTS] if way == "letters" else []
    rest = questions[len(shots):]
    acc, norm, same, worst = [], [], 0, 0.0
    for x, q in zip(ours, rest, strict=True):
        answers = q["choices"] if way == "texts" else list("ABCD")
        context = "\n\n".join([f"{render(p['question'], p['choices'], way)} {'ABCD'[p['answer']]}"
                               for p in shots] + [render(q["question"], q["choices"], way)])
        encoded = [encode_pair(tokenizer, context, f" {a}") for a in answers]
        assert x["prompt"] == context
        assert all(before == encoded[0][0] for before, _ in encoded)
        lls = loglikelihoods(model, encoded[0][0], [ids for _, ids in encoded])
        best, best_norm = lls.argmax(), (lls / [len(a) for a in answers]).argmax()
        same += ("ABCD"[best], "ABCD"[best_norm]) == (x["answer"], x["answer_norm"])
        worst = max(worst, np.abs(lls - [c["loglikelihood"] for c in x["choices"]]).max())
        acc.append(float(best == q["answer"]))
        norm.append(float(best_norm == q["answer"]))
    print(f"{way}: {same} of {len(ours)} choices the same, log-likelihoods within {worst:.1e}; acc "
          f"{scores['acc,none']:.4f} ({scores['acc_stderr,none']:.4f}), theirs {np.mean(acc):.4f} "
          f"({error_of(acc):.4f}); acc_norm {scores['acc_norm,none']:.4f}, theirs {np.mean(norm):.4f}")
    assert len(ours) >= 100 and same >= 0.99 * len(ours)
    if same == len(ours):
        for name, values in ("acc", acc), ("acc_norm", norm):
            assert scores[f"{name},none"] == pytest.approx(np.mean(values), abs=1e-12)
            assert scores[f"{name}_stderr,none"] == pytest.approx(error_of(values), abs=1e-12)


# ---- Text ---------------------------------------------------------------------------------------


def rolling_windows(ids, prefix, n):
    """lm_eval.utils.get_rolling_token_windows with context_len 1, then make_disjoint_window."""
    yield [prefix], ids[:n]
    for at in range(n, len(ids), n):
        end = min(at + n, len(ids))
        yield ids[end - n - 1:at], ids[at:end]


def test_a_text_is_as_probable_as_for_transformers(peer, tmp_path):
    folder, model, tokenizer = peer
    text = TEXT[:6000].decode()
    (tmp_path / "text.txt").write_text(text)
    _, scores = evaluate(folder, tmp_path / "out", f"text:{tmp_path / 'text.txt'}", "--context", 256)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    total = 0.0
    for context, window in rolling_windows(ids, tokenizer.bos_token_id, 256):
        total += loglikelihoods(model, context, [window])[0]
    n_bytes, n_words = len(text.encode()), len(re.split(r"\s+", text))
    want = {"bits_per_byte": -total / n_bytes / math.log(2), "byte_perplexity": math.exp(-total / n_bytes),
            "word_perplexity": math.exp(-total / n_words), "perplexity": math.exp(-total / len(ids))}
    print({k: (scores[f"{k},none"], v) for k, v in want.items()})
    for name, value in want.items():
        assert scores[f"{name},none"] == pytest.approx(value, rel=1e-4)
