"""minke report: the page, the table and the event file say what metrics.jsonl says."""

import html.parser
import json
import re
import struct
import xml.etree.ElementTree

import pytest

from conftest import ROOT, failed, refused

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Every element is closed by its own name; texts and attributes are kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tags, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    """The records of a TFRecord file, every checksum looked at."""
    while data:
        n, crc = struct.unpack_from("<QI", data)
        assert crc == masked(data[:8])
        body = data[12:12 + n]
        assert struct.unpack_from("<I", data, 12 + n) == (masked(body),)
        yield body
        data = data[16 + n:]


def fields(data):
    """Protobuf's wire format as {field: value}; each field once."""
    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    at, out = 0, {}
    while at < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            value = varint()
        else:
            n = {1: 8, 5: 4}.get(wire) or varint()
            value = data[at:at + n]
            at += n
        out[key >> 3] = value
    assert at == len(data)
    return out


def make_run(path, n=40, sources=("<script>", "plays"), **extra):
    path.mkdir()
    steps = []
    for i in range(1, n + 1):
        step = {"step": i, "tokens": 64 * i, "loss": 5 - i / 20, "lr": 1e-3, "norm": 1.5, "skipped": False,
                "experts": [{"layer": 1, "entropy": 0.9, "most": 1.5}],
                "sources": {name: {"tokens": 32 * i, "loss": 4.5} for name in sources}} | extra
        if i % 10 == 0:
            step |= {"valid_loss": 5.5 - i / 20}
            step["experts"] = [{"layer": 1, "entropy": 0.9, "most": 1.5, "load": [96, 32, 64, 64]}]
        steps.append(step)
    (path / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))
    (path / "timing.jsonl").write_text("".join(
        json.dumps({"step": s["step"], "ms": 500, "tokens_per_s": 128}) + "\n" for s in steps))
    return steps


@pytest.fixture
def run(tmp_path):
    return tmp_path / "first", make_run(tmp_path / "first")


def test_the_page_is_sound_whole_and_alone(minke, run):
    folder, steps = run
    r = minke("report", folder)
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout.splitlines()[-1] == str(folder / "report.html")
    row = r.stdout.splitlines()[1].split()
    assert row == ["40", "2560", "3.0000", "3.5000", "0.3", "first"]
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert "script" not in page.tags and "<script>" in page.texts  # the source's name, as text
    assert page.tags.count("svg") >= 6
    for title in ("Loss, nats a token", "Learning rate", "Gradient norm", "Tokens a second", "Loss by source",
                  "Load of each expert"):
        assert title in page.texts
    assert not re.search(r"https?:|//|url\(|@import", text)
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme:dark" in text
    assert "layer 1, expert 0: 1.50 x mean" in page.texts
    assert not re.search(r"nan|inf\b", text, re.I)


def test_the_recipe_is_there_to_unfold(minke, run, tmp_path):
    folder, _ = run
    minke("report", folder)
    assert "details" not in Page((folder / "report.html").read_text()).tags  # of a folder without one
    (folder / "recipe.yaml").write_text("seed: 7\nsample:\n  prompt: \"<b>\"\n")
    make_rl_run(tmp_path / "zero")
    (tmp_path / "zero/recipe.yaml").write_bytes(b"x: y\n" * 20000)  # longer than is shown
    for at, words in ((folder, 'seed: 7\nsample:\n  prompt: "<b>"\n'), (tmp_path / "zero", "x: y\nx: y\n")):
        minke("report", at)
        page = Page((at / "report.html").read_text())
        assert page.tags.count("details") == 1 and words in "".join(page.texts)
    assert 64000 < "".join(page.texts).count("x: y\n") * 5 < 66000


def test_what_would_be_said_twice_is_left_out(minke, tmp_path):
    make_run(tmp_path / "one", sources=["plays"])  # its loss is the run's
    minke("report", tmp_path / "one")
    page = Page((tmp_path / "one/report.html").read_text())
    assert "plays" in page.texts and "Loss by source" not in page.texts
    assert [t.strip() for t in page.texts].count("layer 1") == 4  # not a bare number: two curves, two legends
    assert "skipped" not in page.texts  # no step was
    make_run(tmp_path / "three", skipped=True)
    minke("report", tmp_path / "three")
    assert "skipped" in Page((tmp_path / "three/report.html").read_text()).texts
    make_rl_run(tmp_path / "two", tasks={"parity": {"pass": 1.0, "reward": 1.0, "level": 4}})
    minke("report", tmp_path / "two")
    assert "Level of difficulty by task" not in Page((tmp_path / "two/report.html").read_text()).texts


