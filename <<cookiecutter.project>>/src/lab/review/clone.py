"""The project at another commit of the trusted history, in a folder of its own that is gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.records.project import Project


@contextmanager
def of(project: Project, commit: str) -> Iterator[Path]:
    """The root of a clone at a commit, with the project's experiments, that takes git's and DVC's objects from it."""
    place = project.root / ".dvc" / "tmp" / "lab"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        copy = Path(folder) / "repository"
        top = project.git.run("rev-parse", "--show-toplevel")
        project.git.run("clone", "--quiet", "--shared", "--no-checkout", "--", top, str(copy))
        project.git.run("-C", str(copy), "checkout", "--quiet", "--detach", commit)
        project.git.run("-C", str(copy), "fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
        root = copy / project.git.prefix
        local = ConfigParser(interpolation=None)
        local.read(project.root / ".dvc" / "config.local", encoding="utf-8")
        if not local.has_section("cache"):
            local.add_section("cache")
        local.set("cache", "dir", str(project.store.cache.parents[1].absolute()))
        with (root / ".dvc" / "config.local").open("w", encoding="utf-8") as file:
            local.write(file)
        yield root


def python(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python process there, which imports the code that lies there; both streams are its `stdout`."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), **variables}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    command = [sys.executable, *arguments]
    out, err = subprocess.PIPE, subprocess.STDOUT
    return subprocess.run(command, cwd=root, env=environment, stdout=out, stderr=err, text=True, check=False)
