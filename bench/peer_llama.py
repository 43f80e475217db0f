"""Times llama.cpp through llama-cpp-python: prints {"prefill_tps": x, "decode_tps": x} of one run.

usage: peer_llama.py MODEL THREADS PROMPT GEN DEPTH"""
import json
import sys
import time

import llama_cpp

model, threads, prompt, gen, depth = sys.argv[1], *map(int, sys.argv[2:6])
llm = llama_cpp.Llama(model, n_ctx=depth + max(prompt, gen) + 8, n_batch=512, n_ubatch=512,
                      n_threads=threads, n_threads_batch=threads, verbose=False)
ids = [(i * 7919) % 40000 + 100 for i in range(depth + max(prompt, gen))]


def at_depth():
    llm.reset()
    if depth:
        llm.eval(ids[:depth])


llm.eval(ids[:8])  # the first call pays for allocations
at_depth()
begin = time.perf_counter()
llm.eval(ids[depth:depth + prompt])
prefill = prompt / (time.perf_counter() - begin)
at_depth()
begin = time.perf_counter()
for i in range(gen):
    llm.eval(ids[depth + i:depth + i + 1])
decode = gen / (time.perf_counter() - begin)
print(json.dumps({"prefill_tps": prefill, "decode_tps": decode}))
