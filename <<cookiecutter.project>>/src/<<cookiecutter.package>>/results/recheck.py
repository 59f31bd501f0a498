"""A review branch checked: verdict and report are made again from the committed records, and have to come out the same.

It runs where the branch is checked out, on any machine: what it needs lies in git. What was said of each test image comes
with the branch where the verdict rests on it, or from DVC's remote where that is too large. What only the machine that ran
the experiments knows (why a run failed), and what a person has written, is taken as it stands in the report.
"""

from __future__ import annotations

import difflib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from . import checkout, evidence, examples, paragraphs, planning, report, study, verdict
from .records import FAILED, Record
from .review import PREFIX, REMOTE, remote_url
from .study import MISSING, Study

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
MOST = 20  # disagreements that are told


@dataclass(frozen=True)
class Result:
    """What a check found: the disagreements, a sentence each, and a summary in Markdown for the pull request."""

    problems: list[str]
    summary: str


def check(root: Path, name: str | None = None) -> Result:
    """Check the report of a design, or of the one that the branch is named after, as it lies in the work tree.

    Raises:
        UserError: there is no such report, or its experiments are not here and not on the remote.
    """
    name = name or branch_design(root)
    fetch(root)
    found = study.read(root, name)
    path = root / report.FOLDER / f"{report.name(found)}.md"
    said = path.with_suffix("") / "verdict.json"
    for file in (path, said):
        if not file.exists():
            raise UserError(f"{file.relative_to(root)} is not there: lab review {name} makes the branch that has it")
    committed = json.loads(said.read_text(encoding="utf-8"))
    found = with_failures(found, committed.get("failed", []))
    present(found)
    has_images = evidence.bring(found, path.with_suffix(""))
    if not has_images and '"basis": "images"' in said.read_text(encoding="utf-8"):
        raise UserError(
            f"the verdict on {name} rests on what was said of each test image, which is not on the branch, in DVC's "
            f"cache or on its remote: lab review {name} --push where the runs are, and access to the remote here"
        )
    result = verdict.judge(found, examples.read(found))
    problems = [*applied(found), *swapped(found, path.with_suffix("")), *compare(found, result, path, has_images)]
    return Result(problems, summary(found, result, problems, has_images))


def branch_design(root: Path) -> str:
    """The design that the checked out branch is named after. Raises UserError."""
    branch = _output(root, "git", "branch", "--show-current")
    if not branch.startswith(PREFIX):
        raise UserError(f"which design? The branch is {branch or 'none'}, not {PREFIX}…: lab review DESIGN --check")
    return branch.removeprefix(PREFIX)


def fetch(root: Path) -> None:
    """Fetch the experiments, which a clone has not by itself; what is here is all where no remote can be reached."""
    if remote_url(root):
        subprocess.run(["git", "fetch", "--quiet", REMOTE, "refs/exps/*:refs/exps/*"], cwd=root, capture_output=True)


def with_failures(found: Study, failed: list[dict[str, Any]]) -> Study:
    """The study with the runs that failed elsewhere: git has no trace of them but the report's."""
    known = {(entry["arm"], entry["seed"]) for entry in failed}
    lost = Record(found.root, "", found.commit, found.commit, FAILED)
    rows = [
        replace(row, record=lost) if row.status == MISSING and (row.arm, row.seed) in known else row
        for row in found.rows
    ]
    return replace(found, rows=rows)


def present(found: Study) -> None:
    """Raises UserError where no experiment of the design is in this clone."""
    if not any(record.commit != record.baseline for record in found.records):
        where = f"nor on {REMOTE}" if remote_url(found.root) else "and there is no remote to fetch them from"
        raise UserError(
            f"no experiment of {found.design.name} is in this clone, {where}, so that nothing can be recomputed: "
            f"lab review {found.design.name} --push, where they ran"
        )


def swapped(found: Study, folder: Path) -> Iterator[str]:
    """Files of the branch that are not what the runs said of the test images."""
    for record, path, as_said in evidence.lying(found, folder):
        if not as_said:
            yield f"{folder.name}/{evidence.FOLDER}/{path.name} is not what {record.name} said of the test images"


def applied(found: Study) -> Iterator[str]:
    """Results on the branch that are not the ones of the experiment whose params it has."""
    head = planning.head(found.root)
    assert head is not None
    here = checkout.commit(found.root, head)
    runs = {record.name: record.commit for record in found.finished}
    for name, rev in {"the baseline": found.commit, **runs}.items():
        there = checkout.commit(found.root, rev)
        if there.text("params.yaml") != here.text("params.yaml"):
            continue
        for path in {"dvc.lock", *(path for path in there.outputs if there.object(path))}:
            if _id(there, path) != _id(here, path):
                yield f"{path} is not as {name} has it{_first_change(there.text(path), here.text(path))}"
        return
    yield f"params.yaml is none of the design's {len(runs)} runs', nor the baseline's"


