"""Adapters that minke trained, attached by PEFT: the model of the checkpoint. Needs build/minke."""
import json

import pytest
import tokenizer_corpus
from train_peers import LLAMA, MODEL, RECIPE, minke

peft = pytest.importorskip("peft")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def loss(model):
    ids = torch.arange(3, 90)[None]
    with torch.no_grad():
        return model(ids, labels=ids).loss.item()


@pytest.mark.parametrize("config, targets", [
    (LLAMA, "*"), (MODEL, "*.self_attn.*,lm_head.weight"), (MODEL, "*.experts.*")],
    ids=["dense", "attention", "experts"])
def test_peft_attaches_an_adapter_to_its_base(tmp_path, config, targets):
    load = lambda path: transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "text.txt").write_text(tokenizer_corpus.text(3, 60_000))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    minke(tmp_path, tmp_path / "base", "train.tokens=384")
    base = tmp_path / "base/checkpoints/step-000001"
    minke(tmp_path, tmp_path / "run", "model.config=", f"model.from={base}", "lora.rank=4",
          f"lora.targets={targets}", "train.tokens=3840", "optimizer.lr=0.02")
    last = tmp_path / "run/checkpoints/step-000010"
    adapted = loss(peft.PeftModel.from_pretrained(load(base), last / "adapter"))
    assert adapted == pytest.approx(loss(load(last)), rel=1e-5)
    assert abs(adapted - loss(load(base))) > 1e-3
