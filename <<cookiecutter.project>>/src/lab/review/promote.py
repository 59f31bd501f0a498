"""The champion changed: a run takes its place, or the one before comes back. Its files are DVC's, what is said of it is
git's.

A promotion is a commit. It brings the champion's models below models/champion, where the contract says. The ledger
beside it has each test against the champion, also a lost one: that is a commit of the ledger alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from lab import yaml12
from lab.analysis import verdict
from lab.analysis.estimates import arm_mean
from lab.analysis.gate import typical
from lab.errors import UserError
from lab.nested_keys import get
from lab.records import ledger, per_item, studies
from lab.records.champion import FOLDER, SAID, TRACKED, Champion, Forced, Measured, current, params, parsed
from lab.review import card as model_card
from lab.review import final_split
from lab.review.card import CARD
from lab.review.gate import examine
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.contract.models import ModelOutput
    from lab.records.git_record import GitRecord
    from lab.records.project import Project
    from lab.study import Replicate, Study


def candidate(project: Project, name: str) -> tuple[Study, Verdict, Replicate]:
    """The run to promote: of a design the winner's that is nearest to its mean; or the experiment of this name.

    Raises:
        UserError: neither, or nothing of it has finished.
    """
    runs = [
        record for record in project.records() if record.status == FINISHED and name in (record.name, record.commit)
    ]
    run = runs[-1] if runs else None
    study = studies.read(project, (run.experiment.get("design") or answered_by(project, run)) if run else name)
    studies.check_measured(study)
    judged = verdict.judge(study, per_item.read(study))
    if run is None:
        replicate = typical(study, judged.winner or judged.best, judged.metric)
        if replicate is None:
            raise UserError(f"no run of {study.design.name} has finished: lab run {study.path} first")
        return study, judged, replicate
    own = [replicate for replicate in study.replicates if replicate.record and replicate.record.commit == run.commit]
    if not own:
        raise UserError(
            f"{name} is not what answers {study.design.name} now: the design has run since, on {study.commit[:7]}"
        )
    return study, judged, own[0]


def answered_by(project: Project, record: GitRecord) -> str:
    """The one design that a run answers which no design asked for. Raises UserError where there is none, or several."""
    designs = [study.design.name for study in studies.read_all(project) if record in study.records]
    if len(designs) == 1:
        return designs[0]
    if designs:
        raise UserError(
            f"{record.name} answers {' and '.join(designs)}: promote the one whose rule it has to meet, by its name"
        )
    raise UserError(
        f"{record.name} answers no design, so that no rule says what it has to reach: promote a design's run"
    )


def promote(
    project: Project, name: str, reason: str = "", tell: Callable[[str], None] = print
) -> tuple[Champion, list[str]]:
    """Make a design's run the champion, in one commit. Returns it, and what `reason` overrode.

    `tell` is told which split decides, and before the final one is opened what that costs.

    Raises:
        UserError: the gate objects and no `reason` is given; the files are neither in DVC's cache nor on its remote.
    """
    on_branch(project)
    study, judged, replicate = candidate(project, name)
    before = current(project)
    if before and before.revision == replicate.record.commit:
        raise UserError(f"{before.experiment} is the champion already, since {before.promoted:%Y-%m-%d}")
    examined = examine(study, judged, replicate, before)
    count = final_split.items(study, judged, replicate)
    if not before and count:
        tell("no champion yet: the final split stays closed")
    if before and not examined.objections:
        if count:
            examined = final_split.decided(study, judged, before, examined, count, tell)
        else:
            tell(f"decided on the test split: {final_split.lacking(study, judged)}")
    against, entries = examined.objections, ledger.read(project)
    is_new = examined.entry.p is None or not any(each.same_test(examined.entry) for each in entries)
    if is_new:
        entries.append(examined.entry)
    if against and not reason:
        if is_new and examined.entry.p is not None:
            lost(project, entries)
        listed = "".join(f"\n  ✗ {objection}" for objection in against)
        raise UserError(
            f"{replicate.record.name} is not promoted (--force REASON does it all the same, and keeps the reason):"
            f"{listed}"
        )
    forced = Forced(reason=reason, objections=against) if against else None
    champion = describe(study, judged, replicate, forced, before)
    texts = {
        SAID: champion.model_dump(mode="json"),
        TRACKED: {"outs": files(project, study.contract, replicate.record)},
        ledger.LEDGER: ledger.written(entries),
    }
    written = {path: _yaml(content) for path, content in texts.items()}
    install(project, written | {CARD: card(project, champion)})
    commit(project, f"Champion: {champion.experiment}\n\n{champion.why}\n" + (f"Forced: {reason}\n" if forced else ""))
    return champion, against


def card(project: Project, champion: Champion) -> str:
    """Its model card."""
    return model_card.text(champion, project.contract, params(project, champion))


def lost(project: Project, entries: list[ledger.Entry]) -> None:
    """Commit the ledger of a test that was lost, and nothing else."""
    last = entries[-1]
    file = ledger.file(project)
    file.write_text(_yaml(ledger.written(entries)), encoding="utf-8")
    commit(project, f"Ledger: {last.experiment} did not beat {last.against}\n", ledger.LEDGER)


def describe(
    study: Study, judged: Verdict, replicate: Replicate, forced: Forced | None, before: Champion | None
) -> Champion:
    """What champion.yaml says of a run."""
    record = replicate.record
    return Champion(
        experiment=record.name,
        revision=record.commit,
        design=study.design.name,
        arm=replicate.arm,
        seed=replicate.seed,
        why="; ".join([judged.outcome, *judged.reasons]),
        forced=forced,
        promoted=datetime.now(UTC).replace(microsecond=0),
        replaces=before.experiment if before else None,
        metrics=dict(measured(study, replicate)),
        baseline=study.commit,
        data=record.data,
        code=record.code,
        runs={each.seed: each.record.commit for each in study.arms[replicate.arm] if each.finished},
    )


def measured(study: Study, replicate: Replicate) -> Iterator[tuple[str, Measured]]:
    """The design's metrics, of the run and of its arm."""
    for name in study.metrics:
        values = study.values(replicate.arm, name)
        if values:
            mean = arm_mean(study, name, values)
            own = values.get(replicate.seed)
            yield name, Measured(value=own, mean=mean.value, low=mean.low, high=mean.high, seeds=mean.n)


