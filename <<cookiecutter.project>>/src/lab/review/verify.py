"""A review branch checked: verdict and report are made again from the committed records, and have to come out the same.

It runs where the branch is checked out, on any machine: what it needs lies in git. What was said of each test item
comes with the branch where the verdict rests on it, or from DVC's remote where that is too large. What only the machine
that ran the experiments knows (why a run failed), what a person has written, and how test items look where the prepared
data is not here, is taken as it stands in the report.

The verdict is by the contract of the commit that the runs started from: what a metric means is not changed afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lab.analysis import verdict
from lab.analysis.estimates import IMAGES
from lab.contract import FILE
from lab.errors import UserError
from lab.records import per_item, studies
from lab.records.git_record import GitRecord
from lab.report import report, sections
from lab.review import evidence
from lab.review.branch import PREFIX, REMOTE, left
from lab.review.differences import differences, first_number
from lab.study import FAILED, MISSING

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.git import Repository
    from lab.records.project import Project
    from lab.study import Study

CODE = ("src", FILE)  # what a review branch has no business with
MOST = 20  # disagreements that are told


@dataclass(frozen=True)
class Result:
    """What a check found: the disagreements, a sentence each, and a summary in Markdown for the pull request."""

    problems: list[str]
    summary: str


def check(project: Project, name: str | None = None) -> Result:
    """Check the report of a design, or of the one that the branch is named after, as it lies in the work tree.

    Raises:
        UserError: there is no such report, or its experiments are not here and not on the remote.
    """
    name = name or branch_design(project.git)
    fetch(project)
    study = studies.read(project, name)
    path = project.root / report.FOLDER / f"{report.name(study)}.md"
    beside = path.with_suffix("")
    numbers = committed(project, name, path, beside / "verdict.json")
    study = with_failures(study, json.loads(numbers).get("failed", []))
    present(study)
    studies.check_measured(study)
    has_items = evidence.bring(study, beside)
    if not has_items and f'"basis": "{IMAGES}"' in numbers:
        raise UserError(
            f"the verdict on {name} rests on what was said of each test {study.contract.item}, which is not on the "
            f"branch, in DVC's cache or on its remote: lab review {name} --push where the runs are, and access to the "
            "remote here"
        )
    judged = verdict.judge(study, per_item.read(study))
    problems = [
        *edited(study),
        *applied(study),
        *swapped(study, beside),
        *differences(study, judged, path, has_items),
    ]
    return Result(problems, summary(study, judged, problems, has_items))


# What is checked


def branch_design(git: Repository) -> str:
    """The design that the checked out branch is named after. Raises UserError."""
    branch = git.branch
    if not branch.startswith(PREFIX):
        raise UserError(f"which design? The branch is {branch or 'none'}, not {PREFIX}…: lab review DESIGN --check")
    return branch.removeprefix(PREFIX)


def fetch(project: Project) -> None:
    """Fetch the experiments, which a clone has not by itself; what is here is all where no remote can be reached."""
    if project.git.remote_url(REMOTE):
        project.git.call("fetch", "--quiet", REMOTE, "refs/exps/*:refs/exps/*")
        project.refresh()


def committed(project: Project, name: str, *files: Path) -> str:
    """The text of the last of these files. Raises UserError where one of them is not there."""
    for file in files:
        if not file.exists():
            raise UserError(
                f"{file.relative_to(project.root)} is not there: lab review {name} makes the branch that has it"
            )
    return files[-1].read_text(encoding="utf-8")


def with_failures(study: Study, failed: list[dict[str, Any]]) -> Study:
    """The study with the runs that failed elsewhere: git has no trace of them but the report's."""
    known = {(entry["arm"], entry["seed"]) for entry in failed}
    lost = GitRecord(study.project, "", study.commit, study.commit, FAILED)
    replicates = [
        replace(each, record=lost) if each.status == MISSING and (each.arm, each.seed) in known else each
        for each in study.replicates
    ]
    return replace(study, replicates=replicates)


def present(study: Study) -> None:
    """Raises UserError where no experiment of the design is in this clone."""
    if not any(record.commit != record.baseline for record in study.records):
        remote = study.project.git.remote_url(REMOTE)
        where = f"nor on {REMOTE}" if remote else "and there is no remote to fetch them from"
        raise UserError(
            f"no experiment of {study.design.name} is in this clone, {where}, so that nothing can be recomputed: "
            f"lab review {study.design.name} --push, where they ran"
        )


# Disagreements


