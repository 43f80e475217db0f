"""minke sample --endpoint: a server as the teacher, and all that can go wrong with one."""

import json
import random
import signal
import subprocess
import time

import pytest

from chat_server import ChatServer
from conftest import MINKE, ROOT, failed, refused
from test_rl import ok

QUICK = ("--wait", 0.02, "-q")
ASK = ("sample", "wise", "parity,level=2", "-n", 40, "-k", 2)


@pytest.fixture
def serve():
    servers = []

    def start(misbehave=lambda number: None):
        servers.append(ChatServer(misbehave))
        return servers[-1]

    yield start
    for s in servers:
        s.close()


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_are_verified_and_thoughts_put_before_them(minke, serve, tmp_path):
    server, out = serve(), tmp_path / "a.jsonl"
    ok(minke(*ASK, "-e", server.url, "-o", out, "-t", 0.6, "--top-p", 0.95, "--max-tokens", 99, *QUICK))
    lines = lines_of(out)
    assert 40 < len(lines) < 80 and len(server.requests) == 80
    for line in lines:
        bits = line["messages"][0]["content"].split()[-1]
        said = f"<think>{bits}</think><answer>{bits.count('1') % 2}</answer>"
        assert line["messages"][1]["content"] == said and line["correct"]
        assert len(line["logprobs"]) == 3 and line["tokens"] == 7
    body = server.requests[0][1]
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"],
            body["logprobs"]) == ("wise", 0.6, 0.95, 99, True)
    assert len({b["seed"] for _, b in server.requests}) == 80


def test_log_probabilities_may_be_left_out(minke, serve, tmp_path):
    server, out = serve(), tmp_path / "a.jsonl"
    ok(minke(*ASK, "-e", server.url, "-o", out, "--no-logprobs", "--keep", "best", *QUICK))
    assert all("logprobs" not in line for line in lines_of(out))
    assert "logprobs" not in server.requests[0][1]


@pytest.mark.parametrize("fault", [500, 429, 408, "malformed", "empty", "cut"])
def test_what_may_pass_is_tried_again(minke, serve, tmp_path, fault):
    steady, flaky = serve(), serve(lambda number: fault if number % 3 == 0 else None)
    for server, out in ((steady, "steady.jsonl"), (flaky, "flaky.jsonl")):
        ok(minke(*ASK, "-e", server.url, "-o", tmp_path / out, "--tries", 30, *QUICK))
    assert (tmp_path / "steady.jsonl").read_bytes() == (tmp_path / "flaky.jsonl").read_bytes()
    assert len(flaky.requests) > 80 == len(flaky.answered)


def test_a_late_reply_is_given_up_and_asked_for_again(minke, serve, tmp_path):
    server = serve(lambda number: "late" if number < 2 else None)
    ok(minke(*ASK, "-e", server.url, "-o", tmp_path / "a.jsonl", "--timeout", 0.7, *QUICK))
    assert len(server.requests) >= 82


@pytest.mark.parametrize("fault, words", [
    (500, ["it is 500", "2 tries"]), ("malformed", ["no JSON", "2 tries"]),
    ("empty", ["choices[0].message", "2 tries"]), (400, ["it is 400", "1 try"]),
    (401, ["MINKE_API_KEY", "1 try"]), (302, ["302", "1 try"])])
def test_a_server_that_fails_midway_costs_no_answer_twice(minke, serve, tmp_path, fault, words):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    ok(minke(*ASK, "-e", serve().url, "-o", whole, *QUICK))
    server = serve(lambda number: fault if number >= 50 else None)
    options = (*ASK, "-o", out, "--tries", 2, *QUICK, "-e", server.url)
    failed(minke(*options), "part.jsonl", "of 40 questions", "question", *words)
    n_answered = len(server.answered)
    assert n_answered == 50
    server.misbehave = lambda number: None
    ok(minke(*options, "--resume"))
    assert len(server.answered) == len(set(server.answered)) == 80
    assert out.read_bytes() == whole.read_bytes()


def test_nobody_there(minke, tmp_path):
    failed(minke(*ASK, "-e", "http://127.0.0.1:9/v1", "-o", tmp_path / "a", "--tries", 2, *QUICK),
           "question 0", "2 tries")


def test_killed_and_resumed_it_writes_the_same_bytes(minke, serve, tmp_path):
    server, whole, out = serve(), tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    options = (*ASK, "-e", server.url, "--parallel", 3, *QUICK)
    ok(minke(*options, "-o", whole))
    dice = random.Random(3)
    for _ in range(5):
        p = subprocess.Popen([str(x) for x in (MINKE, *options, "-o", out, "--resume")],
                             env=minke.env, cwd=ROOT, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.02, 0.15))
        p.send_signal(signal.SIGKILL)
        p.wait()
    ok(minke(*options, "-o", out, "--resume"))
    assert out.read_bytes() == whole.read_bytes()


def test_what_had_come_before_a_kill_is_not_asked_for_again(minke, serve, tmp_path):
    whole, out = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    ok(minke(*ASK, "-e", serve().url, "-o", whole, *QUICK))
    server = serve(lambda number: "late" if number >= 7 else None)  # in the middle of a batch of 12
    options = (*ASK, "-e", server.url, "--parallel", 3, *QUICK, "-o", out, "--resume")
    received = tmp_path / "part.jsonl.received"
    p = subprocess.Popen([str(x) for x in (MINKE, *options)], env=minke.env, cwd=ROOT)
    while not received.exists() or received.read_bytes().count(b"\n") < 7:
        assert p.poll() is None
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    p.wait()
    n_received, n_asked = received.read_bytes().count(b"\n"), len(server.requests)
    with received.open("ab") as f:
        f.write(b'{"question": 5, "samp')  # killed while it wrote
    server.misbehave = lambda number: None
    ok(minke(*options))
    assert len(server.requests) == n_asked + 80 - n_received
    assert out.read_bytes() == whole.read_bytes() and not received.exists()


def test_a_key_goes_to_the_server_and_never_in_the_clear(minke, serve, tmp_path):
    server, out = serve(), ("-o", tmp_path / "a.jsonl")
    ok(minke(*ASK, "-e", server.url, *out, *QUICK, MINKE_API_KEY="secret"))
    assert {h["Authorization"] for h, _ in server.requests} == {"Bearer secret"}
    assert "secret" not in (tmp_path / "a.jsonl.state").read_text()
    for url in ("http://example.org/v1", "http://127.0.0.1.example.org/v1", "http://10.0.0.1"):
        failed(minke(*ASK, "-e", url, "-o", tmp_path / "b", MINKE_API_KEY="secret"), "plain HTTP")
    server = serve()
    ok(minke(*ASK, "-e", server.url, "-o", tmp_path / "c.jsonl", *QUICK))
    assert "Authorization" not in server.requests[0][0]


def test_mistakes_are_named(minke, tmp_path):
    out = ("-o", tmp_path / "a.jsonl")
    for url in ("file:///etc/passwd", "ftp://example.org", "example", ""):
        failed(minke(*ASK, "-e", url, *out), "https://")
    refused(minke(*ASK, "-e", "https://example.org", "--top-k", 5, *out), "--top-k")
    refused(minke(*ASK, "-e", "https://example.org", "--prompt", "Q: {question}", *out), "--prompt")
