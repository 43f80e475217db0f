"""Steps of TRL's GRPOTrainer on the model and the prompts of a run of minke rl, one after the other:
a line of processor (or wall) seconds, tokens and rows for each word on standard input. Started by
rl_speed.py with a Python that has trl."""
import argparse
import json
import logging
import os
import sys
import tempfile
import time

os.environ.update(HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", TOKENIZERS_PARALLELISM="false")
import torch  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402


def arguments():
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("prompts", help="samples/step-N.jsonl of a run")
    a.add_argument("--questions", type=int, default=16)
    a.add_argument("--samples", type=int, default=16)
    a.add_argument("--tokens", type=int, default=26)
    a.add_argument("--threads", type=int, default=1)
    a.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    a.add_argument("--bf16", action="store_true", help="autocast; weights stay f32")
    a.add_argument("--micro", type=int, default=0, help="answers of one pass; 0: all")
    return a.parse_args()


class Turns(TrainerCallback):
    """Waits for a word before each step; tells what the step took."""

    def __init__(self, clock, counts):
        self.clock, self.counts = clock, counts

    def on_step_begin(self, args, state, control, **_):
        if not sys.stdin.readline():
            control.should_training_stop = True
            os._exit(0)
        self.counts["tokens"] = 0
        self.begun = self.clock()

    def on_step_end(self, args, state, control, **_):
        print(self.clock() - self.begun, self.counts["tokens"], flush=True)


def main():
    o = arguments()
    logging.disable(logging.WARNING)
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(o.model, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [json.loads(line) for line in open(o.prompts)]
    prompts = list({tuple(r["prompt_ids"]): r["reference"] for r in rows}.items())
    texts = [tokenizer.decode(ids) for ids, _ in prompts]
    for (ids, _), text in zip(prompts, texts):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == list(ids), text
    data = Dataset.from_list([{"prompt": texts[i % len(texts)], "reference": prompts[i % len(texts)][1]}
                              for i in range(o.questions * 64)])
    counts = {"tokens": 0}

    def reward(completions, completion_ids, reference, **_):
        counts["tokens"] += sum(len(ids) for ids in completion_ids)
        # Rewards that differ, so that groups are live, whatever a model without knowledge says.
        return [float(f"<answer>{r}</answer>" in c) + 0.01 * (len(c) % 7) for c, r in zip(completions, reference)]

    batch = o.questions * o.samples
    micro = o.micro or batch
    config = GRPOConfig(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=o.bf16, fp16=False, per_device_train_batch_size=micro,
        gradient_accumulation_steps=batch // micro, num_generations=o.samples, max_completion_length=o.tokens,
        temperature=1.0, beta=0.0, loss_type="dapo", scale_rewards="none", epsilon=0.2, epsilon_high=0.28,
        learning_rate=3e-4, lr_scheduler_type="constant", max_steps=10**6, gradient_checkpointing=False,
        logging_strategy="no", save_strategy="no", report_to="none", shuffle_dataset=False, disable_tqdm=True)
    model = AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.float32)
    clock = time.process_time if o.clock == "cpu" else time.perf_counter
    trainer = GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=data,
                          processing_class=tokenizer, callbacks=[Turns(clock, counts)])
    print(f"ready TRL {trl.__version__}, torch {torch.__version__}", flush=True)
    trainer.train()


if __name__ == "__main__":
    main()
