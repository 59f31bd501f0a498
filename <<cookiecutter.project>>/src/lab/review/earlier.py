"""A report that the default branch's code of an earlier day has drawn: honest, though today's draws another.

Whether the branch brings what it may, and whether its numbers are the records', today's code has told before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lab.review import clone

if TYPE_CHECKING:
    from lab.study import Study

CODE = "src/lab"
TRIES = 2
NUMBERS = ("/table.csv", "/verdict.json")  # of which no drawing is the cause


def drawn_by(study: Study, target: str, main: str, different: Iterable[str]) -> str | None:
    """The commit of the default branch whose code says of the branch at `target` that all agrees; None where none does.

    `different`: what today's code finds that differs in the report. A number is no matter of drawing.
    """
    if any(name in sentence for sentence in different for name in NUMBERS):
        return None
    for commit in candidates(study, target, main):
        with clone.of(study.project, commit) as root:
            done = clone.python(root, "-m", "lab", "review", study.design.name, "--check", "--commit", target)
        if done.returncode == 0:
            return commit
    return None


def candidates(study: Study, target: str, main: str) -> Iterator[str]:
    """Commits of the default branch whose machinery is another than today's: what it was when the branch was made."""
    git, seen = study.project.git, {study.project.git.object_id(main, CODE)}
    for commit in git.history(main):
        code = git.object_id(commit, CODE)
        if code is None or len(seen) > TRIES:
            return
        if code not in seen and git.time(commit) <= git.time(target):
            seen.add(code)
            yield commit
