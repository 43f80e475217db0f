#!/usr/bin/env python3
"""Writes tests/golden/sampling/cases.json: what transformers' logits processors make of random rows.

Usage: python tools/golden/sampling.py

Each case: logits [v], the tokens so far, the options, the logits after the repetition penalty, and the ids that
temperature, top-k, top-p and min-p leave, in transformers' own order. Rows on which float32 rounding could decide at a
cut are drawn again, so that any correct program agrees.
"""
import json
import pathlib

import numpy as np
import torch
from transformers.generation.logits_process import (
    LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
    TopPLogitsWarper)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/sampling/cases.json"
V = 48
# temperature, top_k, top_p, min_p, repetition_penalty
OPTIONS = [
    (1.0, 0, 1.0, 0.0, 1.0), (1.0, 1, 1.0, 0.0, 1.0), (1.0, 7, 1.0, 0.0, 1.0), (1.0, 0, 0.9, 0.0, 1.0),
    (1.0, 0, 0.5, 0.0, 1.0), (1.0, 0, 1.0, 0.05, 1.0), (1.0, 0, 1.0, 0.3, 1.0), (0.7, 20, 0.95, 0.0, 1.0),
    (0.6, 0, 0.95, 0.0, 1.1), (1.5, 40, 0.9, 0.02, 1.3), (0.2, 10, 0.8, 0.1, 0.8), (2.0, 0, 0.99, 0.01, 1.05),
    (0.05, 0, 0.9, 0.0, 1.0), (1.0, 200, 0.999, 0.0, 2.0), (0.9, 5, 0.4, 0.5, 1.0), (3.0, 30, 0.7, 0.2, 1.2),
]


def near_a_cut(logits, options):
    """True when a sum or ratio lies so close to a limit that float32 might decide otherwise."""
    temperature, top_k, top_p, min_p, _ = options
    x = np.sort(np.asarray(logits, np.float64))[::-1]
    if np.min(-np.diff(x)) < 1e-4:
        return True
    x = x[:top_k] if top_k else x
    p = np.exp((x - x[0]) / temperature)
    held = np.cumsum(p) / p.sum()
    return (top_p < 1 and np.min(np.abs(held - top_p)) < 1e-4) or (min_p > 0 and np.min(np.abs(p - min_p)) < 1e-4)


def penalise(logits, past, penalty):
    if penalty == 1.0:
        return logits
    return RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([past]), torch.tensor([logits]))[0].tolist()


def kept_ids(logits, past, options):
    temperature, top_k, top_p, min_p, _ = options
    chain = LogitsProcessorList([TemperatureLogitsWarper(temperature)])
    if top_k:
        chain.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        chain.append(TopPLogitsWarper(top_p))
    if min_p > 0:
        chain.append(MinPLogitsWarper(min_p))
    scores = chain(torch.tensor([past]), torch.tensor([logits]))[0]
    return torch.nonzero(scores > -torch.inf).flatten().tolist()


def make_case(rng, options):
    while True:
        logits = rng.normal(0, 3, V).astype(np.float32).tolist()
        past = rng.integers(0, V, 12).tolist()
        penalised = penalise(logits, past, options[4])
        if not near_a_cut(penalised, options):
            break
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    return {**dict(zip(names, options)), "past": past, "logits": logits, "penalised": penalised,
            "kept": kept_ids(penalised, past, options)}


def main():
    rng = np.random.default_rng(20240607)
    cases = [make_case(rng, options) for options in OPTIONS for _ in range(2)]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
