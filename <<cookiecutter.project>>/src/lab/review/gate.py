"""Whether a run may become the champion: measured by its design's own rule against the champion of now.

Both on the same test items, by the same code and with the same seeds. Each objection is a sentence with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lab.analysis import verdict
from lab.analysis.decisions import INVALID, SUPPORTED
from lab.analysis.gate import LEAST_SEEDS, duel, hidden, lucky
from lab.design.plan import run_key
from lab.nested_keys import get
from lab.records import champion as champions
from lab.records import per_item
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.records.champion import Champion
    from lab.records.git_record import GitRecord
    from lab.study import Replicate, Study


def objections(study: Study, judged: Verdict, candidate: Replicate, champion: Champion | None) -> list[str]:
    """Why a run of a study should not become the champion; empty where nothing speaks against it."""
    name = study.design.name
    against = [*stale(study), *lucky(study, judged, candidate)]
    if judged.outcome == INVALID:
        against.append(f"{name} is INVALID: {judged.reasons[0]}")
    elif champion is not None:
        against += champion_stays(study, judged, candidate, champion)
    elif study.design.hypothesis and judged.winner != candidate.arm:
        winner = f"its winner is {judged.winner}" if judged.winner else "no arm of it has won"
        against.append(f"{name} is {judged.outcome}, and {winner}: {judged.reasons[0]}")
    return against


def stale(study: Study) -> Iterator[str]:
    """A baseline that is no longer in HEAD's history."""
    git, head = study.project.git, study.project.head
    if head and not git.is_ancestor(study.commit, head):
        missing, more = git.ahead_behind(study.commit, head)
        yield (
            f"a stale baseline: the runs started from {study.commit[:7]}, not in HEAD's history: it has {missing} "
            f"commits that HEAD lacks, and HEAD has {more} others. Run the design again on this branch"
        )


def champion_stays(study: Study, judged: Verdict, candidate: Replicate, champion: Champion) -> Iterator[str]:
    """What speaks for the champion: the design's rule, its guardrails, or a part of the whole that got worse."""
    record = candidate.record
    if own_key(study, champion, candidate.seed) == record.key:
        yield f"{record.name} has the champion's own settings, with another seed: neither can beat the other"
        return
    candidates = [replicate for replicate in study.arms[candidate.arm] if replicate.finished]
    champion_runs = measured_alike(study, champion, candidates)
    if len(champion_runs) < LEAST_SEEDS:
        yield unmeasured(study, champion, record, sorted(champion_runs))
        return
    pairs = duel(study, judged, [each for each in candidates if each.seed in champion_runs], champion_runs)
    examples = per_item.read(pairs)
    result = verdict.judge(pairs, examples)
    if result.outcome == SUPPORTED:
        yield from hidden(pairs, candidate.arm, result, examples)
    else:
        yield f"not shown to beat the champion, {champion.experiment}: {'; '.join(result.reasons)}"


def own_key(study: Study, champion: Champion, seed: int) -> str | None:
    """What the champion's run with a seed is known by; None where this clone has not fetched it."""
    params = champions.params(study.project, champion)
    return run_key(study.contract.with_seed(params, seed)) if params else None


def measured_alike(study: Study, champion: Champion, candidates: Iterable[Replicate]) -> dict[int, GitRecord]:
    """The champion's runs with the candidates' seeds, by their code and on their test items, up to the study's stage.

    They are its own, or its settings run again.
    """
    project = study.project
    finished = {record.commit: record for record in project.records() if record.status == FINISHED}
    alike = {}
    for candidate in candidates:
        again = project.by_key().get(own_key(study, champion, candidate.seed), [])
        own = finished.get(champion.runs.get(candidate.seed, ""))
        runs = [run for run in (*again, own) if run and run.status == FINISHED and run.reaches(study.stage)]
        runs = [run for run in runs if comparable(study, run, candidate.record)]
        if runs:
            alike[candidate.seed] = runs[-1]
    return alike


def comparable(study: Study, run: GitRecord, other: GitRecord) -> bool:
    """Whether two runs have in common what they need to: the data, which of it are test items, and the code."""
    return (
        run.data is not None
        and run.data == other.data
        and test_split(study.contract, run) == test_split(study.contract, other)
        and same_code(study, run, other)
    )


def same_code(study: Study, run: GitRecord, other: GitRecord) -> bool:
    """Whether two runs' commits have the same code up to the study's stage, whichever part of it their settings use."""
    stage = study.stage
    return all(
        run.content.code(params, stage) == other.content.code(params, stage) for params in (run.params, other.params)
    )


def test_split(contract: Contract, record: GitRecord) -> tuple[Any, ...]:
    """Which items a run was measured on, as far as its settings tell."""
    return tuple(get(record.params, key) for key in contract.test_split)


def unmeasured(study: Study, champion: Champion, record: GitRecord, seeds: list[int]) -> str:
    """Why the champion can't be compared with: other data, code, items or seeds, an early end; or it is not here."""
    design, stage, contract = study.design, study.stage, study.contract
    advice = f"Run the champion's design ({champion.design}) again on this commit, with the same seeds"
    if champion.data != record.data:
        return (
            f"a stale baseline: the champion was measured on the data {_short(champion.data)}, these runs on "
            f"{_short(record.data)}. {advice}"
        )
    if record.data is None:
        return (
            f"git knows no version of the data, so that nobody can tell whether both saw the same: dvc add it. {advice}"
        )
    champion_runs = [each for each in study.project.records() if each.commit in champion.runs.values()]
    absent = len(champion.runs) - len({each.commit for each in champion_runs})
    if absent:
        return (
            f"{absent} of the champion's {len(champion.runs)} runs are not in this clone: "
            "git fetch origin 'refs/exps/*:refs/exps/*'"
        )
    if not all(same_code(study, each, record) for each in champion_runs):
        return (
            f"a stale baseline: the champion was made by the code {champion.code}, these runs by "
            f"{record.code}. {advice}"
        )
    if any(test_split(contract, each) != test_split(contract, record) for each in champion_runs):
        return f"measured on other test {study.contract.item}s{_whose(contract, record, champion_runs[0])}"
    if not all(each.reaches(stage) for each in champion_runs):
        return (
            f"the champion's runs ended before the stage {stage}, which {design.name} is about: a design of type "
            f"{design.type} with the settings of its arm {champion.arm} ({champion.design}) measures it"
        )
    return (
        f"the champion was measured with the seeds {sorted(champion.runs)}: {len(seeds)} of them in common, and "
        f"{LEAST_SEEDS} are the least. {advice}"
    )


def _whose(contract: Contract, record: GitRecord, other: GitRecord) -> str:
    """The test items of two runs, by the setting that people know them by."""
    key = contract.test_split_name
    if key is None:
        return ""
    name, ours, theirs = key.rpartition(".")[2], get(record.params, key), get(other.params, key)
    split = ", split in another way" if ours == theirs else ""
    return f": these runs on those of {name} {ours}, the champion on those of {name} {theirs}{split}"


def _short(data: str | None) -> str:
    return (data or "unknown to git")[:7]
