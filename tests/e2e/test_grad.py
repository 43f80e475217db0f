"""minke grad: the file it writes, and its manners. The numbers are checked in gradients_test.c."""

import json
import struct

from conftest import ROOT, failed, refused

V3 = ROOT / "tests/golden/models/v3"
LLAMA3 = ROOT / "tests/golden/gguf/llama3.gguf"
IDS = V3 / "expected/ids_29.txt"


def tensors_of(path):
    data = path.read_bytes()
    n, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {name: (t["shape"], data[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]])
            for name, t in header.items()}


def test_every_weight_has_a_gradient_under_its_own_name(minke, tmp_path):
    out = tmp_path / "g.safetensors"
    r = minke("grad", V3, "--ids-file", IDS, "--out", out, "--mtp", "--json")
    assert r.returncode == 0, r.stderr
    told = json.loads(r.stdout)
    got, want = tensors_of(out), {}
    for shard in V3.glob("*.safetensors"):
        want |= tensors_of(shard)
    copies = {"model.layers.3.embed_tokens.weight", "model.layers.3.shared_head.head.weight"}
    learned = {n for n in want if not n.endswith("e_score_correction_bias")} - copies
    assert set(got) == learned | {"loss"}
    assert all(got[n][0] == want[n][0] for n in learned)
    assert struct.unpack("<f", got["loss"][1])[0] == struct.unpack("<f", struct.pack("<f", told["loss"]))[0]
    assert len(told["mtp_loss"]) == 1


def test_a_gguf_has_gradients_under_hugging_face_names(minke, tmp_path):
    out = tmp_path / "any.name"
    r = minke("grad", LLAMA3, "--ids-file", IDS, "--out", out)
    assert r.returncode == 0, r.stderr
    assert "model.layers.0.self_attn.q_proj.weight" in tensors_of(out)
    assert [p.name for p in tmp_path.iterdir()] == ["any.name"]


def test_threads_and_recomputation_do_not_change_a_byte(minke, tmp_path):
    files = []
    for i, options in enumerate([("--threads", "1"), ("--threads", "3"), ("--keep", "0")]):
        files.append(tmp_path / str(i))
        r = minke("grad", V3, "--ids-file", IDS, "--out", files[-1], "--mtp", *options)
        assert r.returncode == 0, r.stderr
    assert len({f.read_bytes() for f in files}) == 1


def test_what_cannot_be_differentiated_is_said(minke, tmp_path):
    out = tmp_path / "g"
    refused(minke("grad", V3), "--ids-file")
    failed(minke("grad", V3, "--ids-file", "-", "--out", out, stdin="1"), "two tokens")
    failed(minke("grad", V3, "--ids-file", "-", "--out", out, stdin="1 99999"), "vocabulary")
    failed(minke("grad", LLAMA3, "--ids-file", IDS, "--out", out, "--mtp"), "multi-token")
    failed(minke("grad", V3, "--ids-file", IDS, "--out", tmp_path / "no" / "g"), "no/g")
    assert list(tmp_path.iterdir()) == []
