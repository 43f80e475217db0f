"""Fine-tuning on conversations: a tiny model learns to answer and to stop, what is learned is shown,
and what cannot be learned from is named."""

import json
import re
import shutil

import pytest

from conftest import ROOT, failed, refused
from test_train import files_of, ok

MODEL = {
    "model_type": "llama", "vocab_size": 400, "hidden_size": 64, "num_hidden_layers": 2,
    "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512,
    "tie_word_embeddings": True, "hidden_act": "silu",
}
TALKS = [
    [("user", "What colour is the sky?"), ("assistant", "The sky is blue.")],
    [("user", "What colour is grass?"), ("assistant", "Grass is green."),
     ("user", "And snow?"), ("assistant", "White.")],
    [("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi!")],
]
RECIPE = """\
out: {out}
model: {{config: config.json}}
data:
  format: chat
  chat_template: deepseek-v2
  sequence: 96
  validation: 0
  sources: [{{path: talks.jsonl}}]
train: {{tokens: 24000, batch: 2}}
optimizer: {{lr: 3e-3, weight_decay: 0}}
"""


def lines_of(talks):
    return "".join(json.dumps({"messages": [{"role": r, "content": c} for r, c in talk]}) + "\n"
                   for talk in talks)


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    (tmp_path / "talks.jsonl").write_text(lines_of(TALKS))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(out=tmp_path / "run"))
    return path


def answer(minke, model, question):
    r = ok(minke("generate", model, "-p", question, "--temperature", 0, "-n", 60, "--json"))
    return json.loads(r.stdout)


def test_it_learns_to_answer_and_to_stop(minke, recipe, tmp_path):
    r = ok(minke("train", recipe))
    model = r.stdout.strip()
    assert re.search(r"of them learned \([\d.]+ %\), in 4 answers", r.stderr)
    for question, want in (("What colour is the sky?", "The sky is blue."),
                           ("What colour is grass?", "Grass is green.")):
        got = answer(minke, model, question)
        assert got["text"].strip() == want and got["finish_reason"] == "stop"
    talk = ok(minke("chat", model, "--temperature", 0, stdin="What colour is grass?\n"))
    assert talk.stdout.strip() == "Grass is green."
    # the checkpoint says how it was spoken to, and where it stops
    assert "Assistant:" in (ROOT / model / "chat_template.jinja").read_text()
    assert json.loads((ROOT / model / "config.json").read_text())["eos_token_id"] == 1


def test_a_run_that_is_resumed_is_the_run_that_was_not(minke, recipe, tmp_path):
    short = ("-q", "--set", "train.tokens=4000", "--set", "save.every=5", "--set", "save.keep=100")
    ok(minke("train", recipe, *short, "--set", f"out={tmp_path / 'whole'}"))
    ok(minke("train", recipe, *short))
    last = sorted((tmp_path / "run/checkpoints").iterdir())[-3:]
    for checkpoint in last:
        shutil.rmtree(checkpoint)
    ok(minke("train", recipe, *short, "--resume"))
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")


def test_what_is_learned_is_shown(minke, recipe, tmp_path):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=200"))
    run = tmp_path / "run"
    assert "in 4 answers" in ok(minke("data", "build", recipe, "--set", f"out={tmp_path / 'b'}")).stdout
    shard = next((run / "data").rglob("*.tokens"))
    show = ("data", "show", "-t", run / "tokenizer", shard)
    shown = ok(minke(*show)).stdout
    end = "<｜end▁of▁sentence｜>"
    assert re.findall("⟦(.*?)⟧", shown) == [f" {c}{end}" for t in TALKS for r, c in t
                                            if r == "assistant"]
    assert re.sub("[⟦⟧]", "", shown).splitlines()[1] == "<｜begin▁of▁sentence｜>User: What colour is the sky?"
    colours = minke.on_a_terminal(*show, TERM="xterm")
    assert f"Assistant:\x1b[0m\x1b[32m Hi!\x1b[0m\x1b[1;32m{end}\x1b[0m" in colours
    assert "\x1b[2mUser: Hello" in re.sub("\r|Be brief.|\n", "", colours)
    assert "\x1b" not in shown + minke.on_a_terminal(*show, TERM="xterm", NO_COLOR="1")
    cut = ok(minke(*show, "--sequence", 50)).stdout
    assert re.search(r"document 1, \d+ tokens, \d+ learned, cut to \d+", cut)
    assert "And snow?" not in cut and "Grass is green." in cut
    assert "left out" in ok(minke(*show, "--sequence", 10)).stdout
    assert "⟦" in ok(minke("data", "show", "--ids", shard)).stdout


def test_what_does_not_fit_is_said(minke, recipe):
    r = ok(minke("train", recipe, "--set", "data.sequence=50", "--set", "train.tokens=100"))
    assert "of 3 conversations 0 left out and 1 cut behind an answer" in r.stderr
    failed(minke("train", recipe, "-q", "--set", "data.sequence=8", "--set", f"out={recipe.parent / 'none'}"),
           "none of its 3 conversations fits", "data.sequence")


