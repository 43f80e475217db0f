#!/usr/bin/env python3
"""Writes recipes/talks/talks.jsonl and pairs.jsonl: what recipes/sft.yaml and dpo.yaml learn from.

A small world of opposites, numbers, sounds, colours and spellings, asked for in several ways. In the
talks half of the answers are a word, half a sentence; the pairs prefer the word. So what a model does
after the first recipe and after the second can be told by looking.
"""

import itertools
import json
import pathlib
import random

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes/talks"
OPPOSITES = """hot cold,big small,light dark,day night,up down,old new,rich poor,fast slow,hard soft,
wet dry,full empty,high low,early late,good bad,long short,near far,open closed,strong weak,true false,
warm cool,loud quiet,sweet sour,left right,first last,more less,inside outside,black white,yes no"""
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen twenty""".split()
SOUNDS = """cow moo,dog woof,cat meow,duck quack,sheep baa,pig oink,bee buzz,owl hoot,snake hiss,
horse neigh,crow caw,frog croak,lion roar,mouse squeak"""
COLOURS = """snow white,coal black,grass green,blood red,the sky blue,a lemon yellow,a carrot orange,
chalk white,a ripe tomato red,a frog green"""
WORDS = "cat dog sun tree whale moon bird fish star rain stone river cloud apple".split()


def pairs_of(text):
    return [tuple(p.rsplit(" ", 1)) for p in text.replace("\n", "").split(",")]


def facts():
    """(ways to ask, the answer as a word, the answer as a sentence)."""
    for a, b in pairs_of(OPPOSITES):
        for x, y in ((a, b), (b, a)):
            yield ([f"What is the opposite of {x}?", f"Tell me the opposite of {x}.", f"{x.capitalize()} is the opposite of what?"],
                   y, f"The opposite of {x} is {y}.")
    for x, y in itertools.pairwise(NUMBERS):
        yield ([f"What comes after {x}?", f"Which number follows {x}?", f"Count on from {x}."],
               y, f"The number after {x} is {y}.")
        yield ([f"What comes before {y}?", f"Which number stands before {y}?"],
               x, f"The number before {y} is {x}.")
    for x, y in pairs_of(SOUNDS):
        yield ([f"What does a {x} say?", f"Which sound does a {x} make?", f"Who says {y}?"][:2],
               y, f"A {x} says {y}.")
    for x, y in pairs_of(COLOURS):
        yield ([f"What colour is {x}?", f"Tell me the colour of {x}."], y, f"{x[0].upper()}{x[1:]} is {y}.")
    for x in WORDS:
        yield ([f"Spell {x}.", f"How is {x} spelled?"], "-".join(x), f"{x.capitalize()} is spelled {'-'.join(x)}.")


def turn(role, content):
    return {"role": role, "content": content}


def word(answer):
    return f"{answer.capitalize()}."


def talks(draw):
    all_facts = list(facts())
    for questions, short, long in all_facts:
        for q in questions:
            yield [turn("user", q), turn("assistant", draw.choice((word(short), long)))]
    for greeting, reply in (("Hello!", "Hello! What do you want to know?"), ("Good morning.", "Good morning! Ask me something."),
                            ("Thank you.", "You are welcome."), ("Goodbye.", "Goodbye!"), ("Who are you?", "A very small model.")):
        yield [turn("user", greeting), turn("assistant", reply)]
        for questions, short, long in draw.sample(all_facts, 8):
            yield [turn("user", greeting), turn("assistant", reply),
                   turn("user", draw.choice(questions)), turn("assistant", draw.choice((word(short), long)))]


def pairs(draw):
    for questions, short, long in facts():
        yield {"prompt": draw.choice(questions), "chosen": word(short), "rejected": long}


def main():
    draw = random.Random(1)
    FOLDER.mkdir(exist_ok=True)
    for name, lines in (("talks", [{"messages": t} for t in talks(draw)]), ("pairs", list(pairs(draw)))):
        draw.shuffle(lines)
        (FOLDER / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
        print(f"{name}: {len(lines)} lines")


if __name__ == "__main__":
    main()