def test_the_first_and_the_last_sample_are_shown_as_text(minke, run):
    folder, _ = run
    (folder / "samples").mkdir()
    for step, text in ((10, "<em>one</em>\nline two"), (20, "never seen"), (30, "whale 🐳 " * 400), (7, "x")):
        (folder / f"samples/step-{step:06}.txt").write_text(text)
    (folder / "samples/step-000007.txt").unlink()
    (folder / "samples/notes.txt").write_text("not a sample")
    assert minke("report", folder).returncode == 0
    page = Page((folder / "report.html").read_text())
    assert "em" not in page.tags and page.tags.count("pre") == 2
    shown = "".join(page.texts)
    assert "Sample after step 10" in shown and "<em>one</em>\nline two" in shown
    assert "Sample after step 30" in shown and "whale 🐳" in shown and "\ufffd" not in shown
    assert shown.count("whale") < 200  # cut
    assert "never seen" not in shown and "not a sample" not in shown


def test_a_curve_goes_through_the_values(minke, run):
    folder, steps = run
    minke("report", folder)
    text = (folder / "report.html").read_text()
    path = re.search(r'<path class="c c0" d="M([^"]+)"><title>training<', text)[1]
    points = [tuple(map(float, p.split())) for p in path.split("L")]
    assert len(points) == len(steps)
    xs, ys = zip(*points)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys)  # the loss falls: down is larger
    assert xs[0] == 44 and xs[-1] == 352


def test_runs_are_compared(minke, run, tmp_path):
    make_run(tmp_path / "second", 60, loss=2.0)
    refused(minke("report", run[0], tmp_path / "second"), "--out")
    out = tmp_path / "both.html"
    r = minke("report", run[0], tmp_path / "second", "-o", out)
    assert r.returncode == 0
    assert [line.split()[-1] for line in r.stdout.splitlines()[1:3]] == ["first", "second"]
    page = Page(out.read_text())
    assert page.texts.count("first") >= 4 and page.texts.count("second") >= 4


def test_a_picture_stands_alone_in_light_and_dark(minke, run, tmp_path):
    make_run(tmp_path / "a<b", 60, loss=2.0)
    for runs in ((run[0],), (run[0], tmp_path / "a<b")):
        r = minke("report", *runs, "-o", tmp_path / "page.html", "--svg", tmp_path / "loss.svg")
        assert r.returncode == 0 and r.stderr == ""
        text = (tmp_path / "loss.svg").read_text()
        root = xml.etree.ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme:dark" in text and len(text) < 60000
        assert not re.search(r"https?:(?!//www.w3.org/2000/svg)|url\(|@import|<script", text)
        words = "".join(root.itertext())
        assert all(w in words for w in
                   (("training", "validation 3.5") if len(runs) == 1 else ("first", "a<b 2")))
        assert len(root.findall("{*}path[@class='c c0']")) == 2  # the curve and its legend
        _, top, _, height = (float(x) for x in root.get("viewBox").split())
        assert all(top < float(t.get("y")) < top + height for t in root.iter("{*}text"))


def make_rl_run(path, n=40, **extra):
    """As minke rl writes it; answers of five of its steps."""
    (path / "samples").mkdir(parents=True)
    steps = []
    for i in range(1, n + 1):
        step = {"step": i, "tokens": 0, "reward": i / 50, "pass": i / 40, "asked": 8, "live": 4, "length": 4.0 + i,
                "truncated": 0.125, "formed": 1.0, "entropy": 0.5, "updates": 1, "loss": -0.1, "norm": 1.5,
                "lr": 1e-3, "clipped": 0.0, "tasks": {t: {"pass": i / 40, "reward": i / 50, "level": 2 + i // 20}
                                                      for t in ("parity", "<script>")}} | extra
        if i % 10 == 0:
            step["test"] = {"pass": i / 80, "length": 2.0, "questions": 9, "tasks": {"parity": {"pass": i / 80}}}
            (path / f"samples/step-{i:06}.jsonl").write_text("".join(
                json.dumps({"task": "parity", "level": 2, "question": f"q{i} {k // 2}", "reference": "<i>1</i>",
                            "response": f"<think>{'0' * i}</think><answer>{k}</answer>", "reward": 1.0,
                            "correct": k % 4 == 0, "truncated": k % 4 == 2, "tokens": i}) + "\n" for k in range(8)))
        steps.append(step)
    (path / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))
    (path / "timing.jsonl").write_text("".join(
        json.dumps({"step": s["step"], "ms": 500, "tokens_per_s": 128}) + "\n" for s in steps))


