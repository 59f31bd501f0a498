"""How often a verdict and the gate of `lab promote` are wrong, on made-up studies: each row of docs/how-we-decide.md.

    demo/.venv/bin/python benchmarks/rigor.py [--studies 2000] [--rows luck,promote] [--json rigor.json] [--check]

With the environment of a generated project (here demo). Each study is made by chance, of a world in which nothing is to
be found, and goes through the product's own `judge` or gate. Told is the share of wrong answers with its Monte-Carlo
error, 1.96 √(p (1 - p) / n); beside it, where they apply, what others say of the very same numbers: the paired t-test
over seeds alone, Wilcoxon's, the percentile bootstrap over seeds, and a region of practical equivalence (ROPE, Kruschke
2018: the posterior of the mean with a flat prior, P(better by more than min_effect) > 95 %). `--check` ends with 1
where a level is exceeded beyond the Monte-Carlo error; the default of 300 studies a row takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

TEMPLATE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TEMPLATE / "<<cookiecutter.project>>" / "src"), str(TEMPLATE / "tests" / "lab")]
VISION = import_module("contracts").VISION
scorers = import_module("scorers")

from lab.analysis import gate, online, verdict  # noqa: E402
from lab.design import design_file, expansion  # noqa: E402
from lab.study import FAILED, FINISHED, Examples, Replicate, Study  # noqa: E402

METRIC = "infer.accuracy"
CLUSTERED = VISION.model_copy(update={"predictions": VISION.predictions.model_copy(update={"cluster": "group"})})
TOLD = 0.025  # what SUPPORTED by chance may come to: one side of 5 %


@dataclass
class Run:
    """A record with metrics."""

    metrics: dict[str, float]
    status: str = FINISHED
    name: str = "run"
    params: dict[str, Any] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        return self.metrics.get(metric) if self.status == FINISHED else None


@dataclass(frozen=True)
class Row:
    """A situation: what may go wrong in it, how often it may, and whether it does in one study made by chance.

    `study` returns whether the product was wrong, and the differences by seed for the others, if that is fair to them.
    """

    name: str
    says: str
    limit: float
    study: Callable[[np.random.Generator], tuple[float, Sequence[float] | None]]
    share: float = 1.0  # of --studies: for those that take long


# Studies


def parsed(
    kind: str, arms: Sequence[str], seeds: int, type: str = "train", contract: Any = VISION, **claim: Any
) -> Any:
    """A design, as its file would be read."""
    content: dict[str, Any] = {
        "kind": kind,
        "type": type,
        "title": "What?",
        "name": "made",
        "seeds": list(range(seeds)),
        "hypothesis": {"claim": "It is better", "metric": METRIC, **claim},
    }
    if kind == "comparison":
        content["comparison"] = {"variable": "arm", "values": list(arms)}
    return design_file.parse(content, contract)


def study(design: Any, values: dict[str, Sequence[Any]], contract: Any = VISION) -> Study:
    """A study whose runs measured these values, by arm and seed; of None one failed."""
    names = [arm.name for arm in expansion.arms(design)]
    replicates = []
    for arm, row in zip(names, values.values(), strict=True):
        for seed, value in enumerate(row):
            run = value if isinstance(value, Run) else Run({METRIC: value}, FAILED if value is None else FINISHED)
            replicates.append(Replicate(arm, {}, seed, run))
    return Study(design, contract, "", "", "", replicates)


def seen(
    design: Any, right: dict[str, np.ndarray], contract: Any = VISION, groups: Any = None
) -> tuple[Study, Examples]:
    """A study of models that had these test items right (seeds, items), by arm, and what they said of each."""
    names = [arm.name for arm in expansion.arms(design)]
    frames = {}
    for name, rows in zip(names, right.values(), strict=True):
        for seed, row in enumerate(rows):
            frame = pd.DataFrame({"path": ITEMS[: len(row)], "correct": row})
            frames[name, seed] = frame if groups is None else frame.assign(group=groups)
    count = next(iter(right.values())).shape[1]
    runs = {
        name: [Run({METRIC: float(row.mean()), "infer.images": count}) for row in rows] for name, rows in right.items()
    }
    return study(design, runs, contract), scorers.examples(frames)


ITEMS = np.array([f"{i:05d}.png" for i in range(2000)])


def answers(chance: np.random.Generator, difficulty: np.ndarray, seeds: int, spread: float) -> np.ndarray:
    """Which items (seeds, items) models of a recipe have right, whose skill varies from seed to seed by `spread`.

    An item is right where a normal of its own, of this seed, is above its difficulty.
    """
    skill = chance.normal(0, spread, (seeds, 1))
    return chance.normal(0, 0.5, (seeds, len(difficulty))) + skill > difficulty


def threshold(accuracy: float, *deviations: float) -> float:
    """The mean difficulty with which models have this accuracy in the population."""
    return -stats.norm.ppf(accuracy) * math.sqrt(sum(d * d for d in (0.5, *deviations)))


# Situations


def normal(seeds: int) -> Row:
    design = parsed("comparison", ["old", "new"], seeds, arm="new", versus="old", min_effect=0.005)

    def one(chance: np.random.Generator) -> tuple[bool, Sequence[float]]:
        old, new = chance.normal(0.9, 0.01, (2, seeds))
        found = verdict.judge(study(design, {"old": old, "new": new}))
        return found.outcome == "SUPPORTED", new - old

    return Row(f"normal-{seeds}", f"two equal recipes, {seeds} seeds", TOLD, one)


def sweep(arms: int, seeds: int = 5) -> Row:
    names = [f"a{i}" for i in range(arms)]
    design = parsed("comparison", names, seeds, versus="a0")

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        table = chance.normal(0.9, 0.01, (arms, seeds))
        found = verdict.judge(study(design, dict(zip(names, table, strict=True))))
        return found.outcome == "SUPPORTED", None

    return Row(f"sweep-{arms}", f"{arms - 1} arms equal to their reference, Holm", TOLD, one)


def luck(items: int, seeds: int, type: str = "train") -> Row:
    """Two recipes that are as good in the population, each with items that suit it better."""
    design = parsed("comparison", ["old", "new"], seeds, type, arm="new", versus="old")
    level = threshold(0.9, 0.8, 0.7, 0.05)

    def one(chance: np.random.Generator) -> tuple[bool, Sequence[float]]:
        shared = chance.normal(level, 0.8, items)
        right = {n: answers(chance, shared + chance.normal(0, 0.7, items), seeds, 0.05) for n in ("old", "new")}
        found = verdict.judge(*seen(design, right))
        return found.outcome == "SUPPORTED", right["new"].mean(1) - right["old"].mean(1)

    kind = "equal recipes" if type == "train" else "equal recipes asked of by type infer"
    return Row(f"luck-{type}-{items}-{seeds}", f"{kind}, {items} images, {seeds} seeds", TOLD, one)


def clusters(type: str, seeds: int) -> Row:
    """Thirty patients with ten images each, which have half of their luck in common."""
    design = parsed("comparison", ["old", "new"], seeds, type, CLUSTERED, arm="new", versus="old")
    groups = np.repeat([f"patient {i}" for i in range(30)], 10)
    level = threshold(0.8, 0.5, 0.7, 0.7, 0.05)

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        shared = chance.normal(level, 0.5, 300)
        right = {
            name: answers(
                chance, shared + np.repeat(chance.normal(0, 0.7, 30), 10) + chance.normal(0, 0.7, 300), seeds, 0.05
            )
            for name in ("old", "new")
        }
        found = verdict.judge(*seen(design, right, CLUSTERED, groups))
        return found.outcome == "SUPPORTED", None

    return Row(f"clusters-{type}", f"30 patients x 10 images, half shared, type {type}, {seeds} seeds", TOLD, one)


def constant(accuracy: float, seeds: int, has_items: bool = True, items: int = 300) -> Row:
    """A recipe that is in the population exactly as good as is expected."""
    design = parsed("single", [], seeds, expected=accuracy)
    level = threshold(accuracy, 0.8, 0.1)

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        made, examples = seen(design, {"only": answers(chance, chance.normal(level, 0.8, items), seeds, 0.1)})
        found = verdict.judge(made, examples if has_items else Examples())
        return found.outcome == "SUPPORTED", None

    without = "" if has_items else ", the images' table lost"
    name = f"constant-{accuracy:g}-{seeds}" + ("" if has_items else "-lost")
    return Row(name, f"against a constant {accuracy:g}, {items} images, {seeds} seeds{without}", TOLD, one)


def guardrail(seeds: int) -> Row:
    """An arm that is better, and whose guarded metric is exactly as much worse as it may be."""
    rail = "infer_speed.batch_1.latency_ms.p50"
    design = parsed(
        "comparison", ["old", "new"], seeds, arm="new", versus="old", guardrails=[{"metric": rail, "max_increase": 1.0}]
    )

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        rows = {
            name: [Run({METRIC: value, rail: ms}) for value, ms in zip(*two, strict=True)]
            for name, two in {
                "old": (chance.normal(0.80, 0.001, seeds), chance.normal(10, 0.5, seeds)),
                "new": (chance.normal(0.90, 0.001, seeds), chance.normal(11, 0.5, seeds)),
            }.items()
        }
        return verdict.judge(study(design, rows)).guardrails[0].ok is True, None

    return Row(f"guardrail-{seeds}", f"a guardrail exactly at its limit holds, {seeds} seeds", 0.05, one)


def promote(arms: int, seeds: int = 5) -> Row:
    """The best of several arms, all as good as the champion."""
    names = [f"a{i}" for i in range(arms + 1)]
    design = parsed("comparison", names, seeds, versus="a0")

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        table = chance.normal(0.9, 0.01, (arms + 2, seeds))
        made = study(design, dict(zip(names, table[1:], strict=True)))
        arm, duel = challenged(made, table[0], TOLD)
        return duel.won, None

    return Row(f"promote-{arms}", f"lab promote: the best of {arms} arms equal to the champion", TOLD, one)


def challenged(made: Study, champion: Sequence[float], level: float) -> tuple[str, gate.Duel]:
    """The arm of a study that would be promoted, and how it does against the champion's values."""
    judged = verdict.judge(made)
    candidate = gate.typical(made, judged.winner or judged.best, judged.metric)
    runs = {seed: Run({METRIC: value}) for seed, value in enumerate(champion)}
    return candidate.arm, gate.challenge(made, judged, made.arms[candidate.arm], runs, level)


