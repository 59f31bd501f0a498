"""Runs of other designs, by their arm and seed."""

from types import SimpleNamespace
from typing import Any

import pytest

from project import load

revisions = load("results.revisions")
Reference = load("design.revisions").Reference
UserError = load("errors").UserError


def run(design: str, arm: str, seed: int, commit: str) -> Any:
    return SimpleNamespace(
        experiment={"design": design, "arm": arm, "seed": seed}, commit=commit, name=f"{design}-{arm}"
    )


KNOWN = [
    run("study", "none", 0, "a"),
    run("study", "none", 1, "b"),
    run("study", "none", 1, "c"),
    run("other", "x", 0, "d"),
]


def test_the_newest_run_of_the_arm_and_the_seed_is_meant() -> None:
    assert revisions.of_design(KNOWN, Reference("study", "none", 0)) == "a"
    assert revisions.of_design(KNOWN, Reference("study", "none", 1)) == "c"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (Reference("stdy", "none", 0), "no run of the design stdy has finished: lab run designs/stdy.yaml first"),
        (Reference("study", "non", 0), "no finished run of non with seed 0. Did you mean 'none'?"),
        (Reference("study", "none", 2), "no finished run of none with seed 2"),
    ],
)
def test_what_has_not_run(reference: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        revisions.of_design(KNOWN, reference)
    assert words in str(caught.value)
