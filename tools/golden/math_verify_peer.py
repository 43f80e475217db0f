"""Compares `minke verify math` with Python's math-verify on the references of GSM8K and MATH-500.

    python3 -m venv V && V/bin/pip install --no-deps -r tools/golden/math_verify_requirements.txt
    V/bin/python tools/golden/math_verify_peer.py DATA OUT [--minke build/minke]

DATA holds gsm8k/{train,test}.jsonl and math500/test.jsonl. Every reference is paired with answers
that say the same in other words and with answers that do not (`same` in the output is what was
intended). OUT/pairs.jsonl keeps math-verify's verdicts, so that a second run is fast;
OUT/disagreements.jsonl lists where the two differ. --sample N writes every k-th agreed pair to
tests/golden/verify/peer.jsonl, which `make test` replays.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
from fractions import Fraction

ROOT = pathlib.Path(__file__).resolve().parents[2]


def sentence(answer, r):
    return r.choice(["The answer is ${}$.", "Therefore the final answer is $\\boxed{{{}}}$.",
                     "We get\n\\[\\boxed{{{}}}\\]", "The final answer is: ${}$"]).format(answer)


def bump(text, r):
    """One whole number of the text, changed."""
    numbers = list(re.finditer(r"(?<![_^{\d])\d+(?!\d)", text)) or list(re.finditer(r"\d+", text))
    if not numbers:
        return None
    m = r.choice(numbers)
    return text[:m.start()] + str(int(m[0]) + r.choice([1, 2, 10])) + text[m.end():]


def gsm8k(data, r):
    lines = [json.loads(line) for part in ("test", "train")
             for line in (data / f"gsm8k/{part}.jsonl").open()]
    golds = [line["answer"].split("####")[1].strip() for line in lines]
    for line, gold in zip(lines, golds):
        n = int(gold.replace(",", ""))
        same = [str(n), f"{n:,}", f"{n}.00", f"{2 * n}/2", f"\\frac{{{3 * n}}}{{3}}",
                f"{n} \\text{{ dollars}}", f"\\${n}", f"{n // 10} \\times 10^{{1}}" if n % 10 == 0 else f"x = {n}"]
        other = [str(n + 1), str(-n) if n else "3", str(n * 10 + 1), f"{n}.5", f"\\frac{{{n}}}{{7}}"
                 if n else "8", r.choice(golds)]
        pairs = [(sentence(a, r), True) for a in r.sample(same, 2)]
        pairs += [(f"So the result is {n:,}.", True)]
        pairs += [(sentence(a, r), int(a.replace(",", "")) == n if re.fullmatch(r"-?[\d,]+", a)
                   else False) for a in r.sample(other, 2)]
        for answer, equal in pairs:
            yield {"from": "gsm8k", "reference": gold, "gold": line["answer"], "answer": answer,
                   "same": equal}


def plain_fraction(gold):
    return re.sub(r"(?<!\d)(?<!\d )\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", r"(\1/\2)", gold)


def decimals(gold):
    m = re.fullmatch(r"(-?)\\[dt]?frac\{(\d+)\}\{(\d+)\}", gold)
    f = m and Fraction(int(m[2]), int(m[3]))
    if not f or 10 ** 8 % f.denominator:
        return None
    return m[1] + f"{float(f):.8f}".rstrip("0").rstrip(".")


def terms_swapped(gold):
    m = re.fullmatch(r"([^-+,=()\[\]{}]+) \+ ([^-+,=()\[\]{}]+)", gold)
    return m and f"{m[2]} + {m[1]}"


def members_swapped(gold, brackets):
    m = re.fullmatch(r"(\(|\\left\(|)([^(),]+),([^(),]+)(\)|\\right\)|)", gold.replace(" ", ""))
    return (f"{m[1]}{m[3]},{m[2]}{m[4]}" if m and bool(m[1]) == brackets and m[2] != m[3]
            and not re.search(r"\d,\\?!?\d{3}", gold) else None)


def math500(data, r):
    golds = [json.loads(line)["answer"] for line in (data / "math500/test.jsonl").open()]
    for gold in golds:
        same = [gold, gold.replace(" ", ""), gold.replace("\\frac", "\\dfrac"), plain_fraction(gold),
                gold.replace("(", "\\left(").replace(")", "\\right)")
                if "\\left" not in gold else gold, decimals(gold), terms_swapped(gold),
                members_swapped(gold, False), gold.replace("^\\circ", ""), gold.replace("x=", ""),
                gold.replace("\\!", ""), gold + "\\,", "{" + gold + "}" if "," not in gold else None,
                f"{gold}.0" if re.fullmatch(r"-?\d+", gold) else None,
                f"\\frac{{{2 * int(gold)}}}{{2}}" if re.fullmatch(r"-?\d+", gold) else None]
        if "\\ " in gold or "\\text" in gold or "mbox" in gold or re.search(r"\\[a-z]+ [a-z]", gold):
            same[1] = None
        other = [bump(gold, r), bump(gold, r), f"-{gold}" if re.match(r"[\d\\]", gold)
                 and gold != "0" and "pm" not in gold and "text" not in gold else None,
                 members_swapped(gold, True), r.choice(golds),
                 gold.replace("]", ")") if "]" in gold and "sqrt[" not in gold else None,
                 gold.replace("(", "[").replace(")", "]") if re.search(r"\([^,()]*,[^,()]*\)", gold)
                 else None, f"{gold}+1" if re.fullmatch(r"[-\d\\{}a-z ]+", gold)
                 and "text" not in gold else None]
        seen = set()
        for answer, equal in [(a, True) for a in same] + [(a, False) for a in other]:
            if answer is None or answer in seen:
                continue
            seen.add(answer)
            yield {"from": "math500", "reference": gold, "gold": gold,
                   "answer": sentence(answer, r), "same": equal or answer == gold}


def ask_peer(pair):
    from math_verify import parse, verify

    gold = pair["reference"] if pair["from"] == "gsm8k" else f"${pair['reference']}$"
    return bool(verify(parse(gold, parsing_timeout=None),
                       parse(pair["answer"], parsing_timeout=None), timeout_seconds=None))


def peer_verdicts(data, path):
    if path.exists():
        return [json.loads(line) for line in path.open()]
    r = random.Random(5)
    pairs = list(gsm8k(data, r)) + list(math500(data, r))
    for i, pair in enumerate(pairs):
        pair["peer"] = ask_peer(pair)
        if i % 1000 == 0:
            print(f"{i} of {len(pairs)}", file=sys.stderr, flush=True)
    path.write_text("".join(json.dumps(p) + "\n" for p in pairs))
    return pairs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--minke", default=str(ROOT / "build/minke"))
    parser.add_argument("--sample", type=int, default=0)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    pairs = peer_verdicts(a.data, a.out / "pairs.jsonl")
    lines = "".join(json.dumps({"gold": p["gold"], "answer": p["answer"]}) + "\n" for p in pairs)
    ours = subprocess.run([a.minke, "verify", "math", "--jsonl", "-"], input=lines, text=True,
                          capture_output=True, check=True).stdout.splitlines()
    differ = []
    for p, line in zip(pairs, ours, strict=True):
        p["ours"] = json.loads(line)["equal"]
        if p["ours"] != p["peer"]:
            differ.append(p | {"found": json.loads(line)["answer"]})
    for name in ("gsm8k", "math500"):
        some = [p for p in pairs if p["from"] == name]
        agreed = sum(p["ours"] == p["peer"] for p in some)
        print(f"{name}: {agreed} of {len(some)} agree, {100 * agreed / len(some):.2f} %; as intended:"
              f" minke {sum(p['ours'] == p['same'] for p in some)},"
              f" math-verify {sum(p['peer'] == p['same'] for p in some)}")
    agreed = len(pairs) - len(differ)
    print(f"all: {agreed} of {len(pairs)} agree, {100 * agreed / len(pairs):.2f} %")
    with (a.out / "disagreements.jsonl").open("w") as f:
        for p in differ:
            right = "minke" if p["ours"] == p["same"] else "math-verify"
            f.write(json.dumps({"reference": p["reference"], "answer": p["answer"],
                                "minke": p["ours"], "math-verify": p["peer"], "right": right}) + "\n")
    if a.sample:
        step = max(1, agreed // a.sample)
        good = [p for p in pairs if p["ours"] == p["peer"] == p["same"]]
        target = ROOT / "tests/golden/verify/peer.jsonl"
        target.write_text("".join(
            json.dumps({"gold": p["reference"], "answer": p["answer"], "equal": p["same"]}) + "\n"
            for p in good[::step]))


if __name__ == "__main__":
    main()
