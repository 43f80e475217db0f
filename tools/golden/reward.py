"""What PyTorch says of reward models: the Bradley-Terry loss of pairs of answers on golden models.

    python tools/golden/reward.py

The models are transformers' own classes for classification with one label, whose head `score` reads the
hidden state of the last token; the loss (Ouyang et al. 2022, eq. 1, and the mean of scores held at 0) is
written out here with torch in double precision. expected/reward.txt: the weight of the centre, the head,
the pairs with their scores, the loss, and of every gradient the norm and the sums of gradients.py.
"""

import numpy as np
import torch
import transformers
from gradients import ROOT, gradients, line, separate

CENTRE = 0.05
PAIRS = [(6, 5, 7), (3, 9, 2), (11, 1, 4)]  # tokens of the prompt and of both answers


def main():
    torch.set_num_threads(1)
    for name in ("llama3", "v3-noq"):
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            ROOT / name,
            num_labels=1,
            dtype=torch.float64,
            attn_implementation="eager",
            experts_implementation="eager",
        ).train()
        draw = np.random.default_rng(7)
        head = draw.normal(0, 0.3, model.config.hidden_size).astype(np.float32)
        model.score.weight.data = torch.tensor(head, dtype=torch.float64)[None]
        lines = [f"options {CENTRE} {len(PAIRS)}", " ".join(["head", str(head.size), *(f"{x:.9g}" for x in head)])]
        losses = []
        for sizes in PAIRS:
            prompt, *answers = (draw.integers(0, model.config.vocab_size, n).tolist() for n in sizes)
            chosen, rejected = (model(torch.tensor([prompt + a]), use_cache=False).logits[0, 0] for a in answers)
            losses.append(-torch.nn.functional.logsigmoid(chosen - rejected) + CENTRE * (chosen + rejected) ** 2)
            ids = " ".join(map(str, sum(answers, prompt)))
            lines.append(f"pair {' '.join(map(str, sizes))} {float(chosen):.9g} {float(rejected):.9g} {ids}")
        loss = sum(losses) / len(losses)
        loss.backward()
        lines.append(f"loss {float(loss.detach()):.9g}")
        for n, g in gradients(model.named_parameters()):
            lines += [line(m, x) for m, x in separate(n, g)]
        (ROOT / name / "expected/reward.txt").write_text("\n".join(lines) + "\n")
        print(name, float(loss.detach()))


if __name__ == "__main__":
    main()