def projects(designs: int, seeds: int = 5, better: float = 0.3) -> Row:
    """The share of a project's champions that are no better than the one before.

    Each design has one to six arms. In some, one is better by up to three standard deviations of a seed; all others are
    as good as the champion. Its runs stay what they are, until another takes its place.
    """
    names = [f"a{i}" for i in range(7)]
    known = {k: parsed("comparison", names[: k + 1], seeds, versus="a0") for k in range(1, 7)}

    def one(chance: np.random.Generator) -> tuple[float, None]:
        skill, won, wrong = 0.9, [], 0
        champion = chance.normal(skill, 0.01, seeds)
        for _ in range(designs):
            k = int(chance.integers(1, 7))
            skills = np.full(k + 1, skill)
            skills[1] += chance.uniform(0.01, 0.03) if chance.random() < better else 0.0
            table = chance.normal(skills[:, None], 0.01, (k + 1, seeds))
            rows = dict(zip(names, table, strict=False))
            arm, duel = challenged(study(known[k], rows), champion, online.level(won))
            won.append(duel.p is not None and duel.p <= duel.level)
            if duel.won:
                new = skills[names.index(arm)]
                wrong, skill, champion = wrong + bool(new <= skill), new, rows[arm]
        return wrong / max(1, sum(won)), None

    return Row(f"projects-{designs}", f"champions of {designs} designs, no better than the last", 0.05, one, 0.1)