def edited(study: Study) -> Iterator[str]:
    """Code that is neither the baseline's nor the default branch's, which may be merged: the check would be its own."""
    git = study.project.git
    main = upstream(git)
    if main is None:
        return

    def changed(since: str) -> set[str]:
        names = git.call("diff", "--name-only", "--relative", "--no-renames", since, "HEAD", "--", *CODE)
        return {*names.stdout.splitlines()}

    fork = git.call("merge-base", "HEAD", main).stdout.strip() or main
    for path in sorted(changed(study.commit) & changed(fork)):
        whose = f"is not as the baseline has it, nor the default branch of {REMOTE}"
        yield f"{path} {whose}: a review branch brings results alone"


def upstream(git: Repository) -> str | None:
    """The commit of the remote's default branch: as it is now, or as it was last fetched; None where there is none."""
    names = [f"refs/remotes/{REMOTE}/{name}" for name in ("HEAD", "main", "master")]
    if git.remote_url(REMOTE) and git.says_yes("fetch", "--quiet", REMOTE, "HEAD"):
        names.insert(0, "FETCH_HEAD")
    commits = (git.call("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.strip() for name in names)
    return next((commit for commit in commits if commit), None)


def applied(study: Study) -> Iterator[str]:
    """Results on the branch that are not the ones of the experiment whose params it has."""
    project = study.project
    git, head = project.git, project.head
    runs = {record.name: record.commit for record in study.finished}
    for name, rev in {"the baseline": study.commit, **runs}.items():
        if git.text(rev, "params.yaml") != git.text(head, "params.yaml"):
            continue
        for path in {"dvc.lock", *(path for path in project.commit(rev).outputs if git.object_id(rev, path))}:
            if git.object_id(rev, path) != git.object_id(head, path):
                yield f"{path} is not as {name} has it{first_number(git.text(head, path), git.text(rev, path))}"
        return
    yield f"params.yaml is none of the design's {len(runs)} runs', nor the baseline's"


def swapped(study: Study, folder: Path) -> Iterator[str]:
    """Files of the branch that are not what the runs said of the test items."""
    for record, path, as_said in evidence.lying(study, folder):
        if not as_said:
            place = f"{folder.name}/{evidence.FOLDER}/{path.name}"
            yield f"{place} is not what {record.name} said of the test {study.contract.item}s"


# For the pull request


def summary(study: Study, judged: Verdict, problems: list[str], has_items: bool) -> str:
    """A comment for the pull request: question, verdict, what the check found, and what differs from the baseline."""
    outcome = f"**{judged.outcome}**{' (exploratory)' if judged.exploratory else ''}"
    parts = [
        f"### {study.design.title}",
        "",
        outcome,
        "",
        *(f"- {reason}" for reason in judged.reasons),
        "",
        sections.table(study, judged),
        "",
        *conclusion(study, problems, has_items),
    ]
    if stale := left(study.project, str(study.project.head)):
        stages = " and ".join(stale)
        parts += [
            "",
            f"Results of {stages} are still the baseline's: `dvc exp run` after the merge makes them anew.",
        ]
    for kind in ("metrics", "params"):
        table = from_baseline(study, kind)
        if len(table) > 2:  # more than its head
            parts += ["", f"<details><summary>dvc {kind} diff</summary>", "", *table, "", "</details>"]
    return "\n".join(parts) + "\n"


def conclusion(study: Study, problems: list[str], has_items: bool) -> Iterator[str]:
    """What the check found."""
    if problems:
        yield from ("**The branch does not hold what the records give:**", "")
        yield from (f"- {problem}" for problem in problems[:MOST])
    else:
        yield f"Recomputed from {len(study.records)} records: every number of the report agrees."
    if not has_items:
        yield f"What was said of each test {study.contract.item} is not here: what follows from it was not recomputed."
    if len(problems) > MOST:
        yield f"- and {len(problems) - MOST} more"


def from_baseline(study: Study, kind: str) -> list[str]:
    """The lines of DVC's table of what differs from the baseline, without the metrics that one is broken down into."""
    project = study.project
    files = project.commit(str(project.head)).pipeline.metrics_files(study.contract)
    # What the last epoch was like, which DVCLive sums up in a file of its own, is none of these.
    places = {str(place.parent) if place.parent.name else str(place) for place in map(PurePosixPath, files)}
    only = ["--targets", *sorted(places), "--recursive"] if kind == "metrics" and places else []
    command = [sys.executable, "-m", "dvc", kind, "diff", "--md", study.commit[:12], *only]
    shown = subprocess.run(command, cwd=project.root, capture_output=True, text=True).stdout.strip()

    def is_part(line: str) -> bool:
        cells = [cell.strip() for cell in line.split("|")]  # nothing, the file, the key in it, …
        return len(cells) > 2 and bool(study.metric(f"{files.get(cells[1], cells[1])}.{cells[2]}").by)

    return [line for line in shown.splitlines() if not is_part(line)]
