"""`minke chat` without a terminal: what it refuses. Conversations need a model that can talk."""

from conftest import ROOT


def test_a_model_without_a_tokenizer_is_refused_in_one_line(minke):
    r = minke("chat", ROOT / "tests/golden/models/v3")
    assert r.returncode == 1
    assert r.stderr.count("\n") == 1 and "tokenizer" in r.stderr


def test_a_model_that_is_not_there_is_refused_by_name(minke):
    r = minke("chat", "/nonexistent/model")
    assert r.returncode == 1
    assert r.stdout == "" and "/nonexistent/model" in r.stderr


def test_think_takes_three_words(minke):
    r = minke("chat", "any", "--think", "maybe")
    assert r.returncode == 2 and "auto|on|off" in r.stderr
