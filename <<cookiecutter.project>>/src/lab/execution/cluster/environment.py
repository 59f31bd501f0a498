"""The versions that this environment has of what the project pins: results depend on them."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
PINS = "requirements.txt"


@cache
def versions(root: Path) -> dict[str, str]:
    """By package; `python` by its first two numbers. Without pins DVC's alone."""
    path = root / PINS
    names = set(_PIN.findall(path.read_text(encoding="utf-8"))) if path.is_file() else set()
    found = {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for name in sorted(names | {"dvc"}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another system's, or of no use where nothing is trained
            continue
    return found