def test_a_run_of_rewards_has_its_own_page(minke, tmp_path):
    make_rl_run(tmp_path / "zero", kl=0.01, mismatch=0.2, mean_mismatch=0.1)
    r = minke("report", tmp_path / "zero")
    assert r.returncode == 0 and r.stderr == ""
    assert r.stdout.splitlines()[1].split() == ["40", "0.8000", "1.0000", "0.5000", "44.0000", "0.3", "zero"]
    text = (tmp_path / "zero/report.html").read_text()
    page = Page(text)
    for title in ("Right answers, share", "Length of an answer, tokens", "Reward of an answer, mean",
                  "Form of the answers, share", "Entropy of the policy, nats a token",
                  "Live groups, share of those asked", "KL to the reference, nats a token",
                  "Sampler against trainer, |log pi - log mu|", "Gradient norm", "Learning rate",
                  "Right answers by task, share", "Reward by task, mean", "Right answers to test questions by task",
                  "Level of difficulty by task"):
        assert title in page.texts, title
    assert "Clipped tokens, share" not in page.texts  # there are none
    assert "script" not in page.tags and "think" not in page.tags and "i" in page.tags and "<script>" in page.texts
    shown = "".join(page.texts)
    for step in (10, 20, 30, 40):  # thinking grows from step to step
        assert f"<think>{'0' * step}</think><answer>0</answer>" in shown
        assert f"<think>{'0' * step}</think><answer>1</answer>" not in shown  # one answer a question
    assert page.texts.count("right") == 9 and page.texts.count("cut off") == 8  # "right" heads a column too
    assert not re.search(r"https?:|//|url\(|@import", text)
    assert ("name", "viewport") in page.attributes and "prefers-color-scheme:dark" in text
    assert not re.search(r"nan\b|inf\b", text, re.I)


def test_runs_of_rewards_are_compared(minke, run, tmp_path):
    for name in ("one", "two"):
        make_rl_run(tmp_path / name)
    out, picture = tmp_path / "both.html", tmp_path / "length.svg"
    r = minke("report", tmp_path / "one", tmp_path / "two", "-o", out, "--svg", picture, "--series", "length")
    assert r.returncode == 0 and r.stdout.splitlines()[-2:] == [str(out), str(picture)]
    page = Page(out.read_text())
    assert "Right answers to test questions, share" in page.texts
    assert "".join(page.texts).count("to the bit") == 2  # no mismatch was written: exact runs
    root = xml.etree.ElementTree.fromstring(picture.read_text())
    words = "".join(root.itertext())
    assert "Length of an answer, tokens" in words and "one 44" in words and "two 44" in words
    minke("report", tmp_path / "one", "--svg", picture)
    assert "test, greedy 0.5" in "".join(xml.etree.ElementTree.fromstring(picture.read_text()).itertext())
    failed(minke("report", run[0], tmp_path / "one", "-o", out), "one learns from rewards", "first does not")
    failed(minke("report", tmp_path / "one", "--svg", picture, "--series", "lenght"), "lenght", "test_length")
    refused(minke("report", tmp_path / "one", "--series", "length"), "--svg")


def test_mistakes_are_named(minke, run, tmp_path):
    failed(minke("report", tmp_path / "nix"), "nix", "no such folder")
    failed(minke("report", ROOT / "docs"), "docs", "no run")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/results.json").write_text('{"results": {}}')
    for folders in ((run[0], tmp_path / "scores"), (tmp_path / "scores", run[0])):
        failed(minke("report", *folders, "-o", tmp_path / "x.html"), "scores has scores", "first has none")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/recipe.yaml").write_text("")
    failed(minke("report", tmp_path / "begun"), "begun", "no step")
    (tmp_path / "begun/pipeline.yaml").write_text("")
    failed(minke("report", tmp_path / "begun"), "begun", "stages")
    with open(run[0] / "metrics.jsonl", "a") as f:
        f.write('{"step": 41, "tok')  # a killed run
    assert minke("report", run[0]).returncode == 0
    with open(run[0] / "metrics.jsonl", "a") as f:
        f.write("\n")
    failed(minke("report", run[0]), "metrics.jsonl: line 41")


RECIPE = """\
model: {{config: {root}/recipes/shakespeare/config.json}}
data: {{sequence: 32, validation: 0.2, sources: [{{path: {root}/tests/golden/text/shakespeare.txt}}]}}
train: {{tokens: 512, batch: 2}}
eval: {{every: 4, sequences: 2}}
"""


def test_a_run_leaves_a_page_and_events_that_say_what_its_metrics_say(minke, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(root=ROOT))
    out = tmp_path / "run"
    r = minke("train", recipe, "-q", "--set", f"out={out}")
    assert r.returncode == 0, r.stderr
    steps = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 8 and "load" in steps[3]["experts"][0] and "load" not in steps[4]["experts"][0]
    assert sum(steps[3]["experts"][0]["load"]) > 0
    assert "Load of each expert" in Page((out / "report.html").read_text()).texts
    first, *events = records((out / "events.out.tfevents.0.minke").read_bytes())
    assert fields(first)[3] == b"brain.Event:2"
    got = {}
    for event in events:
        event = fields(event)
        value = fields(fields(event[5])[1])
        got[value[1].decode(), event[2]] = struct.unpack("<f", value[2])[0]
    for step in steps:
        assert got["train/loss", step["step"]] == pytest.approx(step["loss"], rel=1e-6)
        assert got["train/norm", step["step"]] == pytest.approx(step["norm"], rel=1e-6)
        assert ("train/tokens_per_s", step["step"]) in got
    assert got["train/valid_loss", 4] == pytest.approx(steps[3]["valid_loss"], rel=1e-6)
    assert ("train/valid_loss", 3) not in got
    assert got["busiest_expert/1", 8] == pytest.approx(steps[7]["experts"][0]["most"], rel=1e-6)
