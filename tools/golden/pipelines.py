"""Makes tests/golden/pipelines: what every stage of the pipelines in recipes/ is, all that its own
lines and what is shared say taken together, without the keys that have their usual values.

    python3 tools/golden/pipelines.py"""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/pipelines"
PLAIN = "stages: [{name: plain, kind: corpus, tasks: [{name: add}]}]"


def pipelines():
    """Path of the recipe -> path of what it is."""
    recipes = ROOT / "recipes"
    return {p: GOLDEN / f"{'-'.join(p.relative_to(recipes).with_suffix('').parts)}.txt"
            for p in sorted(recipes.glob("*.yaml")) + sorted(recipes.glob("zero/*.yaml"))
            if re.search("^stages:", p.read_text(), re.M)}


def values(recipe):
    """'section.key: value' of a resolved recipe; entries of lists stay as they are."""
    section = ""
    for line in recipe.splitlines():
        if re.match(r"\w+:$", line):
            section = line[:-1]
        elif re.match(r"\w+: ", line):
            yield line
        elif re.match(r"  \w+: ", line) and section != "tasks":
            yield f"{section}.{line.strip()}"
        else:
            yield f"{section} {line}"


def stages(path):
    """'STAGE section.key: value' of a pipeline, as --dry-run prints it."""
    command = [ROOT / "build/minke", "pipeline", path, "--dry-run"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for part in text.split("\n---\n")[1:]:
        head, recipe = part.split("\n", 1)
        name, kind = re.match("# stage (.*), of kind (.*)", head).groups()
        yield from (f"{name} {line}" for line in ["kind: " + kind, *values(recipe)])


def explain(path, folder):
    """The text that GOLDEN holds of a pipeline; folder: where a file may be written."""
    plain = folder / "plain.yaml"
    plain.write_text(PLAIN)
    usual = {line.removeprefix("plain ") for line in stages(plain)} - {"kind: corpus"}
    return "".join(f"{line}\n" for line in stages(path)
                   if " - " in line or "   " in line or line.split(" ", 1)[1] not in usual)


if __name__ == "__main__":
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for recipe, golden in pipelines().items():
            golden.write_text(explain(recipe, pathlib.Path(folder)))
