"""One step of minke rl, once more in PyTorch: the same answers, losses, gradients, clipping, AdamW.

The log-probabilities that minke's sampler saw, the advantages and the weights after the step are
compared with those of transformers' own model; then steps of several updates, in which ratios leave
1, are clipped and differ from the reference.
"""
import json
import pathlib
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINKE = ROOT / "build/minke"
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(ROOT / "tools/golden"))
from objective import advantages, answer_loss  # noqa: E402
from test_reward import RECIPE as REWARD, RL as JUDGED  # noqa: E402
from test_rl import DENSE, MLA_MOE, TAGS  # noqa: E402

RECIPE = """\
out: {out}
seed: 11
model: {{config: config.json, init_std: 0.1}}
tokenizer: {{path: tokenizer}}
tasks: [{{name: parity}}]
optimizer: {{lr: {lr}, weight_decay: 0.1}}
schedule: {{kind: constant}}
balance: {{gamma: 0, sequence: 0}}
rl: {{steps: 1, questions: 4, samples: 4, soft_tokens: 24, loss: {loss}, filter: false}}
rollout: {{tokens: 24}}
eval: {{sequences: 1}}
sample: {{every: 1}}
"""
OPTIONS = {"grpo": dict(norm="sequence", std=True, low=0.2, high=0.2),
           "dapo": dict(norm="token", std=True, low=0.2, high=0.28)}


def minke(*words):
    subprocess.run([MINKE, *words], check=True, stdout=subprocess.DEVNULL)


def write_start(tmp_path, config):
    text = tmp_path / "text.txt"
    text.write_text("parity 0110\n" * 20)
    tags = [x for tag in TAGS for x in ("--special", tag)]
    minke("tokenizer", "train", text, "--out", tmp_path / "tokenizer", "--vocab", "264", *tags)
    # One id in hundreds would hardly ever end an answer, and answers of one length have one reward.
    (tmp_path / "config.json").write_text(json.dumps(config | {"eos_token_id": [1, 40, 70, 90, 120, 150, 200, 230]}))


def run(tmp_path, name, lr, loss, *sets):
    path = tmp_path / f"{name}.yaml"
    path.write_text(RECIPE.format(out=tmp_path / name, lr=lr, loss=loss))
    minke("rl", path, "-q", *(x for o in sets for x in ("--set", o)))
    return tmp_path / name / "checkpoints/step-000001"


def torch_loss(model, samples, options, before=None):
    """The step's loss and the log-probabilities of every answer. before: those of the weights before
    the step; None: the weights are those."""
    case = dict(kind="grpo", beta=0, kl="k3", cap=0, delta=0, constant=1.0, n_answers=len(samples),
                n_tokens=sum(len(s["ids"]) for s in samples)) | options
    total, logps = 0, []
    for i, s in enumerate(samples):
        ids = torch.tensor([s["prompt_ids"] + s["ids"]])
        logits = model(ids).logits[0, len(s["prompt_ids"]) - 1:-1].double()
        logp = logits.log_softmax(-1).gather(1, torch.tensor(s["ids"])[:, None])[:, 0]
        old = before[i] if before else logp.detach()
        answer = dict(old=old, sampled=old, ref=old, advantage=s["advantage"],
                      counts=torch.ones(len(old), dtype=torch.bool))
        total = total + answer_loss(case, answer, logp)
        logps.append(logp.detach())
    return total, logps


def check_rollouts(samples, logps, options):
    assert sum(s["advantage"] != 0 for s in samples) > 8
    for i in range(0, len(samples), 4):
        want = advantages(torch.tensor([s["reward"] for s in samples[i:i + 4]]).double(), options["std"])
        assert torch.allclose(want, torch.tensor([s["advantage"] for s in samples[i:i + 4]]).double())
    for s, logp in zip(samples, logps):
        assert (logp - torch.tensor(s["logprobs"]).double()).abs().max() < 1e-4


@pytest.mark.parametrize("loss", ["grpo", "dapo"])
@pytest.mark.parametrize("config", [DENSE, MLA_MOE | {"num_nextn_predict_layers": 0}],
                         ids=["dense", "mla-moe"])
def test_a_step_of_grpo_gives_the_weights_of_pytorch(tmp_path, config, loss):
    write_start(tmp_path, config)
    start, end = run(tmp_path, "start", 0, loss), run(tmp_path, "end", 1e-3, loss)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="eager")
    samples = [json.loads(line) for line in
               (tmp_path / "end/samples/step-000001.jsonl").read_text().splitlines()]
    assert len(samples) == 16
    total, logps = torch_loss(model, samples, OPTIONS[loss])
    check_rollouts(samples, logps, OPTIONS[loss])
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
                      lr=1e-3, betas=(0.9, 0.95), eps=1e-8).step()
    before, after = load_file(start / "model.safetensors"), load_file(end / "model.safetensors")
    ours = model.state_dict()
    moved = 0
    for name, want in after.items():
        if name in ours and ours[name].shape == want.shape:
            moved += not torch.equal(before[name], want)
            # A first step of AdamW is lr times the gradient's sign wherever the gradient is not tiny.
            close = (ours[name] - want).abs() <= 1e-5
            assert close.float().mean() > 0.995, name
    assert moved > 5


