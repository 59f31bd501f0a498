"""A review branch checked: verdict and report are made again from the committed records, and have to come out the same.

The branch is a commit, read as git's objects: the code that checks it, and whatever else is run, is that of the work
tree, which on CI is the default branch's. So nothing that a branch brings has a say in its own check. What was said of
each test item comes with the branch where the verdict rests on it, or from DVC's remote where that is too large. What
only the machine that ran the experiments knows (why a run failed), what a person has written, and how test items look
where the prepared data is not here, is taken as it stands in the report.

The verdict is by the contract of the commit that the runs started from: what a metric means is not changed afterwards.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis import verdict
from lab.analysis.decisions import RULES
from lab.analysis.estimates import BOTH, IMAGES
from lab.design import design_file
from lab.errors import UserError
from lab.records import per_item, studies
from lab.records.commit import PARAMS
from lab.records.git_record import GitRecord
from lab.records.project import Project
from lab.report import report
from lab.review import allowed, earlier, evidence, runs, signatures
from lab.review.branch import PREFIX, REMOTE, newest
from lab.review.comment import MOST, summary
from lab.review.differences import differences, first_number
from lab.study import FAILED, MISSING

if TYPE_CHECKING:
    from lab.git import Repository
    from lab.study import Study

NAMED = re.compile(r"\d{4}-\d\d-\d\d_(\w[\w-]*)")  # a report: by the day of its baseline, and its design
LARGEST = 50_000_000  # bytes of a report with all that lies beside it

__all__ = ["MOST", "Result", "check"]


@dataclass(frozen=True)
class Result:
    """What a check found: the disagreements, a sentence each, and a summary in Markdown for the pull request.

    Without a summary there was nothing to check: the branch brings no report and no results.
    """

    problems: list[str]
    summary: str


def check(project: Project, name: str | None = None, commit: str | None = None) -> Result:
    """Check a review branch.

    Args:
        project: its code checks, and its work tree is not looked at.
        name: the design; left out, the one whose report the branch brings.
        commit: what is checked, against the commit that is checked out. Left out, the branch of the design, or the one
            that is checked out, against the default branch of the remote.

    Raises:
        UserError: there is no such report, or its experiments are not here and not on the remote.
    """
    fetch(project)
    if name is not None and name.endswith(".yaml"):
        name = design_file.read(Path(name), project.contract).name
    target, main = compared(project, name, commit)
    if name is None and main is not None:
        found, others = allowed.reports(project.git, main, target)
        if len(found) != 1 or not NAMED.fullmatch(next(iter(found))):
            return unreported(Project(project.root, at=target), main, found, others)
        name = NAMED.fullmatch(next(iter(found)))[1]  # type: ignore[index]
    if foreign := list(allowed.unreadable(project, main, target)) if main else []:
        return refused(foreign)
    name = name or branch_design(project.git)
    at = Project(project.root, tracked=project.tracked, at=target)
    study = studies.read(at, name)
    with tempfile.TemporaryDirectory() as folder:
        return checked(study, target, main, Path(folder))


def checked(study: Study, target: str, main: str | None, folder: Path) -> Result:
    """What comes out of the commit `target`, whose report is laid into `folder`."""
    name = study.design.name
    foreign = [*allowed.foreign(study, main or study.commit, target)]
    foreign += [problem for record in experiments(study) for problem in allowed.beyond_results(study, record)]
    if foreign:  # what makes the results may be another, so that nothing is read any further
        return refused(foreign)
    present(study)  # first: without them the report is looked for by the day of another baseline
    path, numbers = bring_report(study, target, folder)
    beside = path.with_suffix("")
    study = with_failures(study, numbers.get("failed"))
    studies.check_measured(study)
    has_items = evidence.bring(study, beside)
    if not has_items and any(f'"basis": "{basis}"' in json.dumps(numbers) for basis in (IMAGES, BOTH)):
        raise UserError(
            f"the verdict on {name} rests on what was said of each test {study.contract.item}, which is not on the "
            f"branch, in DVC's cache or on its remote: lab review {name} --push where the runs are, and access to the "
            "remote here"
        )
    judged = verdict.judge(study, per_item.read(study))
    problems = [
        *(problem for record in experiments(study) for problem in of_experiment(record)),
        *signatures.broken(study, target),
        *runs.unborn(study, main),
        *runs.off_plan(study),
        *runs.mismeasured(study),
        *(unseen.needed if (unseen := runs.absent(study, target)) else ()),
        *applied(study, target),
        *swapped(study, beside),
    ]
    drawn = list(differences(study, judged, path, has_items))
    only_drawn = bool(drawn) and not problems and main is not None
    rules = said if isinstance(said := numbers.get("rules"), int) else 1
    by_others = rules != RULES
    if only_drawn and main and (then := earlier.made_by(study, target, main, drawn, rules)):
        note = f"Its report is the one that the default branch's code of {then[:7]} draws; today's draws another."
        if by_others:
            note = (
                f"It was judged by the rules of its day (version {rules}), and agrees with what the default branch's "
                f"code of {then[:7]} makes of the records; by today's (version {RULES}) it is {judged.outcome}."
            )
        return Result([], summary(study, judged, target, main, [], has_items, [note]))
    again = f"Where what draws reports has changed since, lab review {name} draws it anew."
    if by_others:
        again = f"It was judged by the rules of version {rules}, today's are {RULES}: lab review {name} judges it anew."
    notes = [again] if only_drawn else []
    return Result([*problems, *drawn], summary(study, judged, target, main, [*problems, *drawn], has_items, notes))


# What is checked


def compared(project: Project, name: str | None, commit: str | None) -> tuple[str, str | None]:
    """The commit to check and the default branch's, None where no remote tells it. Raises UserError."""
    git, head = project.git, project.head
    if head is None:
        raise UserError("there is no commit yet, and so no review branch")
    if commit is not None:
        target = git.resolve(commit)
        if target is None:
            raise UserError(f"{commit!r} is no commit of this clone: git fetch it first")
        return target, head
    main = upstream(git)
    if name is not None and git.branch != PREFIX + name and (tip := newest(git, PREFIX + name)):
        return tip, main or head
    return head, main


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


