"""The versions that this environment has of what the project pins: results depend on them."""

from __future__ import annotations

import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9._-]+)", re.MULTILINE)
PINS, GROUPS = "requirements.txt", "pyproject.toml"


@cache
def versions(root: Path) -> dict[str, str]:
    """By package; `python` by its first two numbers. Without pins DVC's alone; what only developers use is left out."""
    found = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for name in sorted((_names(root / PINS) - _developers(root / GROUPS)) | {"dvc"}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another system's, or of no use where nothing is trained
            continue
    return found


def _names(path: Path) -> set[str]:
    return set(_PIN.findall(path.read_text(encoding="utf-8"))) if path.is_file() else set()


def _developers(path: Path) -> set[str]:
    """The packages of the group `dev` that no other group has."""
    if not path.is_file():
        return set()
    groups = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}).get("optional-dependencies", {})
    named = {group: set(_PIN.findall("\n".join(packages))) for group, packages in groups.items()}
    return named.pop("dev", set()) - set().union(*named.values())
