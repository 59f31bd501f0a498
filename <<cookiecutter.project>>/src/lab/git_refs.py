"""DVC's experiments as git's refs name them; those that lead nowhere are among them, since somebody has to be told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pygit2

EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")
NOTHING = "0" * 40


class Experiment(NamedTuple):
    """A finished experiment of DVC's: its name, its commit, the commit that it started from, and when it was made.

    `is_commit` is false where its ref leads to something else, or to nothing that is here: that stands for its commit.
    """

    name: str
    commit: str
    baseline: str
    time: int
    is_commit: bool = True

    @property
    def ref(self) -> str:
        """Where git keeps it."""
        return experiment_ref(self.baseline, self.name)


def experiment_ref(baseline: str, name: str) -> str:
    """Where git keeps an experiment."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def experiments(git: pygit2.Repository, common: Path) -> list[Experiment]:
    """All of them, by time and then name. `common` is the folder with the repository's refs."""
    found, seen, objects = [], set[str](), git.odb
    for ref in git.references.iterator():
        if match := EXPERIMENT.fullmatch(ref.name):
            seen.add(ref.name)
            target, made, is_commit = str(ref.target), 0, False
            with suppress(KeyError, ValueError, pygit2.GitError):
                commit = ref.peel(pygit2.Commit)
                target, made = str(commit.id), commit.commit_time
                objects.read_header(commit.tree_id)  # raises where git has lost it
                is_commit = True
            found.append(Experiment(match[3], target, match[1] + match[2], made, is_commit))
    for name in _files(common, "refs/exps"):  # git passes over one that is empty or half written
        if name not in seen and (match := EXPERIMENT.fullmatch(name)):
            found.append(Experiment(match[3], NOTHING, match[1] + match[2], 0, False))
    return sorted(found, key=lambda experiment: (experiment.time, experiment.name))


def below(common: Path, folder: str) -> set[str]:
    """The refs below a folder such as `refs/lab/queue/`, by their full names; what lies elsewhere is passed over."""
    found = {*_files(common, folder)}
    with suppress(FileNotFoundError):
        packed = (common / "packed-refs").read_bytes()
        if f" {folder}".encode() in packed:
            names = (line.partition(" ")[2] for line in packed.decode(errors="surrogateescape").splitlines())
            found |= {name for name in names if name.startswith(folder)}
    return found


def _files(common: Path, folder: str) -> Iterator[str]:
    """The refs below a folder that have a file of their own, by their full names."""
    for place, _, names in os.walk(common / folder):
        within = Path(place).relative_to(common).as_posix()
        yield from (f"{within}/{name}" for name in names if not name.endswith(".lock"))
