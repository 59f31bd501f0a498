"""Designs in and out of files. What a file may say is in models.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lab.design import messages, yaml_file
from lab.design.models import DESIGN, STAGES, Design, content, digest
from lab.errors import UserError

__all__ = ["STAGES", "Design", "content", "digest", "json_schema", "names_taken", "parse", "read", "write"]

FOLDER = Path("designs")
HEADER = "# lab run {path}\n# yaml-language-server: $schema=schema.json\n"


def read(path: Path | str) -> Design:
    """The design in a file, named after it unless it names itself.

    Raises:
        UserError: not a design, with the file and, for each thing that is wrong, its line and key.
    """
    path = Path(path)
    data, node = yaml_file.read(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a design: expected a mapping with kind, type and title")
    try:
        return DESIGN.validate_python({"name": path.stem, **data})
    except ValidationError as error:
        found = [
            f"{path}, line {yaml_file.line_of(node, messages.path_of(item, data))}: {messages.message(item, data)}"
            for item in error.errors()
        ]
        raise UserError("\n".join(found)) from error


def parse(data: dict[str, Any]) -> Design:
    """A design from a mapping as its file would hold it. Raises UserError."""
    try:
        return DESIGN.validate_python(data)
    except ValidationError as error:
        raise UserError("\n".join(messages.message(item, data) for item in error.errors())) from error


def write(design: Design, path: Path | str) -> None:
    """Write a design so that `read` gives it back. Comments of a file that was there are lost."""
    path = Path(path)
    said = content(design)
    if said.get("name") == path.stem:
        del said["name"]
    path.write_text(HEADER.format(path=path.as_posix()) + yaml_file.dump(said), encoding="utf-8")


def names_taken(design: Design, path: Path) -> None:
    """Refuse a name that another file in the same folder has. Raises UserError."""
    for other in sorted(path.parent.glob("*.yaml")):
        if other.resolve() == path.resolve():
            continue
        try:
            data, _ = yaml_file.read(other)
        except UserError:
            continue  # its own check says what is wrong with it
        if isinstance(data, dict) and "kind" in data and data.get("name", other.stem) == design.name:
            raise UserError(f"{path}: name: {design.name} is taken by {other}: a design's name is its own")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a design file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Design", **DESIGN.json_schema()}
