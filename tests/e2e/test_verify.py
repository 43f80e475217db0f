"""minke verify: verdicts on lines of JSON; malformed lines are named and cost nothing else."""

import json
import os

import pytest

from conftest import failed, refused


def lines(*objects):
    return "".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects)


def answers(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_math_tells_equal_and_what_it_found(minke, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(lines({"gold": "\\frac{1}{2}", "answer": "so \\boxed{0.5}"},
                          {"gold": "7", "answer": "The answer is 8."},
                          {"gold": "7", "answer": ""}))
    r = minke("verify", "math", "--jsonl", path)
    assert r.returncode == 0 and r.stderr == ""
    assert answers(r) == [{"equal": True, "gold": "\\frac{1}{2}", "answer": "0.5"},
                          {"equal": False, "gold": "7", "answer": "8"},
                          {"equal": False, "gold": "7", "answer": None}]


def test_malformed_lines_are_reported_and_the_run_goes_on(minke):
    r = minke("verify", "math", "--jsonl", "-", stdin=lines(
        {"gold": "1", "answer": "1"}, "{\"gold\": \"1\"", "", "[1]", {"gold": "1"},
        {"gold": 1, "answer": "1"}, {"gold": "2", "answer": "2"}))
    assert r.returncode == 1
    assert [a["equal"] for a in answers(r)] == [True, True]
    complaints = r.stderr.splitlines()
    assert len(complaints) == 4
    assert all(c.startswith(f"minke: standard input, line {n}: ")
               for c, n in zip(complaints, (2, 4, 5, 6)))
    assert '"answer" is missing' in complaints[2] and '"gold" is not a string' in complaints[3]


def test_a_file_that_is_not_there_is_named(minke):
    failed(minke("verify", "math", "--jsonl", "/no/such.jsonl"), "/no/such.jsonl")
    refused(minke("verify", "math"), "--jsonl")
    refused(minke("verify", "maths"), "maths")


def test_format_tells_tags_language_and_repetition(minke):
    text = "<think>one two one two one two</think><answer>5</answer>"
    r = minke("verify", "format", "--jsonl", "-", "--ngram", "2",
              stdin=lines({"text": text}, {"text": "5"}))
    good, bad = answers(r)
    assert good["good"] and good["answer"] == "5" and good["language"] == 1
    assert 0 < good["repetition"] < 1
    assert not bad["good"] and "thought" in bad["fault"] and bad["think"] is None
    r = minke("verify", "format", "--jsonl", "-", "--in-thought", "--no-answer-tags",
              stdin=lines({"text": "a</think>5"}))
    assert answers(r)[0]["good"]


def test_code_runs_only_when_allowed(minke):
    program = lines({"program": "print(1)", "tests": ""})
    refused(minke("verify", "code", "--jsonl", "-", stdin=program), "--allow-code")


@pytest.fixture
def sandbox(minke):
    r = minke("verify", "code", "--jsonl", "-", "--allow-code",
              stdin=lines({"program": "", "tests": ""}))
    if r.returncode:
        failed(r, "nothing was run")
        pytest.skip("no sandbox here")
    return minke


def test_code_gives_a_reason(sandbox):
    f = "def f(x):\n    return x + 1\n"
    r = sandbox("verify", "code", "--jsonl", "-", "--allow-code", "--wall", "60000", stdin=lines(
        {"program": f, "tests": "assert f(1) == 2"}, {"program": f, "tests": "assert f(1) == 3"},
        {"program": "bytearray(1 << 40)", "tests": ""}, {"program": 5}))
    assert r.returncode == 1 and "line 4" in r.stderr
    assert [a["reason"] for a in answers(r)] == ["passed", "failed", "memory"]
    assert answers(r)[1] == {"passed": False, "reason": "failed", "last_line": "AssertionError"}


def test_no_environment_and_no_file_reaches_the_program(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    r = sandbox("verify", "code", "--jsonl", "-", "--allow-code", "--wall", "60000", SECRET="y",
                stdin=lines({"program": "import os",
                             "tests": f"assert not os.path.exists({str(secret)!r})\n"
                                      "assert 'SECRET' not in os.environ\n"
                                      f"assert not os.path.exists({os.getcwd()!r})"}))
    assert answers(r)[0]["passed"], r
