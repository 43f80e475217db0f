"""What PyTorch autograd says of learning from teachers: golden models as students and as teachers.

    python tools/golden/distill.py

The losses are written out here with torch in double precision (Hinton et al. 2015; MiniLLM; GKD, eq. 3),
with what top-k rows leave out as one event on both sides; the models are transformers' own. Into the
student's expected/distill_NAME.txt: the options, the teachers, the texts with the place where learning
begins, then the divergence, the loss, and of every gradient the norm and the sums of gradients.py.
"""

import numpy as np
import torch
import transformers
from gradients import ROOT, gradients, line, separate

TEXTS = [(9, 3), (17, 1), (5, 4)]  # tokens, of them prompt
CASES = {  # student, kind, beta, temperature, weight, top_k, teachers with weights
    "forward": ("llama3", "forward", 0, 2.0, 0.75, 0, {"v3-noq": 1}),
    "reverse": ("llama3", "reverse", 0, 1.0, 1.0, 24, {"qwen3": 1}),
    "generalised": ("llama3", "generalised", 0.3, 1.5, 0.5, 12, {"v3-noq": 1, "qwen2-tied": 3}),
    "experts": ("v3-noq", "generalised", 0.7, 0.8, 1.0, 517, {"llama3": 2, "mistral": 1}),
}


def load(name):
    return transformers.AutoModelForCausalLM.from_pretrained(
        ROOT / name, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager"
    ).train()


def events(log_q, ids):
    """[rows, k] of the listed tokens, and of all others together behind them."""
    listed = log_q.gather(1, ids)
    if ids.shape[1] == log_q.shape[1]:
        return listed
    others = log_q.masked_fill(torch.zeros_like(log_q, dtype=torch.bool).scatter(1, ids, True), -torch.inf)
    return torch.cat([listed, others.logsumexp(1, keepdim=True)], 1)


def divergence(kind, beta, log_p, log_q):
    p, q = log_p.exp(), log_q.exp()
    if kind == "forward":
        return (p * (log_p - log_q)).sum()
    if kind == "reverse":
        return (q * (log_q - log_p)).sum()
    log_m = (beta * p + (1 - beta) * q).log()
    return (beta * p * (log_p - log_m) + (1 - beta) * q * (log_q - log_m)).sum()


def case(student, kind, beta, temperature, weight, top_k, teachers):
    model, others = load(student), {name: load(name) for name in teachers}
    draw = np.random.default_rng(11)
    n_vocab = model.config.vocab_size
    kinds = ["forward", "reverse", "generalised"]
    lines = [f"options {kinds.index(kind)} {beta} {temperature} {weight} {top_k} {len(teachers)} {len(TEXTS)}"]
    lines += [f"teacher {name} {w}" for name, w in teachers.items()]
    entropy, far, n = 0, 0, 0
    for n_ids, n_prompt in TEXTS:
        text = draw.integers(0, n_vocab, n_ids).tolist()
        lines.append(f"text {n_ids} {n_prompt} " + " ".join(map(str, text)))
        ids, learned = torch.tensor([text]), torch.tensor(text[n_prompt:])
        z = model(ids, use_cache=False).logits[0, n_prompt - 1 : -1]
        entropy = entropy + torch.nn.functional.cross_entropy(z, learned, reduction="sum")
        with torch.no_grad():
            p = sum(
                w * (others[name](ids, use_cache=False).logits[0, n_prompt - 1 : -1] / temperature).softmax(1)
                for name, w in teachers.items()
            ) / sum(teachers.values())
        best = p.topk(top_k or n_vocab, 1).indices
        log_q = events((z / temperature).log_softmax(1), best)
        far = far + divergence(kind, beta, events(p.log(), best), log_q)
        n += len(learned)
    loss = ((1 - weight) * entropy + weight * temperature**2 * far) / n
    loss.backward()
    lines += [f"divergence {float(far.detach()) / n:.9g}", f"loss {float(loss.detach()):.9g}"]
    for name, g in gradients(model.named_parameters()):
        lines += [line(m, x) for m, x in separate(name, g)]
    return lines


def main():
    torch.set_num_threads(1)
    for name, (student, *rest) in CASES.items():
        lines = case(student, *rest)
        (ROOT / student / f"expected/distill_{name}.txt").write_text("\n".join(lines) + "\n")
        print(name, *[x for x in lines if x.startswith(("divergence", "loss"))])


if __name__ == "__main__":
    main()
