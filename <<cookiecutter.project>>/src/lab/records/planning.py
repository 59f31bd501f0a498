"""A design's plan on this repository as it is: what git and the records know goes into the pure plan."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab.design import schema
from lab.design.compose import Composer
from lab.design.expansion import Levels
from lab.design.models import Design
from lab.design.pipeline import Pipeline
from lab.design.plan import Plan, plan
from lab.records import commit
from lab.records.model_refs import Tracked, resolver


class Planner:
    """Plans a design file; again and again where a bayesian sweep chooses as it goes.

    Raises:
        UserError: a file that is no design, or whose name another design has.
    """

    def __init__(self, root: Path, path: Path, tree: Path | None = None, tracked: Tracked | None = None):
        """`tree` is where conf/ and dvc.yaml are read: the project, or a folder that has them as another commit had.

        `tracked` finds the models that are named as a tracking server names them.
        """
        self.root, self.path = root, path
        self.resolve = resolver(root, tracked)
        tree = tree or root
        self.design: Design = schema.read(path)
        schema.names_taken(self.design, path)
        self.composer, self.pipeline = Composer(tree / "conf"), Pipeline.read(tree / "dvc.yaml")
        self.date = committed(root, path) or committed(root, root) or "undated"

    def plan(self, trials: Iterable[Levels] = ()) -> Plan:
        """The plan, with the combinations that a bayesian sweep has chosen so far. Raises UserError."""
        return plan(self.design, self.composer, self.pipeline, self.date, self.resolve, list(trials))


def head(root: Path) -> str | None:
    """The commit that is checked out; None without git or a commit."""
    import pygit2

    try:
        git = commit.repository(root)
    except pygit2.GitError:
        return None
    return None if git.is_empty or git.head_is_unborn else str(git.head.target)


def committed(root: Path, path: Path) -> str:
    """The day (YYYY-MM-DD) of the last commit that changed `path`; empty without one."""
    command = ["git", "log", "-1", "--format=%cs", "--", str(path.resolve())]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:  # no git
        return ""
