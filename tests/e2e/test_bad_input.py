"""Files that attacked others, given to minke: one line that names the file, no crash, no wait, and
no memory beyond the file's size. Rows are those of the list of known attacks; each case says what
was done to whom."""

import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import pytest

from conftest import MINKE, ROOT

GOLDEN = ROOT / "tests/golden"
LLAMA3 = GOLDEN / "models/llama3"
MB = 1 << 20

U32, I32, STRING, ARRAY, U64 = 4, 5, 8, 9, 10
F32 = 0


# ---- files, written by hand -----------------------------------------------------------------------

def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(s)) + s


def array(kind, values, n=None):
    packed = b"".join(text(v) if kind == STRING else struct.pack("<I" if kind == U32 else "<i", v)
                      for v in values)
    return struct.pack("<IQ", kind, len(values) if n is None else n) + packed


def pair(key, kind, value):
    return text(key) + struct.pack("<I", kind) + value


def info(name, shape, offset=0, kind=F32):
    return (text(name) + struct.pack("<I", len(shape)) +
            b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", kind, offset))


def gguf(pairs=(), infos=(), n_tensors=None, n_pairs=None, data=b"\0" * 4096):
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos) if n_tensors is None else n_tensors,
                                 len(pairs) if n_pairs is None else n_pairs)
    head += b"".join(pairs) + b"".join(infos)
    return head + b"\0" * (-len(head) % 32) + data


ARCH = pair("general.architecture", STRING, text("llama"))


def vocabulary(tokens=("a", "b", "<s>"), types=(1, 1, 3), merges=(), bos=2, model="gpt2"):
    return [ARCH, pair("tokenizer.ggml.model", STRING, text(model)),
            pair("tokenizer.ggml.pre", STRING, text("gpt-2")),
            pair("tokenizer.ggml.tokens", ARRAY, array(STRING, tokens)),
            pair("tokenizer.ggml.token_type", ARRAY, array(I32, types)),
            pair("tokenizer.ggml.merges", ARRAY, array(STRING, merges)),
            pair("tokenizer.ggml.bos_token_id", U32, struct.pack("<I", bos))]