# Each with what its paper has not: every option of the objective comes once.
SEVERAL = {
    "grpo": (dict(norm="sequence", std=True, low=0.05, high=0.05, beta=0.1, kl="k3"), "rl.kl=0.1"),
    "dr_grpo": (dict(norm="constant", constant=24.0, std=False, low=0.05, high=0.1, beta=0.1, kl="unbiased"),
                "rl.kl=0.1", "rl.kl_form=unbiased", "rl.clip_high=0.1"),
    "dapo": (dict(norm="token", std=True, low=0.05, high=0.28, beta=0, kl="k3"), "rl.clip_high=0.28"),
    "gspo": (dict(norm="sequence", std=True, low=3e-4, high=4e-4, beta=0.1, kl="unbiased"), "rl.kl=0.1",
             "rl.kl_form=unbiased", "rl.clip_low=-1", "rl.clip_high=-1"),
    "cispo": (dict(norm="token", std=True, low=0.05, high=0.05, beta=0, kl="k3", delta=0.05), "rl.mask_delta=0.05"),
}


@pytest.mark.parametrize("loss", SEVERAL)
def test_several_updates_give_the_weights_of_pytorch(tmp_path, loss):
    """A large eps makes AdamW's step continuous in the gradient: all weights agree, not most."""
    write_start(tmp_path, DENSE)
    options, *sets = SEVERAL[loss]
    more = ("optimizer.eps=1e-2", "rl.epochs=3", "rl.clip_low=0.05", "rl.clip_high=0.05", *sets)
    start = run(tmp_path, "start", 0, loss, *more)
    end = run(tmp_path, "end", 1e-2, loss, *more)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="eager")
    samples = [json.loads(line) for line in (tmp_path / "end/samples/step-000001.jsonl").read_text().splitlines()]
    matrices, others = ([p for p in model.parameters() if (p.dim() > 1) == m] for m in (True, False))
    adam = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0}],
                             lr=1e-2, betas=(0.9, 0.95), eps=1e-2)
    old, losses = None, []
    for _ in range(3):
        total, logps = torch_loss(model, samples, options | {"kind": loss}, old)
        old = old or logps  # which is the reference too
        adam.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        losses.append(float(total.detach()))
    check_rollouts(samples, old, options)
    step = json.loads((tmp_path / "end/metrics.jsonl").read_text().splitlines()[0])
    assert step["updates"] == 3 and step["clipped"] > 0.05
    assert step["loss"] == pytest.approx(sum(losses) / 3, rel=1e-4, abs=1e-6)
    before, after, ours = load_file(start / "model.safetensors"), load_file(end / "model.safetensors"), model.state_dict()
    for name, want in after.items():
        moved = (want - before[name]).abs().max()
        assert moved > 1e-3 and (ours[name] - want).abs().max() < 1e-5 + 1e-3 * moved, name


@pytest.mark.parametrize("config", [DENSE, MLA_MOE], ids=["dense", "mla-moe"])
def test_a_reward_model_scores_as_transformers_has_it(tmp_path, config):
    write_start(tmp_path, config)
    (tmp_path / "pairs.jsonl").write_text("".join(
        json.dumps({"prompt": f"parity {i:04b}", "chosen": f"{i % 7}", "rejected": "one"}) + "\n" for i in range(16)))
    (tmp_path / "reward.yaml").write_text(REWARD.format(out=tmp_path / "reward"))
    minke("train", tmp_path / "reward.yaml", "-q")
    judge = sorted((tmp_path / "reward/checkpoints").iterdir())[-1]
    (tmp_path / "rl.yaml").write_text(JUDGED.format(out=tmp_path / "rl", judge=judge))
    minke("rl", tmp_path / "rl.yaml", "-q", "--set", "rl.steps=1", "--set", "sample.every=1")
    model = AutoModelForSequenceClassification.from_pretrained(judge, dtype=torch.float32, attn_implementation="eager")
    samples = [json.loads(line) for line in (tmp_path / "rl/samples/step-000001.jsonl").read_text().splitlines()]
    for s in samples:
        score = model(torch.tensor([s["prompt_ids"] + s["ids"]])).logits[0, 0].item()
        assert abs(score - s["score"]) < 1e-4 * (1 + abs(score))
    assert len({s["score"] for s in samples}) > 10
