"""Whether what we do in DVC's place is what the installed DVC would do: tried once for each set of versions.

The test is a module that is run in an empty folder, in a process of its own: it ends with 0 where all is the same.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

PRIVATE = ("DVC_ROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # would lead out of the folder


def passed(note: Path, module: str, packages: Iterable[str]) -> bool:
    """Whether `module` has passed with the installed `packages`. What came out is kept in the file `note`."""
    versions = {name: version(name) for name in packages}
    if not versions["dvc"].startswith("3."):
        return False
    known = json.loads(note.read_text()) if note.exists() else {}
    if known.get("versions") != versions:
        known = {"versions": versions, "passed": _try(module)}
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(known))
    return known["passed"]


def _try(module: str) -> bool:
    environment = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with tempfile.TemporaryDirectory(prefix="lab-selftest-") as folder:
        done = subprocess.run([sys.executable, "-m", module], cwd=folder, env=environment, capture_output=True)
    return done.returncode == 0
