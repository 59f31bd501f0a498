"""Writes docs/json.md of the generated project: what `lab COMMAND --json` prints, as the models of lab.cli.output say.

    python scripts/json_docs.py

With an environment that has pydantic.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "<<cookiecutter.project>>"
sys.path.insert(0, str(PROJECT / "src"))

from pydantic import BaseModel  # noqa: E402

from lab.cli import output  # noqa: E402
from lab.descriptions import descriptions  # noqa: E402

HEAD = """# What commands say to programs

`lab COMMAND --json` prints one JSON object on stdout, and what is for people on stderr. `version` is {version}: fields
may be added to this form, and none goes or changes its meaning without another number. Numbers that are not finite are
null. [AGENTS.md](../AGENTS.md) says how a question is asked and judged.

| exit code | meaning |
|---|---|
{codes}

A command line that can't be read, such as one with an unknown option, ends with 2 as well, and `error` says how the
command is called.
"""


def text() -> str:
    """The page."""
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in output.EXIT_CODES.items())
    models = [each for each in vars(output).values() if isinstance(each, type) and issubclass(each, output.Part)]
    outputs = [each for each in models if issubclass(each, output.Output)]
    parts = [each for each in models if each not in outputs and each is not output.Part]
    sections = [section(each) for each in (*outputs, *parts)]
    return HEAD.format(version=output.VERSION, codes=codes) + "\n" + "\n".join(sections)


def section(model: type[BaseModel]) -> str:
    """A model: what it is, and its own fields."""
    base = output.Output if model is not output.Output else output.Part
    own = [name for name in model.model_fields if name not in base.model_fields]
    rows = "\n".join(f"| {cell} |" for cell in (" | ".join(row(model, name)) for name in own))
    return f"## {model.__name__}\n\n{model.__doc__}\n\n| field | type | |\n|---|---|---|\n{rows}\n"


def row(model: type[BaseModel], name: str) -> Iterator[str]:
    """A field: its name, its type, and what it means."""
    field = model.model_fields[name]
    kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    if str(field.annotation).startswith(("list", "dict")):
        kind = str(field.annotation)
    yield f"`{name}`"
    yield kind.replace("lab.cli.output.", "").replace("typing.", "").replace("|", "or").replace("NoneType", "null")
    yield " ".join(descriptions(model)[name].split())


if __name__ == "__main__":
    (PROJECT / "docs" / "json.md").write_text(text(), encoding="utf-8")