def safetensors(header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


# ---- running --------------------------------------------------------------------------------------

# A child's peak counts what its parent had when it was forked, so a parent of its own starts it: pytest
# grows with what it has seen.
MEASURE = """
import json, os, resource, subprocess, sys, time
begin = time.monotonic()
p = subprocess.Popen(sys.argv[2:],
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
_, status, usage = os.wait4(p.pid, 0)
with open(sys.argv[1], "w") as f:
    json.dump([os.waitstatus_to_exitcode(status), time.monotonic() - begin, usage.ru_maxrss * 1024], f)
"""


def run(*args, stdin=b""):
    """Exit status, what was printed, seconds, peak memory in bytes."""
    with tempfile.NamedTemporaryFile() as measured:
        p = subprocess.run([sys.executable, "-S", "-c", MEASURE, measured.name, MINKE, *map(str, args)],
                           input=stdin, capture_output=True, check=True)
        status, seconds, rss = json.load(measured)
    return status, p.stdout, p.stderr.decode(), seconds, rss


@pytest.fixture(scope="module")
def at_rest():
    """What the command needs to say its version."""
    return run("--version")[4]


def bytes_of(path):
    files = [path] if path.is_file() else [p for p in path.iterdir() if p.is_file()]
    return sum(p.stat().st_size for p in files)


def assert_refused(path, at_rest, *words, command="inspect", stdin=b"", args=()):
    status, out, err, seconds, rss = run(command, path, *args, stdin=stdin)
    assert status == 1, (status, out[:200], err)
    assert re.fullmatch(r"minke: [^\n]+\n", err), err
    assert str(path.name) in err or any(w in err for w in words), err
    for word in words:
        assert word in err, err
    # the bound is 5 s of work on any machine; 20 leaves room for a loaded one, and the CPU limit
    # above ends a loop
    assert seconds < 20
    assert rss <= bytes_of(path) + 64 * MB + at_rest


def write(tmp_path, content, name="bad.gguf"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def model_with(tmp_path, content, name="model.safetensors"):
    """The golden Llama with other weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(LLAMA3 / "config.json", folder)
    (folder / name).write_bytes(content)
    return folder


# ---- GGUF: rows 1 to 14 ---------------------------------------------------------------------------

BIG = (1 << 63) - 1
FILES = {
    "01 tensor count times size wraps": gguf([ARCH], n_tensors=(1 << 64) // 48 + 1),
    "01 metadata count times size wraps": gguf([ARCH], n_pairs=(1 << 64) // 16 + 1),
    "02 product of dimensions wraps": gguf([ARCH], [info("x", (BIG, 2))]),
    "02 product of dimensions wraps to small": gguf([ARCH], [info("x", (1 << 32, 1 << 32, 1))]),
    "03 size near the end of numbers": gguf([ARCH], [info("x", ((1 << 62) - 8,))]),
    "03 offset near the end of numbers": gguf([ARCH], [info("x", (32,), (1 << 64) - 32)]),
    "04 tensor behind the end": gguf([ARCH], [info("x", (32,), 4096)]),
    "04 tensor across the end": gguf([ARCH], [info("x", (2048,), 0)]),
    "04 tensors overlap": gguf([ARCH], [info("x", (64,), 0), info("y", (64,), 32)]),
    "05 alignment of the wrong type": gguf([ARCH, pair("general.alignment", STRING, text("32"))]),
    "05 alignment zero": gguf([ARCH, pair("general.alignment", U32, struct.pack("<I", 0))]),
    "05 alignment not a power of two": gguf([ARCH, pair("general.alignment", U32,
                                                        struct.pack("<I", 24))]),
    "08 magic alone": b"GGUF",
    "09 dimension zero": gguf([ARCH], [info("x", (0, 32))]),
    "09 block count not whole": gguf([ARCH], [info("x", (31,), 0, 8)]),
    "10 string longer than the file": gguf([text("general.architecture") + struct.pack(
        "<IQ", STRING, 1 << 40)]),
    "10 array longer than the file": gguf([ARCH, pair("tokenizer.ggml.tokens", ARRAY,
                                                      struct.pack("<IQ", U32, 1 << 60))]),
    "10 key longer than the file": gguf([struct.pack("<Q", (1 << 64) - 1)]),
}
VOCABULARIES = {
    "06 token types are narrower": vocabulary()[:4] + [
        pair("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ", 0, 3) + b"\1\1\3")],
    "06 tokens are numbers": [ARCH, pair("tokenizer.ggml.model", STRING, text("gpt2")),
                              pair("tokenizer.ggml.tokens", ARRAY, array(U32, (1, 2, 3)))],
    "07 fewer token types than tokens": vocabulary(types=(1,)),
    "07 fewer scores than tokens": vocabulary(model="llama") + [
        pair("tokenizer.ggml.scores", ARRAY, struct.pack("<IQ", 6, 1) + struct.pack("<f", 1))],
    "11 byte token with a sign": vocabulary(("a", "<0x-1>", "<s>"), (1, 6, 3), model="llama"),
    "14 special id outside the vocabulary": vocabulary(bos=3),
    "14 special id of 31 bits": vocabulary(bos=(1 << 31) - 1),
}


@pytest.mark.parametrize("row", FILES)
def test_gguf(tmp_path, at_rest, row):
    assert_refused(write(tmp_path, FILES[row]), at_rest)


@pytest.mark.parametrize("row", VOCABULARIES)
def test_gguf_vocabulary(tmp_path, at_rest, row):
    assert_refused(write(tmp_path, gguf(VOCABULARIES[row])), at_rest, command="tokenize",
                   stdin=b"ab")


def test_08_gguf_cut_anywhere(tmp_path, at_rest):
    whole = (GOLDEN / "gguf/llama3.gguf").read_bytes()
    for n in [0, 1, 3, 4, 8, 12, 16, 23, 24, 40, 100, 1000, len(whole) // 2,
              len(whole) - 33]:  # the last bytes are padding
        assert_refused(write(tmp_path, whole[:n]), at_rest)


def test_12_token_of_a_megabyte_decodes_whole(tmp_path):
    path = write(tmp_path, gguf(vocabulary(("a", "b" * MB, "<s>"))))
    status, out, err, _, _ = run("tokenize", path, "--decode", stdin=b"1")
    if status:  # refused by name is right too
        assert status == 1 and re.fullmatch(r"minke: [^\n]+\n", err)
    else:
        assert out == b"b" * MB


def test_13_more_tokens_than_numbers_have_signs(tmp_path, at_rest):
    pairs = vocabulary()[:3] + [pair("tokenizer.ggml.tokens", ARRAY,
                                     struct.pack("<IQ", STRING, (1 << 31) + 1) + b"\0" * 64)]
    assert_refused(write(tmp_path, gguf(pairs)), at_rest, command="tokenize")


# ---- weights: row 15 ------------------------------------------------------------------------------

@pytest.mark.parametrize("bits", [0x7fc00000, 0x7f800000, 0xff800000])
def test_15_not_a_number_in_the_weights(tmp_path, at_rest, bits):
    """With --check-tensors refused by name; without it the answer is nonsense and nothing breaks."""
    folder = tmp_path / "model"
    shutil.copytree(LLAMA3, folder)
    weights = sorted(folder.glob("*.safetensors"))[0]
    raw = bytearray(weights.read_bytes())
    raw[-4:] = struct.pack("<I", bits)
    weights.write_bytes(raw)
    ids = ("--ids-file", LLAMA3 / "expected/ids_29.txt")
    assert_refused(folder, at_rest, command="generate", args=(*ids, "--check-tensors"))
    status, _, err, _, _ = run("generate", folder, *ids, "--max-tokens", 4)
    assert status in (0, 1), err


# ---- safetensors: rows 16 to 18 -------------------------------------------------------------------

ONE = tensor(0, 4)
WEIGHTS = {
    "16 header longer than the file": safetensors({"x": ONE}, b"\0" * 4, length=1 << 40),
    "16 header length wraps": safetensors({"x": ONE}, b"\0" * 4, length=(1 << 64) - 1),
    "16 header of more than 100 MB": safetensors({"x": ONE}, b"\0" * 4, length=101_000_000),
    "16 shorter than its length": b"\x08\0\0",
    "17 offsets overlap": safetensors({"x": tensor(0, 8, (2,)), "y": tensor(4, 12, (2,))},
                                      b"\0" * 12),
    "17 offsets leave a gap": safetensors({"x": ONE, "y": tensor(8, 12)}, b"\0" * 12),
    "17 bytes are left over": safetensors({"x": ONE}, b"\0" * 8),
    "17 shape is not the bytes": safetensors({"x": tensor(0, 4, (2,))}, b"\0" * 4),
    "17 padding of NULs": safetensors(json.dumps({"x": ONE}).encode() + b"\0\0\0", b"\0" * 4),
    "17 a name twice": safetensors(b'{"x":%s,"x":%s}' % ((json.dumps(ONE).encode(),) * 2),
                                   b"\0" * 4),
    "17 offsets turned round": safetensors({"x": tensor(4, 0)}, b"\0" * 4),
    "17 shape wraps": safetensors({"x": tensor(0, 4, (1 << 62, 4))}, b"\0" * 4),
    "17 shape of a negative": safetensors({"x": tensor(0, 4, (-1,))}, b"\0" * 4),
    "17 deep JSON": safetensors(b'{"x":' + b"[" * 100000, b""),
}


@pytest.mark.parametrize("row", WEIGHTS)
def test_safetensors(tmp_path, at_rest, row):
    assert_refused(model_with(tmp_path, WEIGHTS[row]), at_rest, "model.safetensors")


def test_16_a_header_of_a_hundred_thousand_tensors(tmp_path, at_rest):
    """Bloat is read in time and memory of its size; then the model's own tensors are missing."""
    header = {f"junk.{i}": tensor(i, i + 1, (1,), "U8") for i in range(100_000)}
    folder = model_with(tmp_path, safetensors(header, b"\0" * 100_000))
    assert_refused(folder, at_rest, command="generate",
                   args=("--ids-file", LLAMA3 / "expected/ids_29.txt"))


@pytest.mark.parametrize("shard", ["../../../etc/passwd", "/etc/passwd", "..", "missing.safetensors",
                                   "a/b.safetensors", "", "nul\0byte.safetensors"])
def test_18_shard_outside_the_folder(tmp_path, at_rest, shard):
    index = json.dumps({"metadata": {}, "weight_map": {"x": shard}}).encode()
    folder = model_with(tmp_path, index, "model.safetensors.index.json")
    assert_refused(folder, at_rest)


# ---- tokenizer.json: row 19 -----------------------------------------------------------------------

def bpe(vocab=None, merges=(), pre=None, added=()):
    return {"version": "1.0", "added_tokens": list(added), "normalizer": None,
            "pre_tokenizer": pre or {"type": "ByteLevel", "add_prefix_space": False,
                                     "use_regex": False},
            "model": {"type": "BPE", "vocab": vocab or {"a": 0, "b": 1, "ab": 2},
                      "merges": list(merges)}}


def split(regex):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}


TOKENIZERS = {
    "19 merge of tokens that are not there": bpe(merges=["a c"]),
    "19 ids with holes beyond the end": bpe({"a": 0, "b": 1 << 31}),
    "19 negative id": bpe({"a": 0, "b": -1}),
    "19 an id twice": bpe({"a": 0, "b": 0}),
    "19 a pattern that is none": bpe(pre=split("(a")),
    "19 a pattern that never ends": bpe(pre=split("(a+)+$c|(a|a)*d")),
    "19 deep JSON": b'{"model":' + b"[" * 200_000,
    "19 not JSON": b"\xff\xfe",
    "19 empty": b"",
    "19 merge of three": bpe(merges=["a b c"]),
    "19 a token of 100 MB": b'{"model":{"type":"BPE","vocab":{"' + b"a" * (100 * MB) + b'":0},"merges":[]}}',
    "19 merges that are empty lists": (b'{"model":{"type":"BPE","vocab":{"a":0},"merges":[' +
                                       b"[]," * 5_000_000 + b'"a a"]}}'),
    "19 values that nobody reads": b'{"decoder":[' + b"0," * 5_000_000 + b"0]}",
    "19 an id that is a tree": b'{"model":{"vocab":{"a":[' + b"0," * 5_000_000 + b"0]}}}",
}


@pytest.mark.parametrize("row", TOKENIZERS)
def test_tokenizer(tmp_path, at_rest, row):
    content = TOKENIZERS[row]
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(
        content if isinstance(content, bytes) else json.dumps(content).encode())
    assert_refused(folder, at_rest, *(["split pattern"] if "never ends" in row else []),
                   command="tokenize", stdin=b"a" * 4000 + b"b")


@pytest.mark.parametrize("name, content", [
    ("tokenizer_config.json", b'{"x":[' + b"[]," * 2_000_000 + b"0]}"),
    ("tokenizer_config.json", b'{"x":"' + b"a" * (9 * MB) + b'"}'),
    ("chat_template.jinja", b"a" * (9 * MB)),
], ids=["a tree in the configuration", "a long configuration", "a long template"])
def test_19_files_beside_the_tokenizer(tmp_path, at_rest, name, content):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(bpe(merges=["a b"])))
    assert run("tokenize", folder, stdin=b"ab")[0] == 0
    (folder / name).write_bytes(content)
    assert_refused(folder, at_rest, name, command="tokenize", stdin=b"ab")


def test_19_merges_in_a_circle_end(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    merges = ["a b", "a b", "ab a", "ab ab"]
    vocab = {"a": 0, "b": 1, "ab": 2, "aba": 3, "abab": 4}
    (folder / "tokenizer.json").write_text(json.dumps(bpe(vocab, merges)))
    status, out, err, _, _ = run("tokenize", folder, stdin=b"ab" * 10_000)
    assert status in (0, 1)
    assert out or re.fullmatch(r"minke: [^\n]+\n", err)