def compare(found: Study, result: verdict.Verdict, path: Path, has_images: bool) -> Iterator[str]:
    """Where the committed report and what the records give disagree; without `has_images`, all but the images' say."""
    committed = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as place:
        again = Path(place) / path.name
        again.write_text(committed, encoding="utf-8")
        report.write(found, result, Path(place))
        mine, theirs = again.with_suffix(""), path.with_suffix("")
        yield from lines(path.name, report.outside(committed), report.outside(again.read_text(encoding="utf-8")))
        for file in sorted(mine.glob("*.csv")) + [mine / "verdict.json"]:
            other = theirs / file.name
            where = f"{path.stem}/{file.name}"
            if not other.exists():
                yield f"{where} is not there"
            elif file.suffix == ".json":
                said, right = (json.loads(each.read_text("utf-8")) for each in (other, file))
                yield from values(where, said, right, () if has_images else ("images",))
            else:
                yield from lines(where, other.read_text("utf-8"), file.read_text("utf-8"))


def lines(where: str, committed: str, recomputed: str) -> Iterator[str]:
    """The lines of a text that differ, by their numbers where it is these."""
    mine, theirs = recomputed.splitlines(), committed.splitlines()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, theirs, mine, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(b - a, d - c)):
            said = theirs[a + i] if a + i < b else ""
            right = mine[c + i] if c + i < d else ""
            numbers = [NUMBER.findall(text) for text in (said, right)]
            wrong = [f"{x}, where the records give {y}" for x, y in zip(*numbers, strict=False) if x != y]
            if wrong and len(numbers[0]) == len(numbers[1]):
                yield f"{where} says {'; '.join(wrong)}: {said.strip()}"
            elif said:
                yield f"{where} says, and the records do not: {said.strip()}"
            else:
                yield f"{where} lacks: {right.strip()}"


def values(where: str, committed: Any, recomputed: Any, without: Sequence[str] = ()) -> Iterator[str]:
    """The values of a JSON document that differ, by their places, but for the keys `without`."""
    if isinstance(committed, dict) and isinstance(recomputed, dict):
        for key in sorted((committed.keys() | recomputed.keys()) - {*without}):
            place = f"{where}.{key}" if ": " in where else f"{where}: {key}"
            yield from values(place, committed.get(key), recomputed.get(key), without)
    elif isinstance(committed, list) and isinstance(recomputed, list) and len(committed) == len(recomputed):
        for i, (said, right) in enumerate(zip(committed, recomputed, strict=True)):
            yield from values(f"{where}[{i}]", said, right, without)
    elif committed != recomputed:
        yield f"{where} is {committed}, where the records give {recomputed}"


def summary(found: Study, result: verdict.Verdict, problems: list[str], has_images: bool) -> str:
    """A comment for the pull request: question, verdict, what the check found, and what differs from the baseline."""
    checked = (
        ["**The report disagrees with the records:**", "", *(f"- {each}" for each in problems[:MOST])]
        if problems
        else [f"Recomputed from {len(found.records)} records: every number of the report agrees."]
    )
    if not has_images:
        checked.append("What was said of each test image is not here: what follows from it was not recomputed.")
    if len(problems) > MOST:
        checked.append(f"- and {len(problems) - MOST} more")
    parts = [
        f"### {found.design.title}",
        "",
        f"**{result.outcome}**{' (exploratory)' if result.exploratory else ''}",
        "",
        *(f"- {reason}" for reason in result.reasons),
        "",
        paragraphs.table(found, result),
        "",
        *checked,
    ]
    stages = ("--targets", "metrics", "--recursive")  # what the last epoch was like is dvclive's
    for kind, only in {"metrics": stages, "params": ()}.items():
        shown = _output(found.root, sys.executable, "-m", "dvc", kind, "diff", "--md", found.commit[:12], *only)
        table = "\n".join(line for line in shown.splitlines() if " classes." not in line)  # there may be hundreds
        if table:
            parts += ["", f"<details><summary>dvc {kind} diff</summary>", "", table, "", "</details>"]
    return "\n".join(parts) + "\n"


def _id(content: checkout.Commit, path: str) -> str:
    entry = content.object(path)
    return str(entry.id) if entry else ""


def _first_change(right: str, said: str) -> str:
    """`: 0.9, where the records give 0.8`, of the first numbers that differ in two texts."""
    pairs = zip(NUMBER.findall(said), NUMBER.findall(right), strict=False)
    return next((f": it says {x}, where the records give {y}" for x, y in pairs if x != y), "")


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stdout.strip()
