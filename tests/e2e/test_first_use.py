"""The first minutes with minke: no arguments, wrong ones, help, interruptions, a conversation."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

import pytest

from conftest import MINKE, ROOT, refused

LLAMA3 = ROOT / "tests/golden/gguf/llama3.gguf"  # random weights: its answers mean nothing
IDS = ROOT / "tests/golden/models/v3/expected/ids_29.txt"
COMMANDS = re.findall(r'^    \{"(\w+)", "', (ROOT / "src/cli/main.c").read_text(), re.M)


def test_without_arguments_it_lists_its_commands_and_fails(minke):
    r = minke()
    assert r.returncode == 2 and r.stdout == ""
    assert all(re.search(rf"^  {c} ", r.stderr, re.M) for c in COMMANDS)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_is_an_answer_and_not_an_error(minke, words):
    r = minke(*words)
    if words == ("help",) and r.returncode == 2:
        assert "--help" in r.stderr
        return
    assert r.returncode == 0 and r.stderr == "" and "generate" in r.stdout


def test_the_version_is_one_line(minke):
    r = minke("--version")
    assert r.returncode == 0 and re.fullmatch(r"minke \d+\.\d+\.\d+[^\n]*\n", r.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_in_80_columns(minke, command):
    r = minke(command, "--help")
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout.startswith("usage: minke " + command)
    assert "\n      --" in r.stdout or "\n  -" in r.stdout
    assert max(map(len, r.stdout.splitlines())) <= 80


PARTS = ("data build", "data show", "tasks corpus", "verify math", "verify code", "verify format")


@pytest.mark.parametrize("command", PARTS)
def test_so_do_their_parts(minke, command):
    r = minke(*command.split(), "--help")
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout.startswith("usage: minke " + command)
    assert max(map(len, r.stdout.splitlines())) <= 80


@pytest.mark.parametrize("words, missing", [
    ("data", "build|show"), ("data build", "PATH...|RECIPE.yaml"), ("grad", "MODEL"), ("sample", "MODEL"),
    ("sample m", "SPEC..."), ("tokenizer train", "FILE..."), ("verify", "math|format|code"), ("rl", "RECIPE.yaml")])
def test_what_is_missing_is_named(minke, words, missing):
    refused(minke(*words.split()), f": {missing} is missing,", "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_that_is_not_there_is_refused_in_one_line(minke, command):
    refused(minke(command, "--nonsense"), "--nonsense", "--help")


def test_a_slip_is_met_with_the_word_that_was_meant(minke):
    refused(minke("genrate"), "generate")
    refused(minke("generate", "m", "--max-token", "3"), "--max-tokens")


def test_an_option_without_its_value_is_refused_by_name(minke):
    refused(minke("generate", LLAMA3, "--max-tokens"), "--max-tokens")


def test_ctrl_c_ends_an_answer_at_once(minke, tmp_path):
    p = subprocess.Popen([MINKE, "generate", LLAMA3, "--raw", "-p", "a", "-n", "4000",
                          "--ignore-eos", "--context", "4096"], env=minke.env, cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(1)  # it has begun
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=300)
    assert p.returncode in (-signal.SIGINT, 130)
    # no colours; of these weights, which are random, a lone escape may be a part of the answer
    assert b"\x1b" not in err and b"\x1b[0m" not in out


def test_a_reader_that_leaves_is_no_accident(minke):
    p = subprocess.Popen([MINKE, "inspect", LLAMA3], env=minke.env, cwd=ROOT,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdout.close()
    err = p.stderr.read()
    p.wait(30)
    assert b"fault" not in err.lower() and err.count(b"\n") <= 1


class Terminal:
    """A person at a pseudo-terminal."""

    def __init__(self, minke, *args):
        self.fd, theirs = pty.openpty()

        def take_terminal():  # else no Ctrl-C becomes a signal
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([MINKE, *map(str, args)], stdin=theirs, stdout=theirs,
                                        stderr=theirs, env=minke.env | {"TERM": "xterm"}, cwd=ROOT,
                                        preexec_fn=take_terminal)
        os.close(theirs)
        os.set_blocking(self.fd, False)
        self.shown = ""

    def until(self, text, seconds=60):
        end = time.monotonic() + seconds
        start = len(self.shown)
        while text not in self.shown[start:]:
            assert time.monotonic() < end, f"waited for {text!r}, saw {self.shown!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.fd, 4096).decode(errors="replace")
                except OSError:
                    break
        return self.shown[start:]

    def say(self, text, answer):
        """Types a line until the answer is seen: between two prompts it may be thrown away."""
        for attempt in range(10):
            self.type(text)
            try:
                return self.until(answer, 5)
            except AssertionError:
                if attempt == 9:
                    raise

    def type(self, text):
        """What no one takes any more, because the program has just ended, is lost: the kernel would
        have the writer wait for ever."""
        try:
            os.write(self.fd, text.encode())
        except OSError:
            pass

    def leave(self, text, seconds=60):
        """Types it until the program ends: between two prompts it may be thrown away, or stay in
        the line as text, which Ctrl-U clears."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end, saw {self.shown!r}"
            self.type("\x15" + text)
            for _ in range(10):
                if self.process.poll() is None and select.select([self.fd], [], [], 0.1)[0]:
                    try:
                        self.shown += os.read(self.fd, 4096).decode(errors="replace")
                    except OSError:
                        break
        os.close(self.fd)
        return self.process.returncode


