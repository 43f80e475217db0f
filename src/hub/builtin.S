/* builtin.S: the files of the model that comes with minke, as they lie in the repository. */
    .section .rodata

    .macro file name, path
    .balign 16
    .globl builtin_\name
builtin_\name:
    .incbin "\path"
    .globl builtin_\name\()_end
builtin_\name\()_end:
    .byte 0
    .endm

    file weights, "recipes/zero/reasoner/model.safetensors"
    file config, "recipes/zero/reasoner/config.json"
    file tokenizer, "recipes/zero/reasoner/tokenizer.json"
    file tokenizer_config, "recipes/zero/reasoner/tokenizer_config.json"
    file generation, "recipes/zero/reasoner/generation_config.json"
    file template, "recipes/zero/reasoner/chat_template.jinja"

    .section .note.GNU-stack, "", %progbits