def bring_report(study: Study, target: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Lay the report of a commit below `folder`. Returns its Markdown, and the numbers beside it. Raises UserError."""
    git, name = study.project.git, report.name(study)
    places = [f"{report.FOLDER}/{name}.md", f"{report.FOLDER}/{name}"]
    size = sum(git.size(target, file) for place in places for file, _ in git.files(target, place))
    if size > LARGEST:
        raise UserError(f"{places[1]} has {size / 1e6:.0f} MB, where {LARGEST / 1e6:.0f} are the most of a report")
    git.extract(target, places, folder)
    for file in (places[0], f"{places[1]}/verdict.json"):
        if not (folder / file).is_file():
            raise UserError(f"{file} is not there: lab review {study.design.name} makes the branch that has it")
    for file in folder.rglob("*"):
        if file.suffix in (".md", ".csv", ".json"):
            try:
                text = file.read_text(encoding="utf-8")
                numbers = json.loads(text) if file.suffix == ".json" else {}
            except (ValueError, RecursionError) as error:
                raise UserError(f"{file.relative_to(folder)} can't be read: {error}") from error
            if file.name == "verdict.json" and not isinstance(numbers, dict):
                raise UserError(f"{file.relative_to(folder)} is not as lab report writes it")
    return folder / places[0], json.loads((folder / places[1] / "verdict.json").read_text(encoding="utf-8"))


def with_failures(study: Study, failed: Any) -> Study:
    """The study with the runs that failed elsewhere: git has no trace of them but the report's."""
    entries = [entry for entry in failed if isinstance(entry, dict)] if isinstance(failed, list) else []
    known = {(str(entry.get("arm")), str(entry.get("seed"))) for entry in entries}
    lost = GitRecord(study.project, "", study.commit, study.commit, FAILED)
    replicates = [
        replace(each, record=lost) if each.status == MISSING and (each.arm, str(each.seed)) in known else each
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


def upstream(git: Repository) -> str | None:
    """The commit of the remote's default branch: as it is now, or as it was last fetched; None where there is none."""
    names = [f"refs/remotes/{REMOTE}/{name}" for name in ("HEAD", "main", "master")]
    if git.remote_url(REMOTE) and git.says_yes("fetch", "--quiet", REMOTE, "HEAD"):
        names.insert(0, "FETCH_HEAD")
    commits = (git.call("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").stdout.strip() for name in names)
    return next((commit for commit in commits if commit), None)


def experiments(study: Study) -> list[GitRecord]:
    """The finished runs that are DVC experiments, each once."""
    return [*{record.commit: record for record in study.ended if record.commit != record.baseline}.values()]


def of_experiment(record: GitRecord) -> Iterator[str]:
    """Where an experiment's commit disagrees with itself."""
    yield from runs.disagreements(record)
    yield from runs.mistimed(record)


def applied(study: Study, target: str) -> Iterator[str]:
    """Results on the branch that are not the ones of the experiment whose params it has."""
    project = study.project
    git = project.git
    sources = {"the baseline": study.commit, **{record.name: record.commit for record in study.ended}}
    alike = [name for name, rev in sources.items() if git.object_id(rev, PARAMS) == git.object_id(target, PARAMS)]
    if not alike:
        yield f"params.yaml is none of the design's {len(sources) - 1} runs', nor the baseline's"
        return

    def other(name: str) -> list[str]:
        rev = sources[name]
        written = allowed.outputs(project, study.commit, project.commit(rev).params)
        return [path for path in sorted(git.changed(rev, target)) if allowed.is_result(path, written)]

    name = min(alike, key=lambda name: len(other(name)))
    for path in other(name):
        said, right = (git.read(rev, path) or b"" for rev in (target, sources[name]))
        numbers = first_number(said.decode(errors="replace"), right.decode(errors="replace"))
        yield f"{path} is not as {name} has it{numbers}"


def swapped(study: Study, folder: Path) -> Iterator[str]:
    """Files of the branch that are not what the runs said of the test items."""
    for record, path, as_said in evidence.lying(study, folder):
        if not as_said:
            place = f"{folder.name}/{evidence.FOLDER}/{path.name}"
            yield f"{place} is not what {record.name} said of the test {study.contract.item}s"


# Without one report


def unreported(project: Project, main: str, found: set[str], others: set[str]) -> Result:
    """What is said of a branch that brings no report, one that lab has not made, or several."""
    git, target = project.git, str(project.head)
    if odd := sorted(name for name in found if not NAMED.fullmatch(name)):
        problems = [f"{report.FOLDER}/{name} is no report that lab review has made" for name in odd]
    elif found:
        problems = [f"the branch brings {len(found)} reports, {' and '.join(sorted(found))}: a branch has one"]
    else:
        written = allowed.outputs(project, main, project.commit(target).params)
        results = sorted(path for path in others if allowed.is_result(path, written))
        if not results:
            return Result([], "")
        if others - {*results}:
            told = f"**Not checked:** {', '.join(results)}. They come with changes of what makes them, and no report:"
            return Result([], f"{told} `dvc repro` on the branch shows whether they come out.\n")
        experiments = (each for each in git.experiments() if each.is_commit)
        whose = [each.name for each in experiments if not {*results} & git.changed(each.commit, target).keys()]
        if whose:
            return Result(
                [], f"The results are those of the experiment {whose[-1]}; no report says what they answer.\n"
            )
        problems = [f"{path} is of no experiment that is here, and no report says what it answers" for path in results]
    return refused(problems)


def refused(problems: list[str]) -> Result:
    """What is said of a branch that brings what it should not."""
    lines = [f"- {allowed.harmless(problem)}" for problem in problems[:MOST]]
    more = [f"- and {len(problems) - MOST} more"] if len(problems) > MOST else []
    return Result(problems, "\n".join(["**The branch is not judged, for what it brings:**", "", *lines, *more, ""]))