@pytest.fixture
def talker(minke, tmp_path):
    """A folder that can be asked: random weights, a vocabulary, ChatML."""
    folder = tmp_path / "talker"
    r = minke("convert", LLAMA3, folder, "--to", "f32")
    assert r.returncode == 0, r.stderr
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["chat_template"] = (ROOT / "tests/golden/templates/chatml.jinja").read_text()
    path.write_text(json.dumps(config))
    return folder


def test_a_conversation_on_a_terminal(minke, talker):
    t = Terminal(minke, "chat", talker, "--max-tokens", "5", "--seed", "1")
    t.until("> ")
    t.say("/help\n", "/quit")
    t.say("hello\n", "\n> ")
    t.say("/nonsense\n", "/help")
    assert t.leave("\x04") == 0


LEFT, UP, BACKSPACE = "\x1b[D", "\x1b[A", "\x7f"


def test_a_line_can_be_edited_and_comes_back_from_history(minke, talker):
    t = Terminal(minke, "chat", talker, "--max-tokens", "2", "--seed", "1")
    t.until("> ")
    t.say("\x15/hexlp" + LEFT * 2 + BACKSPACE + "\n", "/quit")  # else: no command /hexlp
    t.say("\x15/whale\n", "/help")
    assert t.leave("\x04") == 0
    history = minke.home / ".local/state/minke/chat_history"
    assert history.stat().st_mode & 0o777 == 0o600 and "/whale" in history.read_text()
    t = Terminal(minke, "chat", talker)
    t.until("> ")
    t.say("\x15" + UP, "/whale")
    assert t.leave("\x04") == 0


def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on(minke, talker):
    t = Terminal(minke, "chat", talker, "--max-tokens", "4000", "--context", "4096", "--cpu", "ref")
    t.until("> ")
    for pause in (1, 0.5, 0.25, 0.12, 0.06, 0.03):  # too late, the answer was there already
        t.type("\x15hello\n")
        t.until("\n")
        time.sleep(pause)
        t.type("\x03")
        if "(stopped)" in t.until("\n> "):
            break
    else:
        raise AssertionError(f"never stopped: {t.shown!r}")
    assert t.leave("/quit\n") == 0


def test_ctrl_c_stops_the_reading_of_a_long_prompt(minke, talker):
    t = Terminal(minke, "chat", talker, "--context", "4096", "--cpu", "ref", "--threads", "1",
                 "--system", "whale " * 500, "--max-tokens", "4000")
    t.until("> ")
    for attempt in range(5):  # too early, the line itself is dropped
        t.type("\x15hello\n")
        t.until("\n")
        time.sleep(0.1)
        t.type("\x03")
        if "(stopped)" in t.until("\n> "):
            break
    else:
        raise AssertionError(f"never stopped: {t.shown!r}")
    t.say("\x15/nonsense\n", "/help")
    assert t.leave("\x04") == 0


def test_piped_questions_are_answered_and_it_ends(minke, talker):
    r = minke("chat", talker, "--max-tokens", "5", stdin="hello\nagain\n")
    assert r.returncode == 0, r.stderr
    assert "\x1b" not in r.stdout + r.stderr


def test_without_questions_it_answers_a_short_one_of_its_own(minke, talker):
    r = minke("chat", talker, "--context", "4000", stdin="")
    assert r.returncode == 0, r.stderr
    assert "> " in r.stdout
    answer = r.stdout.split("\n", 1)[1]
    ids = minke("tokenize", talker, stdin=answer).stdout.split()
    assert 0 < len(ids) < 400  # 200 tokens; random ones do not come back as the same ids
