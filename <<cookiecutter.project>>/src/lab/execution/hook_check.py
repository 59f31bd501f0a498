"""Whether the project's own functions can be used: by importing them, once for each state of their sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.contract import hooks
from lab.errors import UserError
from lab.execution.worker import stage_packages

if TYPE_CHECKING:
    from lab.records.project import Project


def unusable(project: Project, name: str) -> str:
    """Why the function `name` can't be used; empty where it can, as far as importing it tells."""
    key = f"{name} {sys.hexversion} {stage_packages.installed()}"
    known = project.kept.get("hooks", key)
    if known and all(stage_packages.content_hash(str(project.root / path)) == mark for path, mark in known.items()):
        return ""
    try:
        hooks.load(project.root, name)
    except UserError as error:
        return str(error)
    project.kept.put("hooks", key, sources(project.root))
    return ""


def sources(root: Path) -> dict[str, str]:
    """The hashes of the project's files that are imported by now, but for lab's, by their paths below `root`."""
    modules = [each for name, each in list(sys.modules.items()) if name.partition(".")[0] != "lab"]
    paths = [Path(str(each.__file__)) for each in modules if stage_packages.is_own(each)]
    inside = sorted({str(path.relative_to(root)) for path in paths if path.is_relative_to(root)})
    return {path: stage_packages.content_hash(str(root / path)) for path in inside}