def rollback(project: Project) -> Champion:
    """Make the champion before this one the champion again, in a new commit. Raises UserError where there was none."""
    on_branch(project)
    versions = history(project)
    if not versions:
        raise UserError("there is no champion yet: lab promote DESIGN")
    now = versions.index(versions[-1])  # where a former rollback brought it back, what was before it counts
    if now == 0:
        first = parsed(versions[0][0]).experiment
        raise UserError(f"{first} is the first champion: there is none to go back to")
    said, tracked = versions[now - 1]
    champion = parsed(said)
    install(project, {SAID: said, TRACKED: tracked, CARD: card(project, champion)})
    commit(project, f"Champion: back to {champion.experiment}\n")
    return champion


def history(project: Project) -> list[tuple[str, str]]:
    """What champion.yaml and champion.dvc were in HEAD's history, the oldest first; the last is what they are."""
    git, head = project.git, project.head
    versions: list[tuple[str, str]] = []
    for rev in git.history(head, oldest_first=True) if head else ():
        said = git.text(rev, str(SAID))
        if said and (not versions or versions[-1][0] != said):
            versions.append((said, git.text(rev, str(TRACKED))))
    return versions


# Its files


def files(project: Project, contract: Contract, record: GitRecord) -> list[dict[str, Any]]:
    """The outs of champion.dvc: what dvc.lock says of the run's models. Raises UserError where there is no one model.

    The first of the contract's models is the one that runs take from each other: of a run that has measured another's,
    it is that one's. The others are made of it by the run itself, where it has made them.
    """
    several, one = (
        get(record.params, key) if key else None for key in (contract.model_keys.several, contract.model_keys.one)
    )
    if several:
        raise UserError(f"{record.name} is an ensemble of {len(several)} models: one of them can be promoted")
    if not contract.models:
        raise UserError(
            "lab.yaml names no models: it has to say which output of dvc.yaml is one, and where a champion's lies"
        )
    first, *others = fitting(contract, record)
    source = project.commit(_revision(project, record, str(one))) if one else record.content
    model = source.outputs.get(first.output)
    if model is None:
        stage = source.pipeline.maker(first.output, source.params)
        why = f"its {stage} stage has not run" if stage else "no stage of dvc.yaml has that output"
        raise UserError(f"{record.name} has no {first.output} in its dvc.lock: {why}")
    outs = [{**model, "path": first.champion}]
    outs += [{**record.outputs[each.output], "path": each.champion} for each in others if each.output in record.outputs]
    return [dict(sorted(out.items())) for out in outs]


