#!/usr/bin/env python3
"""Policy-gradient losses of random rollouts and their gradients, as PyTorch differentiates them.

Writes tests/golden/rl/objective.txt, which tests/unit/rl/objective_test.c replays. The losses are
written out here from the papers (src/rl/objective.h names them), not from minke's code; only the
log-probabilities are random. Run from the repository root: python3 tools/golden/objective.py
"""
import itertools

import torch

OUT = "tests/golden/rl/objective.txt"
KINDS = ["grpo", "dr_grpo", "dapo", "gspo", "cispo"]
NORMS = ["sequence", "token", "constant"]


def advantages(rewards, std):
    a = rewards - rewards.mean()
    return a / (rewards.std(unbiased=False) + 1e-6) if std else a


def policy_loss(kind, logp, old, advantage, low, high):
    """One loss a token; gspo: the answer's, repeated."""
    log_ratio = logp - old
    if kind == "gspo":
        ratio = log_ratio.mean().exp().expand(len(logp))
    else:
        ratio = log_ratio.exp()
    bounded = ratio.clamp(1 - low, 1 + high) if low or high else ratio
    if kind == "cispo":
        return -bounded.detach() * advantage * logp
    return -torch.minimum(ratio * advantage, bounded * advantage)


def answer_loss(case, answer, logp):
    """Sum over the tokens that count of policy term and KL, not normalised."""
    counts = answer["counts"]
    logp, old, mu, ref = (x[counts] for x in (logp, answer["old"], answer["sampled"], answer["ref"]))
    if len(logp) == 0:
        return logp.sum()
    loss = policy_loss(case["kind"], logp, old, answer["advantage"], case["low"], case["high"])
    if case["cap"]:
        off = (old - mu).mean() if case["kind"] == "gspo" else old - mu
        loss = loss * off.exp().clamp(max=case["cap"])
    if case["delta"] and answer["advantage"] < 0 and (mu - logp).mean() > case["delta"]:
        loss = loss * 0
    if case["beta"]:
        k3 = (ref - logp).exp() - (ref - logp) - 1
        if case["kl"] == "unbiased":
            k3 = (logp - mu).exp() * k3
        loss = loss + case["beta"] * k3
    if case["norm"] == "sequence":
        return loss.sum() / len(logp) / case["n_answers"]
    if case["norm"] == "token":
        return loss.sum() / case["n_tokens"]
    return loss.sum() / (case["n_answers"] * case["constant"])


def random_answers(generator, n_answers, std, edges, low, high):
    rewards = torch.randint(0, 2, (n_answers,), generator=generator).double()
    rewards[0], rewards[1] = 1, 0
    answers = []
    for i, advantage in enumerate(advantages(rewards, std)):
        n = int(torch.randint(1, 7, (1,), generator=generator))
        old = -3 * torch.rand(n, generator=generator).float()
        logp = old + 0.3 * torch.randn(n, generator=generator)
        if edges:  # just inside and just outside of the clip's bounds
            bound = torch.log(torch.tensor(1 + high if i % 2 else 1 - low))
            logp = old + bound + 1e-3 * torch.randn(n, generator=generator).sign()
        answers.append(dict(
            reward=float(rewards[i]), advantage=float(advantage), logp=logp.float(), old=old,
            sampled=old + 0.2 * torch.randn(n, generator=generator).float(),
            ref=old + 0.4 * torch.randn(n, generator=generator).float(),
            counts=torch.rand(n, generator=generator) > 0.15))
    return answers


def cases():
    for i, (kind, norm) in enumerate(itertools.product(KINDS, NORMS)):
        for variant in range(4):
            yield dict(kind=kind, norm=norm, std=(i + variant) % 2, constant=16.0,
                       low=3e-4 if kind == "gspo" else 0.2, high=4e-4 if kind == "gspo" else 0.28,
                       beta=[0, 0.04, 0.1, 0][variant], kl=["k3", "k3", "unbiased", "k3"][variant],
                       cap=[0, 0, 1.1, 2.0][variant], delta=[0, 0, 0, 0.05][variant],
                       edges=variant == 1)
    yield dict(kind="grpo", norm="token", std=1, constant=1.0, low=0.0, high=0.0, beta=0, kl="k3",
               cap=0, delta=0, edges=False)


def numbers(x):
    return " ".join(f"{float(v):.9g}" for v in x.detach())


def main():
    generator = torch.Generator().manual_seed(20)
    lines = ["# tools/golden/objective.py: kind norm std constant low high beta kl cap delta answers;",
             "# an answer: n reward advantage loss, then logp, old, sampled, ref, counts, gradient"]
    for case in cases():
        answers = random_answers(generator, 4, case["std"], case["edges"], case["low"], case["high"])
        case["n_answers"] = len(answers)
        case["n_tokens"] = sum(int(a["counts"].sum()) for a in answers)
        lines.append(f"{case['kind']} {case['norm']} {case['std']} {case['constant']} {case['low']} "
                     f"{case['high']} {case['beta']} {case['kl']} {case['cap']} {case['delta']} "
                     f"{len(answers)} {case['n_tokens']}")
        for a in answers:
            logp = a["logp"].double().requires_grad_()
            a = {k: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
                 for k, v in a.items()}
            loss = answer_loss(case, a, logp)
            gradient, = torch.autograd.grad(loss, logp)
            lines.append(f"{len(logp)} {a['reward']} {a['advantage']:.9g} {float(loss.detach()):.9g}")
            lines += [numbers(x) for x in (logp, a["old"], a["sampled"], a["ref"],
                                           a["counts"].int(), gradient)]
    with open(OUT, "w") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
