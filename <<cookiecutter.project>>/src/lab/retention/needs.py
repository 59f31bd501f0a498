"""What is needed, and why: the hash of each output that git, a champion, a verdict, a review or an open design reads.

In doubt an output is needed: a design whose verdict nobody has committed keeps all of its runs', and so does a run that
no design asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.analysis import verdict
from lab.analysis.gate import typical
from lab.errors import UserError, nearest
from lab.records import champion as champions
from lab.records import per_item, studies
from lab.records.commit import LOCK
from lab.records.unreadable import Unreadable
from lab.report import report
from lab.retention.open_designs import Wanted, of_open, reused
from lab.retention.outputs import Need, design_of, hashes, of_all, of_commit, outputs, own, read_later, whole
from lab.study import FAILED, FINISHED, QUEUED, RUNNING

if TYPE_CHECKING:
    from lab.records.project import Project
    from lab.study import Study

MODELS = "models"  # a word for --keep, beside names of designs


def needed(project: Project, keep: Iterable[str] = ()) -> dict[str, str]:
    """Why an output is needed, by its hash. `keep` are names of designs, and MODELS. Raises UserError: unknown ones."""
    answered, of_designs = judged(project)
    of_plans, planned = of_open(project, answered)
    wanted = [*planned, *queued(project)]
    sources = (
        of_words(project, keep),
        of_git(project),
        of_champion(project),
        of_designs,
        of_plans,
        reused(project, wanted),
        by_hand(project),
        unread(project),
    )
    why: dict[str, str] = {}
    for source in sources:
        for md5, reason in source:
            why.setdefault(md5, reason)
    return why


def of_words(project: Project, keep: Iterable[str]) -> Iterator[Need]:
    """What the one who asks wants to keep."""
    finished = [record for record in project.records() if record.status == FINISHED]
    designs = {record.experiment.get("design"): None for record in finished}
    for word in keep:
        if word == MODELS:
            models = {model.output for model in project.contract.models}
            for record in finished:
                yield from ((md5, "--keep models") for path, md5 in outputs(record).items() if path in models)
            continue
        try:
            study = studies.read(project, word)
        except UserError as error:
            raise UserError(f"--keep {word}: {error}{nearest(word, [MODELS, *filter(None, designs)])}") from error
        for record in [*study.finished, *own(project, study.design.name)]:
            yield from whole(record, f"--keep {word}")


def of_git(project: Project) -> Iterator[Need]:
    """What .dvc files have ever named, since nothing makes that again; and what dvc.lock names where people stand."""
    git = project.git
    for text in git.versions(".dvc"):
        yield from ((md5, "data and champions that git tracks") for md5 in hashes(text))
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.dvc", f"*{LOCK}")
    for path in filter(None, listed.split("\0")):
        with suppress(OSError):  # deleted, and not committed yet
            text = (project.root / path).read_text(encoding="utf-8")
            yield from ((md5, "the work tree") for md5 in hashes(text))
    tips: dict[str, list[str]] = {}
    for name, commit in git.tips().items():
        tips.setdefault(commit, []).append(name)
    for commit, names in tips.items():
        for text in git.called(commit, LOCK):
            yield from ((md5, ", ".join(names[:2])) for md5 in hashes(text))


def of_champion(project: Project) -> Iterator[Need]:
    """The champion's own run, the one that made its model, and what it is compared by."""
    champion = champions.current(project)
    if champion is None:
        return
    for name in (champion.revision, champions.model(project)):
        if commit := project.git.resolve(name):
            yield from of_commit(project, commit, "the champion")
    for record in project.records():
        if record.commit in champion.runs.values() and record.status == FINISHED:
            yield from read_later(record, "the champion")


def judged(project: Project) -> tuple[list[str], list[Need]]:
    """The designs whose verdict is committed, and what all designs that have run need."""
    committed = verdicts(project)
    answered: list[str] = []
    needs: list[Need] = []
    names = dict.fromkeys([*(design_of(record) for record in project.records()), *(name for name, _ in committed)])
    for name in filter(None, names):
        study = read(project, name)
        if study is None:
            needs += of_all(own(project, name), f"{name}: no commit here has this design")
        elif why := open_because(study, committed):
            needs += of_all([*own(project, name), *study.finished], why)
        else:
            answered.append(name)
            needs += of_verdict(study)
            committed.discard((name, study.commit))
    for name, commit in sorted(committed):  # those of earlier runs, which somebody may still check
        former = read(project.at(commit), name) if commit in project.git else None
        for record in former.finished if former else []:
            needs += read_later(record, f"an earlier verdict on {name}")
    return answered, needs


def verdicts(project: Project) -> set[tuple[str, str]]:
    """The committed verdicts of all branches and tags: of which design, and from which commit its runs started."""
    found = set()
    for commit in set(project.git.tips().values()):
        for name in project.git.names(commit, str(report.FOLDER)):
            with suppress(ValueError, KeyError, TypeError):
                content = json.loads(project.git.text(commit, f"{report.FOLDER}/{name}/verdict.json") or "{}")
                found.add((str(content["design"]), str(content["commit"])))
    return found


def read(project: Project, name: str) -> Study | None:
    """A design's study; None where there is none."""
    with suppress(UserError):
        return studies.read(project, name)
    return None


def open_because(study: Study, committed: set[tuple[str, str]]) -> str:
    """Why a design is not answered yet; empty where it is."""
    name = study.design.name
    over = sum(replicate.is_over for replicate in study.replicates)
    if over < len(study.replicates):
        return f"{name} is open: {over} of {len(study.replicates)} runs are over"
    if (name, study.commit) not in committed:
        return f"{name} is open: its verdict is in no commit (lab review {name})"
    return ""


def of_verdict(study: Study) -> Iterator[Need]:
    """What a verdict and its report are made of, and the run that lab review and lab promote take."""
    name = study.design.name
    if per_item.absent(study):
        yield from of_all(study.finished, f"{name}: what was said of each test {study.contract.item} is not all here")
        return
    try:
        said = verdict.judge(study, per_item.read(study))
    except UserError as error:
        yield from of_all(study.finished, f"{name} can't be judged: {error}")
        return
    taken = {id(each.record): each for arm in (said.winner, said.best) if (each := typical(study, arm, said.metric))}
    for replicate in taken.values():
        yield from whole(replicate.record, f"{name}: the run that lab review and lab promote take")
        for model in study.contract.models_named(replicate.record.params):
            if commit := study.project.git.resolve(model):
                yield from of_commit(study.project, commit, f"{name}: the model that its best run takes")
    for record in study.finished:
        yield from read_later(record, f"{name}: what its verdict and its report are made of")


def queued(project: Project) -> Iterator[Wanted]:
    """The runs that are queued, running, or failed and may be tried again."""
    for record in project.records():
        if record.status in (QUEUED, RUNNING, FAILED) and not isinstance(record, Unreadable):
            why = f"{record.name} is {record.status}" + (", and may run again" if record.status == FAILED else "")
            yield Wanted(record.params, record.stage, record.baseline, why)


def unread(project: Project) -> Iterator[Need]:
    """What runs whose records can't be read have made, as far as their dvc.lock tells."""
    for record in project.unread():
        yield from of_commit(project, record.commit, f"{record.name}, which can't be read (lab status)")


def by_hand(project: Project) -> Iterator[Need]:
    """The runs that no design asked for: only who made them knows what for."""
    for record in project.records():
        if record.status == FINISHED and not design_of(record) and record.commit != record.baseline:
            yield from whole(record, "a run by hand (dvc exp remove NAME, and it is not)")