@pytest.mark.parametrize("line, words", [
    ('{"messages": [{"content": "x"}]}', ("line 2", "message 0", "role")),
    ('{"messages": [{"role": "user", "content": "x"}]}', ("line 2", "no message of the assistant")),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}',
     ("line 2", "message 1", "empty")),
    ('{"messages": [{"role": "bot", "content": "x"}]}', ("line 2", "bot")),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": '
     '[{"name": "f", "arguments": {}}]}]}', ("line 2", "deepseek-v2", "writes 0 of 1 tool calls")),
    ('{"messages": [', ("line 2",)),
    ('{"text": "x"}', ("line 2", "messages")),
], ids=["no role", "no answer", "empty", "unknown role", "a call", "no JSON", "a text"])
def test_bad_conversations_are_named_with_their_line(minke, recipe, tmp_path, line, words):
    ok(minke("train", recipe, "-q", "--set", "train.tokens=100", "--set", f"out={tmp_path / 'first'}"))
    (tmp_path / "talks.jsonl").write_text(lines_of(TALKS[:1]) + line + "\n")
    use = ("--set", f"tokenizer.path={tmp_path / 'first/tokenizer'}")
    failed(minke("train", recipe, "-q", *use), "talks.jsonl", *words)
    build = ("data", "build", "-t", tmp_path / "first/tokenizer", "-f", "chat", "-o", tmp_path / "out",
             tmp_path / "talks.jsonl")
    failed(minke(*build), "talks.jsonl", *words)
    report = json.loads(ok(minke(*build, "--skip-bad", "--json")).stdout)
    assert report["read"]["bad_lines"] == 1 and report["written"]["answers"] == 1


def test_what_could_never_stop_is_refused(minke, recipe, tmp_path):
    failed(minke("train", recipe, "-q", "--set", "data.chat_template=chatml"), "chatml", "learn to stop")
    failed(minke("train", recipe, "-q", "--set", "data.chat_template=x", "--resume"), "'x'")
    failed(minke("train", recipe, "-q", "--set", "data.chat_template=", "--resume"), "data.chat_template")
    refused(minke("data", "build", "-t", "x", "-o", "y", "-f", "z", "w"), "--format")


def test_it_starts_from_a_quantised_gguf(minke, recipe, tmp_path):
    gguf = tmp_path / "tiny.gguf"
    ok(minke("tokenizer", "train", "--no-split-digits", "--vocab", 400, "--out", tmp_path / "tok",
             tmp_path / "talks.jsonl"))
    ok(minke("train", recipe, "-q", "--set", f"tokenizer.path={tmp_path / 'tok'}",
             "--set", f"out={tmp_path / 'named'}"))
    first = next((tmp_path / "named/checkpoints").iterdir())
    ok(minke("convert", first, gguf, "--to", "q8_0"))
    (tmp_path / "talks.jsonl").write_text(lines_of([[("user", "Who are you?"), ("assistant", "A whale.")]]))
    again = ("--set", "model.config=", "--set", f"model.from={gguf}", "--set", "data.chat_template=",
             "--set", f"out={tmp_path / 'again'}", "--set", "train.tokens=4000")
    model = ok(minke("train", recipe, "-q", *again)).stdout.strip()
    got = answer(minke, model, "Who are you?")
    assert got["text"].strip() == "A whale." and got["finish_reason"] == "stop"


def test_a_recipe_names_models_of_the_store(minke, recipe, tmp_path):
    """As commands do; what lies in its folder goes first."""
    plan = ("train", recipe, "--dry-run", "--set", "model.config=", "--set")
    inside = str(minke.store / "reasoner")  # the model that comes with minke, put into the store by its name
    assert f'from: "{inside}"' in ok(minke(*plan, "model.from=reasoner")).stdout
    failed(minke(*plan, "model.from=smollm2"), "'smollm2' is not here yet: minke pull smollm2")
    failed(minke(*plan, "model.from=nobody"), "nobody is not there")
    (tmp_path / "reasoner").symlink_to(ROOT / "tests/golden/models/v3")
    r = ok(minke(*plan, "model.from=reasoner"))
    assert 'from: "reasoner"' in r.stdout and "0.37 M parameters" in r.stdout
    assert "# steps    125 or more of 2 sequences of 96 tokens\n" in r.stdout  # conversations are not split
    teachers = "distill: {teachers: [{path: reasoner}, {path: smollm2}]}\n"
    recipe.write_text(recipe.read_text() + teachers)
    failed(minke("train", recipe, "--dry-run"), "minke pull smollm2")
    (tmp_path / "stages.yaml").write_text("stages: [{name: first, kind: sft, model: {from: smollm2}, "
                                          "data: {sources: [{path: talks.jsonl}]}}]\n")
    failed(minke("pipeline", tmp_path / "stages.yaml"), "stage first: model 'smollm2' is not here yet")
