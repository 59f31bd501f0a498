"""A report that the default branch's code of an earlier day has made: honest, though today's makes another.

Where today's rules are those by which it was judged, only its drawing may be another: its numbers are held against
today's. Where the rules have changed since (`decisions.RULES`), code of the default branch that has the report's rules
says what it comes to by them. Whether the branch brings what it may, today's code has told before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lab.analysis.decisions import RULES
from lab.review import clone

if TYPE_CHECKING:
    from lab.study import Study

CODE = "src/lab"
TRIES = 2
DECISIONS = "src/lab/analysis/decisions.py"
NUMBERS = ("/table.csv", "/verdict.json")  # of which no drawing is the cause


def made_by(study: Study, target: str, main: str, different: Iterable[str], rules: int) -> str | None:
    """The commit of the default branch whose code says of the branch at `target` that all agrees; None where none does.

    Args:
        study: the design and its records.
        target: the branch's commit.
        main: the default branch's.
        different: what today's code finds that differs in the report.
        rules: the version of the rules by which the report says it was judged.
    """
    if rules == RULES and any(name in sentence for sentence in different for name in NUMBERS):
        return None
    for commit in candidates(study, target, main, rules):
        with clone.of(study.project, commit) as root:
            done = clone.python(root, "-m", "lab", "review", study.design.name, "--check", "--commit", target)
        if done.returncode == 0:
            return commit
    return None


def candidates(study: Study, target: str, main: str, rules: int) -> Iterator[str]:
    """Commits of the default branch with these rules, whose machinery is another than today's and than each other's.

    They are no younger than the branch.
    """
    git, seen = study.project.git, {study.project.git.object_id(main, CODE)}
    for commit in git.history(main):
        code = git.object_id(commit, CODE)
        if code is None or len(seen) > TRIES:
            return
        if code not in seen and git.time(commit) <= git.time(target) and rules_of(study, commit) == rules:
            seen.add(code)
            yield commit


def rules_of(study: Study, commit: str) -> int:
    """The version of the rules in a commit's machinery: 1 from before they had one."""
    found = re.search(r"^RULES = (\d+)$", study.project.git.text(commit, DECISIONS), re.MULTILINE)
    return int(found[1]) if found else 1
