"""Writes two pages of the generated project's docs: what designs may say, and the commands of `lab`.

Run by `make references` in a project's environment, after a change of design models or commands; a test of tests/lab
compares. The pages are made of `designs/schema.json` and of typer's own commands: better words belong there.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "<<cookiecutter.project>>"
MADE = "<!-- Made by the template's scripts/references.py: better words belong into src/lab. -->"
KINDS = {  # each with a shipped design that shows it
    "SingleDesign": "classification_baseline",
    "SweepDesign": "classification_lr_sweep",
    "ComparisonDesign": "classification_quantization",
    "AblationDesign": "classification_ablation",
}
PLAIN = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}

Schema = dict[str, Any]


def pages() -> dict[Path, str]:
    """Both pages, each by its file."""
    schema = json.loads((PROJECT / "designs" / "schema.json").read_text(encoding="utf-8"))
    return {
        PROJECT / "docs" / "design-file.md": page(designs(models(schema["$defs"]))),
        PROJECT / "docs" / "commands.md": page(commands()),
    }


def page(lines: Iterator[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


# What designs may say


def models(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Those with fields; others, such as what editors offer as overrides, are put where they are named."""
    named = {f"#/$defs/{name}": content for name, content in definitions.items() if "properties" not in content}

    def inlined(part: Any) -> Any:
        if isinstance(part, list):
            return [inlined(each) for each in part]
        if not isinstance(part, dict):
            return part
        if part.get("$ref") in named:
            rest = {key: each for key, each in part.items() if key != "$ref"}
            return inlined(named[part["$ref"]] | rest)
        return {key: inlined(each) for key, each in part.items()}

    return {name: inlined(content) for name, content in definitions.items() if "properties" in content}


def designs(models: dict[str, Schema]) -> Iterator[str]:
    fields = {kind: models[kind]["properties"] for kind in KINDS}
    first = fields["SingleDesign"]
    shared = {name: field for name, field in first.items() if all(name in of for of in fields.values())}
    yield from ("# The design file", "", MADE, "")
    yield "A design is a YAML file in `designs/`. Its `kind` says how runs are laid out, its `type` which stage"
    yield "answers. `lab check` names what is wrong in it, with its line; editors complete it by `designs/schema.json`."
    yield from ("Fields in **bold** have to be there.", "", "## Every design", "")
    yield from table({name: field for name, field in shared.items() if name != "kind"}, models["SingleDesign"])
    for kind, example in KINDS.items():
        own = {name: field for name, field in fields[kind].items() if name not in shared}
        word = fields[kind]["kind"].get("const") or fields[kind]["kind"]["enum"][0]
        yield from ("", f"## kind: {word}", "", f"{models[kind]['description']} `designs/{example}.yaml` is one.")
        for name in own:
            config = models[own[name]["$ref"].rpartition("/")[2]]
            yield from ("", f"Below `{name}`: {lower(config['description'])}", "")
            yield from table(config["properties"], config)
    for name, model in models.items():
        if name not in KINDS and not name.endswith("Config") and "properties" in model:
            yield from ("", f"## {name}", "", *([model["description"], ""] if "description" in model else []))
            yield from table(model["properties"], model)


def table(fields: dict[str, Schema], model: Schema) -> Iterator[str]:
    yield from ("| field | value | left out | |", "|---|---|---|---|")
    for name, field in fields.items():
        required = name in model.get("required", ())
        default = field.get("default")
        left_out = (
            "" if required or default in (None, "", [], {}) or isinstance(default, dict) else f"`{spelt(default)}`"
        )
        said = field.get("description", "")
        yield f"| {f'**`{name}`**' if required else f'`{name}`'} | {value(field)} | {left_out} | {cell(said)} |"


def value(field: Schema) -> str:
    """In a few words, what a field may be."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{spelt(each)}`" for each in field["enum"])
    for several in ("anyOf", "oneOf"):
        if several in field:
            words = [value(each) for each in field[several] if each.get("type") != "null"]
            return "a value" if set(words) == set(PLAIN.values()) else " or ".join(dict.fromkeys(words))
    if field.get("type") == "array":
        inner = value(field["items"]) if "items" in field else "a value"
        return f"list: {inner.replace('a value or list: a value', 'a value')}"
    if field.get("type") == "object" or "patternProperties" in field:
        inner = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
        words = [value(each) for each in inner if isinstance(each, dict)]
        return f"mapping: name → {words[0]}" if words else "mapping"
    return PLAIN.get(field.get("type", ""), "a value")


def spelt(setting: object) -> str:
    """As YAML has it."""
    return json.dumps(setting) if not isinstance(setting, str) else setting


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


# The commands of lab


def commands() -> Iterator[str]:
    import typer

    from lab import cli  # noqa: F401 fills app with its commands
    from lab.cli.app import app

    group = typer.main.get_group(app)
    context = typer.Context(group, info_name="lab")
    yield from ("# The commands", "", MADE, "")
    yield "`lab COMMAND --help` says the same. A design is given by its file or its name. With `--json` every command"
    yield "answers programs: [json.md](json.md) says how, and what exit codes mean."
    yield ""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        pieces = [piece for parameter in command.params for piece in parameter.get_usage_pieces(context)]
        usage = " ".join(["lab", name, *pieces])
        for doubled, plain in (("[[", "["), ("]...]...", "]..."), ("]]", "]"), ("{", ""), ("}", "")):
            usage = usage.replace(doubled, plain)
        yield from (f"## lab {name}", "", f"`{usage}`", "")
        yield from (prose(command.help or ""), "")
        options = [each for each in command.params if each.param_type_name == "option" and "--json" not in each.opts]
        rows = [record for option in options if (record := option.get_help_record(context))]
        if rows:
            yield from ("| option | |", "|---|---|")
            yield from (f"| `{cell(plain_value(left))}` | {cell(unbounded(right))} |" for left, right in rows)
            yield ""


def plain_value(option: str) -> str:
    """An option without typer's words for what it takes: `--seeds NUMBER`, not `--seeds <int range>`."""
    return re.sub(r"<(?:float|int)( range)?>", "NUMBER", option.replace("<str>", "TEXT"))


def unbounded(said: str) -> str:
    """What an option's help says, without the range that typer adds: `[1<=x<=1000]`, `[default: 0; x>=0]`."""
    bounds = r"(?:[\d.]+<=)?x[<>]=[\d.]+\]"
    return re.sub(rf" *\[{bounds}", "", re.sub(f"; {bounds}", "]", said))


def prose(text: str) -> str:
    """A docstring's paragraphs, each a line."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text.strip())


def main() -> None:
    sys.path.insert(0, str(PROJECT / "src"))
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