def promotions(chance: np.random.Generator, proposals: int, better: float = 0.0, seeds: int = 5) -> int:
    """How many promotions an agent wins that makes one proposal after the other, each as good as the champion, or
    better by so many standard deviations of a seed.

    Each is a design with its own runs, held against the champion's; what wins is the champion from then on.
    """
    design = parsed("comparison", ["old", "new"], seeds, arm="new", versus="old")
    skill, champion, won = 0.9, chance.normal(0.9, 0.01, seeds), []
    for _ in range(proposals):
        old, new = chance.normal([[skill], [skill + better * 0.01]], 0.01, (2, seeds))
        _, duel = challenged(study(design, {"old": old, "new": new}), champion, online.level(won))
        won.append(duel.p is not None and duel.p <= duel.level)
        if duel.won:
            skill, champion = skill + better * 0.01, new
    return sum(won)


def agent(proposals: int, most: int = 5) -> Row:
    """An agent whose proposals change nothing."""

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        return promotions(chance, proposals) > most, None

    says = f"an agent wins more than {most} promotions by {proposals} proposals that change nothing"
    return Row(f"agent-{proposals}", says, 0.01, one, 0.05)


def crashes() -> Row:
    """An arm that fails with half of its seeds, the worse ones, and is as good as its reference where it doesn't."""
    design = parsed("comparison", ["old", "new"], 6, arm="new", versus="old")

    def one(chance: np.random.Generator) -> tuple[bool, None]:
        old, new = chance.normal(0.9, 0.01, (2, 6))
        kept = set(np.argsort(new)[3:].tolist())
        values = [value if i in kept else None for i, value in enumerate(new.tolist())]
        return verdict.judge(study(design, {"old": old, "new": values})).outcome == "SUPPORTED", None

    return Row("crashes", "an equal arm of which the worse half of six runs failed", TOLD, one)


