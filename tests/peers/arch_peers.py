"""Random models of every kind and of awkward sizes, written by transformers: minke's logits and
greedy ids are transformers', from the folder and from a GGUF made of it. Needs build/minke and what
`make test-peers` installs.

The golden models (tools/golden/export.py) fix a few sizes; here a seed draws them: odd wherever a
formula allows odd, other counts of heads, layers, groups and experts, other RoPE scalings. Latent
attention runs in both forms, and its witness is also the float64 reference of tools/golden.
"""
import json
import math
import pathlib
import subprocess
import sys
import types

import llama_cpp
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
sys.path.insert(0, str(ROOT / "tools/golden"))
import export  # noqa: E402
import reference  # noqa: E402
import shapes  # noqa: E402

TOLERANCE = 1e-4  # of the largest logit
PROMPTS = (1, 29, 150)
N_GREEDY = 32
SEEDS = (1, 2, 3)


# ---- Configurations ------------------------------------------------------------------------------

def odd(rng, low, high):
    return int(rng.integers(low // 2, high // 2)) * 2 + 1


def common(rng, heads):
    # transformers insists on a hidden size of a multiple of the heads, though nothing computes it.
    return dict(shapes.COMMON, vocab_size=odd(rng, 301, 701), max_position_embeddings=1000,
                num_attention_heads=heads, hidden_size=heads * odd(rng, 17, 29),
                intermediate_size=odd(rng, 71, 191),
                num_hidden_layers=int(rng.integers(2, 5)), tie_word_embeddings=False,
                rms_norm_eps=float(rng.choice([1e-6, 1e-5])))


def rope(rng, seed, mscale):
    """YaRN of any strength with the odd seeds, none with the even one; with the last seed its two
    mscales differ, so cosine and sine grow or shrink."""
    theta = float(rng.choice([1e4, 3e5]))
    if seed % 2 == 0:
        return dict(rope_type="default", rope_theta=theta)
    original = int(rng.integers(40, 300))
    r = shapes.yarn(rng.uniform(3, 45), original, rng.integers(4, 33), mscale)
    return dict(r, rope_theta=theta, mscale=mscale + (0.25 if seed == SEEDS[-1] else 0))


def latent(rng, seed, mscale, with_q_lora):
    heads = int(rng.integers(3, 7))
    return dict(common(rng, heads), num_key_value_heads=heads,
                q_lora_rank=odd(rng, 25, 57) if with_q_lora else None,
                kv_lora_rank=odd(rng, 21, 47), qk_nope_head_dim=odd(rng, 11, 33),
                qk_rope_head_dim=2 * int(rng.integers(3, 12)), v_head_dim=odd(rng, 9, 35),
                attention_bias=False, moe_layer_freq=1, moe_intermediate_size=odd(rng, 15, 43),
                first_k_dense_replace=int(rng.integers(0, 2)),
                n_shared_experts=int(rng.integers(1, 4)), rope_parameters=rope(rng, seed, mscale))


def experts(rng, grouped):
    """Experts in groups of which some are kept. More are chosen than groups: else the best experts
    would always lie in the best groups."""
    if not grouped:
        n = int(rng.integers(6, 15))
        return dict(n_routed_experts=n, num_experts_per_tok=int(rng.integers(2, n // 2 + 1)),
                    n_group=1, topk_group=1)
    groups, size = int(rng.integers(3, 6)), int(rng.integers(2, 5))
    kept = int(rng.integers(1, groups))
    return dict(n_routed_experts=groups * size, n_group=groups, topk_group=kept,
                num_experts_per_tok=int(rng.integers(kept + 1, kept * size + 1)))


def v2(rng, seed, grouped):
    # transformers views the ends of these rows as complex numbers
    even = dict(kv_lora_rank=2 * odd(rng, 11, 23), qk_nope_head_dim=2 * odd(rng, 5, 17))
    return dict(latent(rng, seed, 0.707, grouped) | even, **experts(rng, grouped),
                topk_method="group_limited_greedy" if grouped else "greedy",
                scoring_func="softmax", norm_topk_prob=False,
                routed_scaling_factor=float(rng.uniform(1, 16)) if grouped else 1.0)


def v3(rng, seed, with_q_lora):
    return dict(latent(rng, seed, 1.0, with_q_lora), **experts(rng, True), topk_method="noaux_tc",
                scoring_func="sigmoid", norm_topk_prob=True, num_nextn_predict_layers=0,
                routed_scaling_factor=float(rng.uniform(1, 3)))


def dense(rng, scaling=None, **more):
    kv_heads = int(rng.integers(1, 4))
    theta = float(rng.choice([1e4, 5e5, 1e6]))
    c = dict(common(rng, kv_heads * int(rng.integers(1, 5))), num_key_value_heads=kv_heads,
             head_dim=2 * int(rng.integers(5, 18)), **more)
    return dict(c, rope_parameters=dict(scaling or {"rope_type": "default"}, rope_theta=theta))


def banded(rng):
    """llama3's scaling with a boundary that some of so few wavelengths lie on either side of."""
    return dict(rope_type="llama3", factor=float(rng.uniform(2, 16)), low_freq_factor=1.0,
                high_freq_factor=4.0, original_max_position_embeddings=int(rng.integers(90, 400)))


def plain_yarn(rng):
    """As R1-0528-Qwen3 has it: no mscale, so cosine and sine grow."""
    return dict(rope_type="yarn", factor=float(rng.uniform(2, 8)),
                original_max_position_embeddings=int(rng.integers(40, 200)))


KINDS = {
    "v2-lite": ("deepseek_v2", lambda rng, seed: v2(rng, seed, grouped=False)),
    "v2-groups": ("deepseek_v2", lambda rng, seed: v2(rng, seed, grouped=True)),
    "v3": ("deepseek_v3", lambda rng, seed: v3(rng, seed, with_q_lora=True)),
    "v3-noq": ("deepseek_v3", lambda rng, seed: v3(rng, seed, with_q_lora=False)),
    "qwen2-tied": ("qwen2", lambda rng, seed: dense(rng) | {"tie_word_embeddings": True}),
    "qwen2-untied": ("qwen2", lambda rng, seed: dense(rng)),
    "qwen3": ("qwen3", lambda rng, seed: dense(rng, attention_bias=False)),
    "qwen3-yarn": ("qwen3", lambda rng, seed: dense(rng, plain_yarn(rng), attention_bias=False)),
    "llama3": ("llama", lambda rng, seed: dense(rng, banded(rng))),
    "llama-linear": ("llama", lambda rng, seed: dense(
        rng, dict(rope_type="linear", factor=float(rng.uniform(2, 8))))),
    "mistral": ("mistral", lambda rng, seed: dense(rng, sliding_window=odd(rng, 7, 41))),
}


# ---- Models --------------------------------------------------------------------------------------

@torch.no_grad()
def randomise(model, rng, tied):
    """Weights of a size that keeps activations' size; see weight() of tools/golden/export.py."""
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        x = rng.standard_normal(tuple(p.shape))
        if name.endswith("e_score_correction_bias"):
            x = rng.uniform(0.02, 0.35, tuple(p.shape))
        elif name.endswith("inv_freq"):
            continue
        elif "norm" in name:
            x = 1 + 0.15 * x
        elif name.endswith(".bias"):
            x = 0.4 * x
        elif "embed_tokens" in name:
            x = (0.12 if tied else 0.6) * x
        elif name.endswith("mlp.gate.weight"):
            x = 0.16 * x
        else:
            x = 1.15 / math.sqrt(p.shape[-1]) * x
        p.copy_(torch.from_numpy(x.astype(np.float32)))


def respell(folder, latent_attention):
    """config.json as releases up to 2025 wrote it."""
    path = folder / "config.json"
    j = json.loads(path.read_text())
    kept = {} if latent_attention else {"head_dim": j["head_dim"]}
    path.write_text(json.dumps(export.old_spelling(j, "float32") | kept))


def write_model(folder, model_type, c, rng, old):
    config = transformers.AutoConfig.for_model(model_type, **c)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, rng, c["tie_word_embeddings"])
    model.save_pretrained(folder)
    if old:
        respell(folder, "kv_lora_rank" in c)
    return safetensors.torch.load_file(folder / "model.safetensors")


def greedy_of(model, ids):
    """The whole sequence again for each token, and the least distance of first and second."""
    ids, gap = list(ids), math.inf
    for _ in range(N_GREEDY):
        row = export.logits_of(model, ids)[-1]
        second, first = np.sort(row)[-2:]
        gap = min(gap, float(first - second) / float(np.abs(row).max()))
        ids.append(int(row.argmax()))
    return ids[-N_GREEDY:], ids, gap


def expect(c, exact, model, rng):
    """Prompts and what follows from them; None when so little decides over an expert or a token
    that another order of summation may."""
    prompts = [[int(i) for i in rng.integers(2, c["vocab_size"], n)] for n in PROMPTS]
    logits = [export.logits_of(model, p) for p in prompts]
    greedy, path, gap = greedy_of(model, prompts[1])
    if gap < 2 * TOLERANCE:
        return None
    if "kv_lora_rank" in c:
        wide = {k: v.double().numpy() for k, v in exact.items()}
        for p, want in zip([*prompts, path], [*logits, None]):
            ours, _, stats = reference.forward(wide, c, p)
            if min(stats["margin"]) < 2e-5:
                return None
            assert want is None or np.abs(ours - want).max() < TOLERANCE * np.abs(want).max()
    return prompts, logits, greedy


def make(folder, model_type, c, exact, rng, store=None):
    model = export.load(folder, c, exact, store)
    for _ in range(20):
        expected = expect(c, exact, model, rng)
        if expected:
            break
    else:
        raise AssertionError("twenty prompts that hang in the balance")
    forms = [["--mla", f] for f in ("absorbed", "expanded")] if "kv_lora_rank" in c else [[]]
    return types.SimpleNamespace(folder=folder, rope=c["rope_parameters"], forms=forms,
                                 window=c.get("sliding_window", math.inf), prompts=expected[0],
                                 logits=expected[1], greedy=expected[2])


def name_of(drawn):
    return f"{drawn[0]}-{drawn[1]}"


@pytest.fixture(scope="module", params=[(k, s) for k in KINDS for s in SEEDS], ids=name_of)
def random_model(request, tmp_path_factory):
    torch.set_num_threads(1)
    kind, seed = request.param
    model_type, draw = KINDS[kind]
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    c = draw(rng, seed)
    folder = tmp_path_factory.mktemp(kind)
    exact = write_model(folder, model_type, c, rng, old=seed == SEEDS[-1])
    return make(folder, model_type, c, exact, rng)


@pytest.fixture(scope="module", params=SEEDS)
def fp8_model(request, tmp_path_factory):
    """Matrices of several 128 x 128 blocks with ragged edges, which a release stores as FP8."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([request.param, 1000])
    c = v3(rng, request.param, with_q_lora=True)
    c |= dict(
        hidden_size=c["num_attention_heads"] * odd(rng, 45, 51), q_lora_rank=odd(rng, 131, 161),
        kv_lora_rank=odd(rng, 129, 151), intermediate_size=odd(rng, 257, 301),
        moe_intermediate_size=odd(rng, 129, 151), num_hidden_layers=2)
    folder = tmp_path_factory.mktemp("fp8")
    stored, exact = export.make_weights("deepseek_v3", request.param, c, "fp8")
    export.write_config(folder, "deepseek_v3", c, dict(store="fp8", spelling="old"))
    export.write_weights(folder, stored, shards=2)
    return make(folder, "deepseek_v3", c, exact, rng, store="fp8")


# ---- The comparison ------------------------------------------------------------------------------

def ids_file(tmp_path, ids):
    (tmp_path / "ids.txt").write_text(" ".join(map(str, ids)))
    return tmp_path / "ids.txt"


def minke_logits(m, ids, form, tmp_path):
    subprocess.run([MINKE, "score", m.folder, "--ids-file", ids_file(tmp_path, ids), "--logits",
                    tmp_path / "logits.npy", *form], check=True, stdout=subprocess.DEVNULL)
    return np.load(tmp_path / "logits.npy")


def minke_greedy(m, form, tmp_path):
    out = subprocess.run([MINKE, "generate", m.folder, "--ids-file",
                          ids_file(tmp_path, m.prompts[1]), "-n", str(N_GREEDY), "-t", "0",
                          "--ignore-eos", "--json", *form], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)["ids"]


def compare(m, tmp_path):
    worst = 0
    for form in m.forms:
        for ids, want in zip(m.prompts, m.logits):
            got = minke_logits(m, ids, form, tmp_path)
            assert got.shape == want.shape
            worst = max(worst, float(np.abs(got - want).max() / np.abs(want).max()))
        assert minke_greedy(m, form, tmp_path) == m.greedy
    print(f"{worst:.1e} of the largest logit")
    assert worst <= TOLERANCE


def test_logits_and_greedy_ids_are_those_of_transformers(random_model, tmp_path):
    compare(random_model, tmp_path)


def test_a_gguf_of_it_computes_the_same(random_model, tmp_path):
    """convert's other layouts: heads permuted, experts stacked, kv_b in two. GGUF has one number
    for both mscales."""
    m = random_model
    run = subprocess.run([MINKE, "convert", m.folder, tmp_path / "x.gguf", "--to", "f32",
                          "--quiet"], capture_output=True, text=True)
    if m.rope.get("mscale") != m.rope.get("mscale_all_dim"):
        assert run.returncode == 1 and "GGUF has no key" in run.stderr
        return
    assert run.returncode == 0, run.stderr
    compare(types.SimpleNamespace(**vars(m) | {"folder": tmp_path / "x.gguf"}), tmp_path)


# llama.cpp wants square projections of a qwen2, a q_lora of most deepseek2, and one mscale.
@pytest.mark.parametrize("random_model", [
    *((k, s) for k in ("qwen3", "qwen3-yarn", "llama3", "llama-linear", "mistral") for s in SEEDS),
    ("v3", 1), ("v3", 2)], ids=name_of, indirect=True)
def test_llama_cpp_reads_the_gguf(random_model, tmp_path):
    m = random_model
    n = min(m.window, max(PROMPTS))  # llama.cpp forgets the window of a Mistral
    subprocess.run([MINKE, "convert", m.folder, tmp_path / "x.gguf", "--to", "f32", "--quiet"],
                   check=True)
    llm = llama_cpp.Llama(str(tmp_path / "x.gguf"), n_ctx=512, logits_all=True, n_threads=2,
                          verbose=False)
    llm.eval(m.prompts[-1][:n])
    error = np.abs(np.array(llm.scores[:n]) - m.logits[-1][:n]).max() / np.abs(m.logits[-1]).max()
    print(f"llama.cpp: {error:.1e} of the largest logit")
    assert error < 5e-3  # it keeps the cache in f16


def test_fp8_blocks_are_the_values_they_stand_for(fp8_model, tmp_path):
    compare(fp8_model, tmp_path)