def fitting(contract: Contract, record: GitRecord) -> list[ModelOutput]:
    """By output that is a model the contract's entry that fits a run. Raises UserError where the first has none."""
    entries: dict[str, ModelOutput] = {}
    for entry in contract.models:
        if contract.fits(entry.when, record.params):
            entries.setdefault(entry.output, entry)
    first = contract.models[0].output
    if first not in entries:
        raise UserError(f"lab.yaml: models: no entry of {first} fits the settings of {record.name}")
    return [entries.pop(first), *entries.values()]


def _revision(project: Project, record: GitRecord, name: str) -> str:
    commit = project.git.resolve(name)
    if commit is None:
        raise UserError(
            f"{record.name} has measured the model {name}, not in this clone: "
            "git fetch origin 'refs/exps/*:refs/exps/*'"
        )
    return commit


def _yaml(content: Any) -> str:
    """As YAML 1.2, which lab and DVC read, a line a value."""
    return yaml.dump(
        content, Dumper=yaml12.Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120
    )


def on_branch(project: Project) -> None:
    """Raises UserError where a commit would be on no branch."""
    if project.git.is_detached:
        raise UserError(
            "git's HEAD is detached, so that the champion's commit would be lost: git switch to a branch first"
        )


def install(project: Project, texts: dict[Path, str]) -> None:
    """Write the champion's texts and bring its files, from DVC's cache or its remote. Raises UserError."""
    paths = {path: project.root / path for path in texts}
    before = {path: file.read_bytes() if file.exists() else None for path, file in paths.items()}
    for path, text in texts.items():
        paths[path].parent.mkdir(parents=True, exist_ok=True)
        paths[path].write_text(text, encoding="utf-8")
    try:
        _bring(project)
    except UserError:
        for path, content in before.items():
            paths[path].unlink() if content is None else paths[path].write_bytes(content)
        if before[TRACKED] is None:
            shutil.rmtree(project.root / FOLDER)
        else:
            _bring(project)
        raise


def _bring(project: Project) -> None:
    """Lay the champion's files into its folder, and none of a former one's, which may have had some more."""
    for name in {PurePosixPath(model.champion).parts[0] for model in project.contract.models}:
        former = project.root / FOLDER / name
        former.unlink() if former.is_file() else shutil.rmtree(former, ignore_errors=True)
    project.store.checkout(project.root / TRACKED)


def commit(project: Project, message: str, *files: Path) -> None:
    """Commit files, or all of the champion's texts, and nothing else that may be staged. Raises UserError."""
    known = (path for path in (SAID, TRACKED, CARD, ledger.LEDGER) if (project.root / path).exists())
    paths = [str(path) for path in files or known]
    project.git.run("add", "--force", *paths)
    project.git.run("commit", "--quiet", "--message", message, "--", *paths)
    project.refresh()
