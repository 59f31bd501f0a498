"""`lab review`, `lab promote`: an answer brought to others, and a new champion."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.answer import judge
from lab.cli.app import arms, command, designs, open_project
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.cli.output import Rechecked


@command()
def review(
    design: Annotated[
        str | None,
        typer.Argument(
            metavar="[DESIGN]",
            help="A file of designs/, or its name; for --check the branch's.",
            autocompletion=designs,
        ),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Apply the best arm, whatever the verdict.")] = False,
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="ARM", help="Apply this arm.", autocompletion=arms)
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="Push data, experiments and branch.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Recompute the branch's report. Exit code 1: it disagrees.")
    ] = False,
    commit: Annotated[
        str | None,
        typer.Option("--commit", metavar="COMMIT", help="With --check: this one, by the code that is checked out."),
    ] = None,
    rerun: Annotated[
        int, typer.Option("--rerun", metavar="K", min=0, help="Repeat K runs, drawn at random, and compare.")
    ] = 0,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", metavar="PART", min=0, help="With --rerun: how far off on another machine."),
    ] = 0.01,
) -> object:
    """Make a branch of the winner's results and the report.

    It is exp/DESIGN, a commit on the baseline. The work tree stays as it is.
    """
    from lab.cli.output import Reviewed
    from lab.review import branch as branches
    from lab.review import push as pushing

    if commit is not None and not check:
        raise UserError("--commit says what is checked: lab review --check --commit COMMIT")
    if check:
        return recheck(design, commit)
    if rerun:
        return repeat(design, rerun, tolerance)
    if design is None or (best and arm is not None):
        raise UserError("expected a design, and one of --best and --arm at most: lab review DESIGN")
    study, verdict = judge(design)
    project = study.project
    branch = branches.make(study, verdict, branches.chosen(study, verdict, arm, best))
    record = branch.replicate.record if branch.replicate else None
    print(f"{verdict.outcome}: {study.design.title}")
    print(
        f"{branch.name} is {'now' if branch.changed else 'still'} at {branch.commit[:7]}, with the report and", end=" "
    )
    print(f"{record.name} applied" if record else "no run applied: the baseline stays as it is")
    if record and (left := branches.left(project, branch.commit)):
        print(
            f"It ended before {' and '.join(left)}: their results there are the baseline's, until dvc exp run makes "
            "them anew"
        )
    if record and (told := branches.unmade(project, branch.commit)):
        print(told)
    if push:
        files, experiments = pushing.push(study, branch)
        print(f"Pushed {files} new files of data, {experiments} experiments, and the branch")
        if warning := project.store.private_remote():
            print(f"lab: {warning}", file=sys.stderr)
    for line in branches.commands(project, branch)[push:]:
        print(f"  {line}")
    return Reviewed(
        design=study.design.name,
        outcome=verdict.outcome,
        branch=branch.name,
        commit=branch.commit,
        experiment=record.name if record else None,
    )


def recheck(design: str | None, commit: str | None) -> Rechecked:
    """Print the summary of a check as Markdown, and what disagrees as errors."""
    from lab.cli.output import Rechecked
    from lab.review import verify

    result = verify.check(open_project(), design, commit)
    if result.summary:
        print(result.summary)
    else:
        print("lab: there is nothing to check: the branch brings no report and no results", file=sys.stderr)
    for problem in result.problems[: verify.MOST]:
        print(f"lab: {problem}", file=sys.stderr)
    return Rechecked(problems=result.problems, summary=result.summary, exit_code=1 if result.problems else 0)


def repeat(design: str | None, count: int, tolerance: float) -> Rechecked:
    """Print what came out of runs carried out again. Exit code 1: something else than they had."""
    from lab.cli.output import Rechecked
    from lab.records import studies
    from lab.review import rerun

    if design is None:
        raise UserError("expected a design: lab review DESIGN --rerun K")
    study = studies.read(open_project(), design)
    lines, problems = [], []
    for record in rerun.drawn(study, count):
        print(f"{record.name}: from {record.baseline[:7]} again", flush=True)
        again = rerun.repeat(study, record)
        for line, is_same in rerun.compared(study, record, again, tolerance):
            print(f"  {'✓' if is_same else '✗'} {line}")
            lines.append(line)
            problems += [] if is_same else [f"{record.name}: {line}"]
    return Rechecked(problems=problems, summary="\n".join(lines), exit_code=1 if problems else 0)


@command()
def promote(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="DESIGN|EXPERIMENT", help="A file of designs/, its name, or a run's.", autocompletion=designs
        ),
    ] = None,
    force: Annotated[
        str,
        typer.Option("--force", metavar="REASON", help="Although the gate objects; champion.yaml keeps the reason."),
    ] = "",
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the champion before this one.")] = False,
) -> object:
    """Make a run the champion, if it beats the one that is.

    By its design's own rule, in a commit: `git push` is yours.
    """
    from lab.cli.output import Promoted
    from lab.records.champion import FOLDER
    from lab.review import promote as promotion
    from lab.tracking.mlflow import registry

    if rollback == (name is not None):
        raise UserError("expected a design or an experiment to promote, or --rollback alone")
    project = open_project()
    if name is None:
        champion, overridden = promotion.rollback(project), []
    else:
        champion, overridden = promotion.promote(project, name, force)
    for objection in overridden:
        print(f"overridden: {objection}")
    before = f", before it was {champion.replaces}" if champion.replaces and name else ""
    print(f"{champion.experiment} is the champion{before}.")
    for metric, measured in champion.metrics.items():
        ends = "" if measured.low is None else f", 95 % interval {measured.low:.4g} to {measured.high:.4g}"
        print(f"  {metric}: {measured.value:.4g}; over {measured.seeds} seeds {measured.mean:.4g}{ends}")
    if registered := registry.register(project):
        print(registered)
    print(f"Committed in {FOLDER}. Next: dvc push && git push -u origin HEAD")
    metrics = {name: measured.model_dump() for name, measured in champion.metrics.items()}
    replaced = champion.replaces if name else None
    return Promoted(experiment=champion.experiment, replaces=replaced, overridden=overridden, metrics=metrics)
