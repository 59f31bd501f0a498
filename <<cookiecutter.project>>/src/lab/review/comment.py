"""What a check says on a pull request, in Markdown. Texts from outside are no markup in it, and call nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lab import markdown
from lab.nested_keys import flat
from lab.report import sections
from lab.review import runs, signatures
from lab.review.allowed import harmless, uncalled
from lab.review.branch import left, unmade

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.records.commit import Commit
    from lab.study import Study

MOST = 20  # disagreements that are told


def summary(
    study: Study,
    judged: Verdict,
    target: str,
    main: str | None,
    problems: list[str],
    has_items: bool,
    more: Iterable[str] = (),
) -> str:
    """Question, verdict, what the check found, with `more` to know, and what differs from the baseline."""
    outcome = f"**{judged.outcome}**{' (exploratory)' if judged.exploratory else ''}"
    parts = [
        f"### {harmless(study.design.title)}",
        "",
        outcome,
        "",
        *(f"- {harmless(reason)}" for reason in judged.reasons),
        "",
        uncalled(sections.table(study, judged)),
        "",
        *conclusion(study, problems, has_items),
        "",
        *(f"- {harmless(note)}" for note in (*more, *notes(study, target, main))),
    ]
    for kind, table in tables(study, target).items():
        if table:
            shown = uncalled(markdown.table(["file", kind, "baseline", "branch"], table, texts=(0, 1)))
            parts += ["", f"<details><summary>{kind} against the baseline</summary>", "", shown, "", "</details>"]
    return "\n".join(parts) + "\n"


def conclusion(study: Study, problems: list[str], has_items: bool) -> Iterator[str]:
    """What the check found."""
    if problems:
        yield from ("**The branch does not hold what the records give:**", "")
        yield from (f"- {harmless(problem)}" for problem in problems[:MOST])
    else:
        yield f"Recomputed from {len(study.records)} records: every number of the report agrees."
    if len(problems) > MOST:
        yield f"- and {len(problems) - MOST} more"
    if not has_items:
        yield f"What was said of each test {study.contract.item} is not here: what follows from it was not recomputed."


def notes(study: Study, target: str, main: str | None) -> Iterator[str]:
    """What a reviewer has to know, and what no check can."""
    git, name = study.project.git, study.design.name
    if (
        main
        and target != main
        and git.head == target
        and git.object_id(main, "src/lab") != git.object_id(target, "src/lab")
    ):
        yield f"The branch's own code has checked it: lab review {name} --check on the default branch is what counts."
    if main and not git.is_ancestor(study.commit, main):
        yield f"The baseline {study.commit[:7]} is not on the default branch: a merge brings its commits along."
    if stale := left(study.project, target):
        stages = " and ".join(stale)
        yield f"Results of {stages} are still the baseline's: `dvc exp run` after the merge makes them anew."
    if told := unmade(study.project, target):
        yield f"{told}."
    for record in runs.superseded(study):
        block = record.experiment
        values = ", ".join(f"{metric} {record.value(metric)}" for metric in study.metrics)
        yield (
            f"Superseded: {record.name} ({record.commit[:7]}) ran {block.get('arm')}, seed {block.get('seed')}, too, "
            f"on {record.baseline[:7]}: {values}"
        )
    unseen = runs.absent(study, target)
    if unseen and unseen.others:
        more = f", nor are {len(unseen.others) - 1} others" if len(unseen.others) > 1 else ""
        yield f"Not to be looked at, and nothing here rests on it: {unseen.others[0]}{more}."
    if unseen is None:
        yield "DVC's remote can't be read from here: whether it has the runs' models and data was not looked at."
    yield from signatures.notes(study, target)
    yield f"That the runs were carried out is not to be seen in git: lab review {name} --rerun 2 repeats two of them."


def tables(study: Study, target: str) -> dict[str, list[tuple[str, str, Any, Any]]]:
    """The metrics and the params that differ from the baseline's: without those that one is broken down into."""
    before, after = (study.project.commit(rev) for rev in (study.commit, target))
    metrics = {commit.rev: dict(measured(study, commit)) for commit in (before, after)}
    params = {
        commit.rev: {("params.yaml", key): value for key, value in settings(commit)} for commit in (before, after)
    }
    return {
        kind: [
            (*place, each[before.rev].get(place, ""), each[after.rev].get(place, ""))
            for place in sorted(each[before.rev].keys() | each[after.rev].keys())
            if each[before.rev].get(place) != each[after.rev].get(place)
        ]
        for kind, each in {"metrics": metrics, "params": params}.items()
    }


def measured(study: Study, commit: Commit) -> Iterator[tuple[tuple[str, str], Any]]:
    """The metrics of a commit, each with its file and its name there."""
    paths = {name: path for path, name in commit.pipeline.metrics_files(study.contract, commit.params).items()}
    for name, content in commit.metrics.items():
        for key, value in flat(content).items():
            if not study.metric(f"{name}.{key}").by:
                yield (paths[name], key), value


def settings(commit: Commit) -> Iterable[tuple[str, Any]]:
    """The params of a commit, flat."""
    return flat(commit.params).items()