ROWS = [
    *map(normal, (2, 3, 5, 10)),
    *map(sweep, (7, 19)),
    *map(promote, (1, 6, 12, 18)),
    projects(30),
    agent(100),
    *(luck(items, seeds) for items, seeds in ((300, 3), (300, 10), (1000, 3), (1000, 10))),
    luck(300, 5, "infer"),
    clusters("infer", 1),
    clusters("train", 5),
    *(constant(accuracy, seeds) for accuracy in (0.97, 0.99) for seeds in (3, 10)),
    *(constant(0.99, seeds, has_items=False) for seeds in (3, 10)),
    *map(guardrail, (3, 5)),
    crashes(),
]


# What others would say


def others(differences: Sequence[float], chance: np.random.Generator, least: float = 0.0) -> dict[str, bool]:
    """Whether other rules find an improvement in differences by seed."""
    values = np.asarray(differences, float)
    n, mean = len(values), values.mean()
    if values.std() == 0:
        return dict.fromkeys(("t", "wilcoxon", "percentile", "rope"), bool(mean > 0))
    error = values.std(ddof=1) / math.sqrt(n)
    draws = values[chance.integers(0, n, (1000, n))].mean(1)
    return {
        "t": bool(mean > 0 and stats.ttest_1samp(values, 0).pvalue < 0.05),
        "wilcoxon": bool(mean > 0 and stats.wilcoxon(values).pvalue < 0.05),
        "percentile": bool(np.quantile(draws, 0.025) > 0),
        "rope": bool(stats.t.sf((least - mean) / error, n - 1) > 0.95),
    }


# Told


def measured(row: Row, studies: int, seed: int) -> dict[str, Any]:
    """How often a situation is answered wrongly, by the product and by others."""
    chance = np.random.default_rng([seed, *row.name.encode()])
    n, begun = max(1, int(studies * row.share)), time.process_time()
    wrong, by_others = 0.0, {}
    for _ in range(n):
        mistaken, differences = row.study(chance)
        wrong += mistaken
        if differences is not None:
            for name, found in others(differences, chance).items():
                by_others[name] = by_others.get(name, 0) + found
    rate = wrong / n
    return {
        "row": row.name,
        "says": row.says,
        "n": n,
        "rate": rate,
        "error": 1.96 * math.sqrt(max(rate * (1 - rate), 1 / n) / n),
        "limit": row.limit,
        "holds": bool(
            stats.binom.sf(math.ceil(wrong) - 1, n, row.limit * 1.1) > 0.001
        ),  # a tenth above still passes for the limit
        "others": {name: count / n for name, count in by_others.items()},
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def told(found: dict[str, Any]) -> str:
    """A row of the table."""
    beside = ", ".join(f"{name} {100 * rate:.1f}" for name, rate in found["others"].items())
    return (
        f"{found['row']:22} {100 * found['rate']:5.1f} ± {100 * found['error']:3.1f} %  "
        f"of {100 * found['limit']:3.1f}  "
        f"{'' if found['holds'] else 'EXCEEDED '}{found['says']}{f'  [{beside}]' if beside else ''}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300, help="made for each row")
    parser.add_argument("--rows", default="", help="beginnings of rows' names, separated by commas; left out, all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--check", action="store_true", help="end with 1 where a level is exceeded")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # scipy's, on samples that are too small for it
    starts = tuple(asked.rows.split(","))
    found = []
    for row in ROWS:
        if row.name.startswith(starts):
            found.append(measured(row, asked.studies, asked.seed))
            print(told(found[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(asked.check and not all(row["holds"] for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
