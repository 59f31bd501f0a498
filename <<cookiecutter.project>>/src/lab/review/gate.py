"""Whether a run may become the champion: measured by its design's own rule against the champion of now, by a level that
keeps the error of all promotions together (`analysis.online`).

Both on the same test items, by the same code and with the same seeds. Each objection is a sentence with its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lab.analysis.decisions import INVALID, SUPPORTED
from lab.analysis.gate import LEAST_SEEDS, challenge, crashed, hidden, lucky
from lab.design.plan import run_key
from lab.nested_keys import get
from lab.records import champion as champions
from lab.records import ledger, per_item
from lab.records.splits import looked_at, test_split
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.analysis.gate import Duel
    from lab.analysis.verdict import Verdict
    from lab.contract import Contract
    from lab.records.champion import Champion
    from lab.records.git_record import GitRecord
    from lab.study import Replicate, Study


@dataclass(frozen=True)
class Examined:
    """What the gate says of a run.

    Attributes:
        objections: why it should not become the champion, a sentence each; empty where nothing speaks against it.
        entry: what the ledger has to say of it.
    """

    objections: list[str]
    entry: ledger.Entry
    fought: Fought


def objections(study: Study, judged: Verdict, candidate: Replicate, champion: Champion | None) -> list[str]:
    """Why a run of a study should not become the champion; empty where nothing speaks against it."""
    return examine(study, judged, candidate, champion).objections


def examine(study: Study, judged: Verdict, candidate: Replicate, champion: Champion | None) -> Examined:
    """Hold a run against the gate's rules, and against the champion where there is one."""
    name = study.design.name
    fought = Fought([], candidates=[each for each in study.arms[candidate.arm] if each.finished])
    against = [*stale(study), *lucky(study, judged, candidate), *crashed(study, candidate.arm)]
    if judged.outcome == INVALID:
        against.append(f"{name} is INVALID: {judged.reasons[0]}")
    elif champion is not None:
        fought = champion_stays(study, judged, candidate, champion)
        against += fought.objections
    elif study.design.hypothesis and judged.winner != candidate.arm:
        winner = f"its winner is {judged.winner}" if judged.winner else "no arm of it has won"
        against.append(f"{name} is {judged.outcome}, and {winner}: {judged.reasons[0]}")
    if judged.exploratory:
        why = next((reason for reason in judged.reasons if reason.startswith("exploratory")), "exploratory")
        against.append(f"{why}: what was known before is no test. Run it again with fresh seeds")
    return Examined(against, entered(study, candidate, champion, fought), fought)


@dataclass(frozen=True)
class Fought:
    """How a run did against the champion: what speaks for that, and the test's numbers where there was one.

    `candidates` are the runs of its arm that were compared, with the champion's by seed.
    """

    objections: list[str]
    candidates: list[Replicate]
    champions: Mapping[int, GitRecord] = field(default_factory=dict)
    p: float | None = None
    level: float | None = None
    chosen_from: int = 1


def entered(study: Study, candidate: Replicate, champion: Champion | None, fought: Fought) -> ledger.Entry:
    """What the ledger says of a run at the gate."""
    return ledger.Entry(
        day=datetime.now(UTC).date(),
        design=study.design.name,
        digest=study.digest,
        arm=candidate.arm,
        experiment=candidate.record.name,
        against=champion.experiment if champion else None,
        seeds=len(fought.candidates),
        chosen_from=fought.chosen_from,
        p=None if fought.p is None else float(f"{fought.p:.6g}"),
        level=None if fought.level is None else float(f"{fought.level:.6g}"),
        looks=len(looked_at(study, candidate.record)),
    )


def stale(study: Study) -> Iterator[str]:
    """A baseline that is no longer in HEAD's history."""
    git, head = study.project.git, study.project.head
    if head and not git.is_ancestor(study.commit, head):
        missing, more = git.ahead_behind(study.commit, head)
        yield (
            f"a stale baseline: the runs started from {study.commit[:7]}, not in HEAD's history: it has {missing} "
            f"commits that HEAD lacks, and HEAD has {more} others. Run the design again on this branch"
        )


def champion_stays(study: Study, judged: Verdict, candidate: Replicate, champion: Champion) -> Fought:
    """What speaks for the champion: the design's rule, its guardrails, or a part of the whole that got worse."""
    record = candidate.record
    candidates = [replicate for replicate in study.arms[candidate.arm] if replicate.finished]
    if own_key(study, champion, candidate.seed) == record.key:
        same = f"{record.name} has the champion's own settings, with another seed: neither can beat the other"
        return Fought([same], candidates)
    champion_runs = measured_alike(study, champion, candidates)
    if len(champion_runs) < LEAST_SEEDS:
        return Fought([unmeasured(study, champion, record, sorted(champion_runs))], candidates)
    entries = ledger.read(study.project)
    candidates = [each for each in candidates if each.seed in champion_runs]
    duel = challenge(study, judged, candidates, champion_runs, ledger.next_level(entries), per_item.read)
    fought = Fought([], candidates, champion_runs, duel.p, duel.level, duel.chosen_from)
    before = next((each for each in entries if each.same_test(entered(study, candidate, champion, fought))), None)
    fought = replace(fought, level=before.level if before and before.level else duel.level)
    return replace(fought, objections=[*lost(study, champion, duel, fought)])


def lost(study: Study, champion: Champion, duel: Duel, fought: Fought, where: str = "") -> Iterator[str]:
    """Why a duel was not won: nothing is shown, or too little for so many tests; or parts of the whole got worse."""
    if duel.verdict.outcome != SUPPORTED:
        yield f"not shown to beat the champion, {champion.experiment}{where}: {'; '.join(duel.verdict.reasons)}"
        return
    if duel.p is not None and fought.level is not None and duel.p > fought.level:
        tests = sum(entry.p is not None for entry in ledger.read(study.project))
        yield too_weak(champion, replace(fought, p=duel.p), tests, where)
    yield from hidden(duel.pairs, fought.candidates[0].arm, duel.verdict, per_item.read(duel.pairs))


def too_weak(champion: Champion, fought: Fought, before: int, where: str = "") -> str:
    """That a difference would do for one test, and not for one of so many."""
    return (
        f"not shown to beat the champion, {champion.experiment}{where}, beyond what {before} tests before this one "
        f"leave to chance: p = {fought.p:.2g} (one-sided), where {fought.level:.2g} is left to it (LORD++ over "
        f"{ledger.LEDGER}). More seeds would tell"
    )


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
