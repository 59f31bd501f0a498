"""Files with what was measured, read: metrics as JSON, YAML or TOML, and curves as DVCLive writes them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

from lab import yaml12
from lab.errors import UserError
from lab.git_objects import MOST_BYTES
from lab.nested_keys import pairs


def text(file: Path, where: str) -> str:
    """A small text out of DVC's cache; `where` is what messages call it. Raises UserError."""
    size = file.stat().st_size
    if size > MOST_BYTES:
        raise UserError(f"{where} has {size / 2**20:,.0f} MB: more than {MOST_BYTES // 2**20} are not read")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is no text in UTF-8: byte {error.start + 1} is none") from error


def parsed(path: str, content: str) -> dict[str, Any] | None:
    """What a metrics file holds; None where it is empty or absent. Raises UserError for what holds no metrics."""
    if not content:
        return None
    kind = path.rpartition(".")[2] if path.endswith((".json", ".toml")) else "yaml"
    try:
        if kind == "json":
            found = json.loads(content)
            json.dumps(found, ensure_ascii=False).encode()  # half a character that no terminal could print
        else:
            found = tomllib.loads(content) if kind == "toml" else yaml12.load(content)
        keys = [key for key, _ in pairs(found)] if isinstance(found, dict) else []
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} is damaged or cut off: no {kind.upper()} ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict):
        named = "a list" if isinstance(found, list) else repr(found)
        raise UserError(f"{path} is {named[:40]}: expected metrics by their names")
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"{path} has two values called {twice}, by names with dots in them: call one otherwise")
    return found


def points(content: str) -> list[tuple[int, float]]:
    """The steps and values of a curve, up to a row that is none: the last may be half written."""
    rows = []
    for line in content.splitlines()[1:]:
        row = line.split("\t")
        try:
            rows.append((int(row[0]), float(row[-1])))
        except ValueError:
            break
    return rows
