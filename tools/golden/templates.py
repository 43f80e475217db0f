"""Renders every tests/golden/templates/*.jinja with Jinja2, as transformers sets it up, for the
conversations below: tests/golden/templates/cases.json, replayed by
tests/unit/tokenizer/templates_test.c.

    python tools/golden/templates.py          needs jinja2 3.1
"""
import json
import pathlib

import jinja2.exceptions
import jinja2.ext
import jinja2.sandbox

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/templates"
MARKS = {"deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
         "zero": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
         "llama3": ("<|begin_of_text|>", "<|eot_id|>"), "mistral": ("<s>", "</s>")}
# Templates which want the arguments of a call as an object and not as its JSON text.
OBJECTS = ("qwen2.5", "llama3.1", "mistral")
# Templates that write "None", or fail, where a message holds calls and no text: they get "".
NO_NULL = ("chatml", "smollm2", "qwen2", "qwen3", "deepseek-v2", "llama3", "mistral-v1",
           "mistral-v1-system", "zero")


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, *calls):
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [{"id": i, "type": "function",
                                  "function": {"name": n, "arguments": json.dumps(a)}}
                                 for i, n, a in calls]
    return message


def tool(text, call_id):
    return {"role": "tool", "content": text, "tool_call_id": call_id}


WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Weather \"now\" in a city, in °C",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"},
                                                    "days": {"type": "integer"}},
                   "required": ["city"]}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time",
                                          "parameters": {"type": "object", "properties": {}}}}
ASK = ("abcdefgh1", "weather", {"city": "Århus", "days": 2})
ASK2 = ("abcdefgh2", "clock", {})
THOUGHT = "<think>\nfive and five\n</think>\n\nten"
CASES = {
    "one": dict(messages=[user("Hello")], add_generation_prompt=True),
    "not asked": dict(messages=[user("Hello")]),
    "edges": dict(messages=[user("  two\n\n lines\t "), assistant("\n yes \n"), user("")],
                  add_generation_prompt=True),
    "unicode": dict(messages=[system("Ünïcode 😀"), user("你好，世界\u00a0"), assistant("こんにちは"),
                              user("e\u0301 \u2028")], add_generation_prompt=True),
    "system": dict(messages=[system("Be brief."), user("Hello")], add_generation_prompt=True),
    "empty system": dict(messages=[system(""), user("Hello")], add_generation_prompt=True),
    "two systems": dict(messages=[system("A"), system("B"), user("Hello")],
                        add_generation_prompt=True),
    "late system": dict(messages=[user("Hello"), assistant("Hi"), system("Be brief."),
                                  user("Bye")], add_generation_prompt=True),
    "turns": dict(messages=[user("1"), assistant("one"), user("2"), assistant("two"), user("3")],
                  add_generation_prompt=True),
    "system and turns": dict(messages=[system("S"), user("1"), assistant("one"), user("2"),
                                       assistant("two")]),
    "thought": dict(messages=[user("5+5?"), assistant(THOUGHT), user("and 1?")],
                    add_generation_prompt=True),
    "last thought": dict(messages=[user("5+5?"), assistant(THOUGHT)]),
    "thinking on": dict(messages=[user("5+5?"), assistant(THOUGHT), user("and 1?")], think=True,
                        add_generation_prompt=True),
    "thinking off": dict(messages=[user("5+5?"), assistant(THOUGHT), user("and 1?")], think=False,
                         add_generation_prompt=True),
    "typed marks": dict(messages=[user("<|im_end|><｜Assistant｜></s>[/INST]<|eot_id|></think>")],
                        add_generation_prompt=True),
    "two questions": dict(messages=[user("a"), user("b")], add_generation_prompt=True),
    "answer first": dict(messages=[assistant("a"), user("b")], add_generation_prompt=True),
}
TOOL_CASES = {
    "tools": dict(messages=[user("Weather?")], tools=[WEATHER, CLOCK], add_generation_prompt=True),
    "tools and system": dict(messages=[system("S"), user("Weather?")], tools=[WEATHER],
                             add_generation_prompt=True),
    "call": dict(messages=[user("Weather?"), assistant(None, ASK)], tools=[WEATHER]),
    "result": dict(messages=[user("Weather?"), assistant(None, ASK),
                             tool('{"t": 21}', "abcdefgh1")], tools=[WEATHER],
                   add_generation_prompt=True),
    "result and answer": dict(messages=[user("Weather?"), assistant(None, ASK),
                                        tool("21", "abcdefgh1"), assistant("It is 21 °C."),
                                        user("Thanks")], tools=[WEATHER],
                              add_generation_prompt=True),
    "two calls": dict(messages=[user("Both?"), assistant(None, ASK, ASK2),
                                tool("21", "abcdefgh1"), tool("noon", "abcdefgh2"),
                                assistant("21, noon"), user("Thanks")], tools=[WEATHER, CLOCK],
                      add_generation_prompt=True),
    "text and call": dict(messages=[user("Weather?"), assistant("Let me see.", ASK),
                                    tool("21", "abcdefgh1")], tools=[WEATHER],
                          add_generation_prompt=True),
    "calls twice": dict(messages=[user("A"), assistant(None, ASK), tool("1", "abcdefgh1"),
                                  assistant("x"), user("B"), assistant(None, ASK2),
                                  tool("2", "abcdefgh2"), assistant("y")], tools=[WEATHER]),
}


def environment():
    """What transformers' apply_chat_template renders with."""
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, indent=None):
        return json.dumps(x, ensure_ascii=False, indent=indent)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = refuse
    return env


def prepared(case, name):
    """The case as the template takes it: switches by their names, arguments as it wants them."""
    case = json.loads(json.dumps(case))
    think = case.pop("think", None)
    if think is not None:
        case |= {"enable_thinking": think, "thinking": think}
    if name.startswith(OBJECTS):
        for message in case["messages"]:
            for call in message.get("tool_calls", []):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    if name in NO_NULL:
        for message in case["messages"]:
            message["content"] = message["content"] or ""
    case.setdefault("add_generation_prompt", False)
    return case


def render(template, name, case):
    """The text, or None when the template refuses."""
    bos, eos = next((m for k, m in MARKS.items() if name.startswith(k)), ("", "<|im_end|>"))
    try:
        return template.render(bos_token=bos, eos_token=eos, **prepared(case, name))
    except jinja2.exceptions.TemplateError:
        return None


def main():
    env = environment()
    cases = CASES | TOOL_CASES
    texts = {}
    for path in sorted(FOLDER.glob("*.jinja")):
        name = path.name.removesuffix(".jinja")
        # as transformers reads it: a final newline of a file belongs to the template
        template = env.from_string(path.read_text())
        texts[name] = {c: render(template, name, cases[c]) for c in cases}
    out = {"cases": cases, "texts": texts}
    (FOLDER / "cases.json").write_text(json.dumps(out, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
