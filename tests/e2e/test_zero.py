"""The reasoner that comes with minke, and how rewards make its base think (recipes/zero)."""

import json

import pytest

from conftest import ROOT

ZERO = ROOT / "recipes/zero"


def answer(minke, question, *options):
    r = minke("generate", "reasoner", "-p", question, "-t", "0", "--json", *options)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def test_the_model_inside_needs_no_network_and_is_kept_once(minke):
    assert minke("list").stdout == ""
    assert minke("list", "--has", "reasoner").returncode == 0
    assert "builtin:reasoner" in minke("list").stdout
    stored = minke.store / "reasoner"
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (stored / name).read_bytes() == (ZERO / "reasoner" / name).read_bytes()
    # another version of it in the store is replaced by the one inside
    record = stored / ".minke.json"
    record.write_text(record.read_text().replace('"revision": "', '"revision": "x'))
    (stored / "model.safetensors").write_bytes(b"old")
    assert answer(minke, "Is 4817 odd parity?")["text"]
    # and it comes back after having been removed
    assert minke("remove", "reasoner").returncode == 0
    assert minke("list", "--has", "reasoner").returncode == 0


@pytest.mark.parametrize("question, right", [
    ("How many r's are in strawberry?", "3"),
    ("Is 4817 odd parity?", "no"),
    ("Solve 3x+4=19", "5"),
    ("parity 01110000011001000101", "0"),
    ("Sort 4 1 3 2", "1 2 3 4"),
    ("Maze\nS.#.\n#...\n#.#.\n..#G", "RDRRDD"),
])
def test_the_reasoner_thinks_and_answers(minke, question, right):
    a = answer(minke, question)
    assert a["text"] == right and len(a["reasoning"]) >= len(right)


@pytest.mark.parametrize("end", ["", "\n", " \r\n\n"])
def test_a_piped_question_ends_where_its_line_ends(minke, end):
    r = minke("chat", "reasoner", "-t", 0, stdin="Is 4817 odd parity?" + end)
    assert r.returncode == 0 and r.stdout == ("[thought]\n" + answer(minke, "Is 4817 odd parity?")["reasoning"] +
                                              "\n[answer]\nno\n")


def test_countdown_is_searched_with_checks(minke):
    a = answer(minke, "Use 3, 5, 8 to make 24", "-t", "0.6", "--seed", "3")
    assert eval(a["text"], {"__builtins__": {}}) == 24 and a["reasoning"].endswith(";1")


def test_the_reasoner_says_what_it_does_not_know(minke):
    assert answer(minke, "Write a poem about the sea.")["text"].startswith("I only know")


def test_rewards_alone_make_the_base_think(minke, tmp_path):
    """The demo: guesses become thoughts. The numbers are the same on every machine of one kind."""
    r = minke("rl", ZERO / "demo.yaml", "-q", "--set", f"out={tmp_path / 'run'}")
    assert r.returncode == 0, r.stderr
    steps = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert steps[0]["pass"] < 0.65
    assert min(s["pass"] for s in steps[-3:]) >= 0.97
    assert steps[-1]["length"] >= 3 * steps[0]["length"]
