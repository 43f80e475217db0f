"""What PyTorch says of pairs of answers: direct preference optimisation on golden models.

    python tools/golden/dpo.py

The loss (Rafailov et al. 2023, eq. 7; label smoothing; RPO's term of the chosen answers) is written out
here with torch in double precision, the model is transformers' own. expected/dpo.txt: the options, the
pairs with the reference's log-probabilities, which are the model's own moved by fixed amounts, then what
comes of them: log-probabilities, loss, and of every gradient the norm and the sums of gradients.py.
"""

import numpy as np
import torch
import transformers
from gradients import ROOT, gradients, line, separate

BETA, SMOOTHING, SFT = 0.3, 0.1, 0.25
# tokens of the prompt and of both answers; by how much the reference's log-probabilities differ
PAIRS = [(6, 5, 7, 0.5, -0.75), (3, 9, 2, -1.25, 0.25), (11, 1, 4, 3.0, -2.0)]


def log_probability(model, prompt, answer):
    ids = torch.tensor([prompt + answer])
    logits = model(ids, use_cache=False).logits[0].log_softmax(-1)
    return sum(logits[len(prompt) + i - 1, t] for i, t in enumerate(answer))


def pair_loss(model, pair):
    prompt, chosen, rejected, moved = pair
    p = log_probability(model, prompt, chosen), log_probability(model, prompt, rejected)
    r = [round(float(x) + m, 6) for x, m in zip(p, moved)]
    z = BETA * ((p[0] - r[0]) - (p[1] - r[1]))
    log_sigmoid = torch.nn.functional.logsigmoid
    loss = -(1 - SMOOTHING) * log_sigmoid(z) - SMOOTHING * log_sigmoid(-z) - SFT * p[0] / len(chosen)
    return loss, r, [float(x) for x in p]


def main():
    torch.set_num_threads(1)
    for name in ("llama3", "v3-noq"):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            ROOT / name,
            dtype=torch.float64,
            attn_implementation="eager",
            experts_implementation="eager",
        ).train()
        draw = np.random.default_rng(7)
        lines, losses = [f"options {BETA} {SMOOTHING} {SFT} {len(PAIRS)}"], []
        for n_prompt, n_chosen, n_rejected, *moved in PAIRS:
            prompt, chosen, rejected = (
                draw.integers(0, model.config.vocab_size, n).tolist() for n in (n_prompt, n_chosen, n_rejected)
            )
            loss, r, p = pair_loss(model, (prompt, chosen, rejected, moved))
            losses.append(loss)
            ids = " ".join(map(str, prompt + chosen + rejected))
            lines.append(f"pair {n_prompt} {n_chosen} {n_rejected} {r[0]} {r[1]} {p[0]:.9g} {p[1]:.9g} {ids}")
        loss = sum(losses) / len(losses)
        loss.backward()
        lines.append(f"loss {float(loss.detach()):.9g}")
        for n, g in gradients(model.named_parameters()):
            lines += [line(m, x) for m, x in separate(n, g)]
        (ROOT / name / "expected/dpo.txt").write_text("\n".join(lines) + "\n")
        print(name, float(loss.detach()))


if __name__ == "__main__":
    main()
