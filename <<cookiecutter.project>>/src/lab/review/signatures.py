"""Who has signed commits and tags, as git judges that: which keys count, git's own settings say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.git import Repository
    from lab.study import Study

BAD, UNKNOWN = "BAD", "not checkable here"
JUDGED = {"G": "good", "U": "good, of a key that nobody here vouches for", "B": BAD, "E": UNKNOWN}
JUDGED |= {"X": "good, but expired", "Y": "by an expired key", "R": "by a revoked key"}


def of_commits(git: Repository, commits: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each commit that is signed, how git judges that, and by whom, as git knows the key."""
    told = git.call("log", "--no-walk=unsorted", "--format=%H%x09%G?%x09%GS%x09%GK", *dict.fromkeys(commits)).stdout
    for line in told.splitlines():
        commit, judged, name, key = line.split("\t")
        if judged != "N":
            yield commit, JUDGED.get(judged, UNKNOWN), name or key or "an unknown key"


def of_tags(git: Repository, commit: str) -> Iterator[tuple[str, bool]]:
    """The signed tags of a commit, and whether git finds the signature good."""
    form = "--format=%(refname)%(if)%(contents:signature)%(then) signed%(end)"
    for line in git.call("for-each-ref", form, f"--points-at={commit}", "refs/tags").stdout.splitlines():
        ref, _, signed = line.partition(" ")
        if signed:
            yield ref.removeprefix("refs/tags/"), git.says_yes("verify-tag", ref)


def notes(study: Study, target: str) -> Iterator[str]:
    """Of the branch at `target`, the baseline, the runs and their tags, a line for each that is signed."""
    git = study.project.git
    named = {record.commit: record.name for record in study.ended}
    named |= {study.commit: "the baseline", target: "the branch"}
    for commit, judged, by in of_commits(git, named):
        yield f"Signed: {named[commit]} ({commit[:7]}), by {by}: {judged}"
    for commit in (target, study.commit):
        for tag, is_good in of_tags(git, commit):
            yield f"Signed: the tag {tag} of {commit[:7]}: {'good' if is_good else 'not to be verified here'}"


def broken(study: Study, target: str) -> Iterator[str]:
    """Signatures that are not of what they stand below, of the branch and its runs."""
    for commit, judged, by in of_commits(study.project.git, [target, *(record.commit for record in study.ended)]):
        if judged == BAD:
            yield f"the signature of {commit[:7]}, by {by}, is not that of what it signs"
