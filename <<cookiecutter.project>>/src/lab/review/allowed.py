"""What a review branch may bring to the default branch, and what an experiment's commit may differ in from its
baseline: results, and nothing that makes them or judges them.

All of it is read as git's objects: nothing of the branch is checked out, imported or run. An allow-list, so that what
nobody has thought of is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from lab import markdown
from lab.contract import FILE as CONTRACT
from lab.design.design_file import FOLDER
from lab.git import KINDS, PLAIN
from lab.records.commit import LOCK, PARAMS, PIPELINE
from lab.report import report
from lab.review import evidence

if TYPE_CHECKING:
    from collections.abc import Collection

    from lab.git import Repository
    from lab.records.git_record import GitRecord
    from lab.records.project import Project
    from lab.study import Study

EXPLAINS = f"{report.FOLDER}/README.md"  # what the folder is for: no report
BESIDE = re.compile(r"[\w-][\w.-]*\.(png|csv|json)")  # what a report has beside it; the check names what is too much


def brought(git: Repository, main: str, commit: str) -> dict[str, int]:
    """The files that a merge of `commit` may change in the default branch, and their modes: 0 for what is gone.

    What main has gone on to since, the branch does not bring; nor what main has by now.
    """
    fork = git.merge_base(main, commit)
    there = git.changed(main, commit)
    return {path: mode for path, mode in git.changed(fork, commit).items() if path in there} if fork else there


def outputs(project: Project, commit: str, params: dict[str, Any]) -> list[str]:
    """What the stages of a commit's dvc.yaml write, with these params; a `*` stands for any part of a name."""
    pipeline = project.commit(commit).pipeline
    return [path for stage in pipeline.stages for path in pipeline.outputs(stage, params)]


def is_result(path: str, written: Collection[str]) -> bool:
    """Whether a file is what runs leave in git: params.yaml, dvc.lock, an output or a file below one."""
    parts = PurePosixPath(path).parts
    if ".." in parts:
        return False
    return path in (PARAMS, LOCK) or any(
        len(out) <= len(parts) and all(map(fnmatchcase, parts, out))
        for out in (PurePosixPath(place).parts for place in written)
    )


def reports(git: Repository, main: str, commit: str) -> tuple[set[str], set[str]]:
    """The reports that a branch brings or changes, by their names, and the other files that it does."""
    folder = report.FOLDER.parts
    names, others = set(), set()
    for path in brought(git, main, commit):
        parts = PurePosixPath(path).parts
        if parts[: len(folder)] == folder and len(parts) > len(folder) and path != EXPLAINS:
            names.add(parts[len(folder)].removesuffix(".md"))
        else:
            others.add(path)
    return names, others


# The branch


def unreadable(project: Project, main: str, commit: str) -> Iterator[str]:
    """What a branch brings that lies where neither reports nor designs nor results do, where it has a contract or a
    pipeline of its own: with these nothing of it is read any further."""
    files = brought(project.git, main, commit)
    if not {CONTRACT, PIPELINE} & files.keys():
        return
    written = outputs(project, main, project.commit(main).params)
    for path in sorted(files):
        if not (path.startswith((f"{report.FOLDER}/", f"{FOLDER}/")) or is_result(path, written)):
            yield said(path, files[path])


def said(path: str, mode: int) -> str:
    """What is said of a file that a branch has no business with."""
    state = {0: "gone", PLAIN: "changed"}.get(mode, KINDS.get(mode, "changed"))
    return f"{path} is {state} against the default branch: a review branch brings results, report and design"


def foreign(study: Study, main: str, commit: str) -> Iterator[str]:
    """What a branch brings beside results, report and design; also what one of its commits had, and a later one took
    back.

    `main` is the default branch's commit; of a clone that knows none, the baseline.
    """
    git, project = study.project.git, study.project
    runs = [project.commit(study.commit), *(record.content for record in study.finished)]
    written = {path for run in runs for path in outputs(project, study.commit, run.params)}
    carried = {evidence.file_name(study, record) for record in study.finished}

    def wrong(path: str, mode: int) -> str:
        if not (path == study.path or is_result(path, written) or is_reports(path, report.name(study), carried)):
            return said(path, mode)
        return "" if mode in (0, PLAIN) else f"{path} is {KINDS.get(mode, 'no file')}: expected a plain file"

    told = set()
    for path, mode in sorted(brought(git, main, commit).items()):
        if problem := wrong(path, mode):
            told.add(path)
            yield problem
    for earlier in git.commits_since([main, study.commit], commit)[1:]:
        for path, mode in sorted(brought(git, main, earlier).items()):
            if path not in told and wrong(path, mode):
                told.add(path)
                yield f"the commit {earlier[:7]} has changed {path}, and a later one takes it back: git keeps it"


def is_reports(path: str, name: str, carried: Collection[str]) -> bool:
    """Whether a file is the report of this name, or lies beside it as its figures, numbers and predictions do."""
    place = PurePosixPath(path)
    if place.parent == report.FOLDER / name:
        return bool(BESIDE.fullmatch(place.name))
    if place.parent == report.FOLDER / name / evidence.FOLDER:
        return place.name in carried
    return place == report.FOLDER / f"{name}.md"


# An experiment


def beyond_results(study: Study, record: GitRecord) -> Iterator[str]:
    """What an experiment's commit has changed that is no result of its stages, and a history that is not its own."""
    git, project = study.project.git, study.project
    if git.parents(record.commit) != [record.baseline]:
        yield f"{record.name} is no child of the commit {record.baseline[:7]} that its ref names"
    written = outputs(project, record.baseline, record.params)
    for path, mode in sorted(git.changed(record.baseline, record.commit).items()):
        if is_result(path, written):
            if mode not in (0, PLAIN):
                yield f"{path} of {record.name} is {KINDS.get(mode, 'no file')}: expected a plain file"
        elif mode not in (0, PLAIN) or not keeps_outputs(git, record, path, written):
            yield f"{record.name} has changed {path}, which none of its stages writes: a run leaves its results alone"


def keeps_outputs(git: Repository, record: GitRecord, path: str, written: Collection[str]) -> bool:
    """Whether a file is a .gitignore that differs in DVC's own lines alone: an output of its folder each."""
    place = PurePosixPath(path)
    if place.name != ".gitignore":
        return False
    before, after = (set(git.text(rev, path).splitlines()) for rev in (record.baseline, record.commit))
    own = {f"/{PurePosixPath(out).name}" for out in written if PurePosixPath(out).parent == place.parent}
    return before ^ after <= own | {""}


# What is said of it


def harmless(text: object) -> str:
    """A text from outside, for a comment: one line without markup that calls nobody."""
    return uncalled(markdown.plain(text)[:500])


def uncalled(text: str) -> str:
    """A text in which no @name calls somebody."""
    return text.replace("@", "@\u200b")
