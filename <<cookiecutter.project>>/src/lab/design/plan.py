"""A plan: the exact runs of a design, in the order in which they are queued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.design import search
from lab.design.compose import NEITHER, Composer, WrongKeys
from lab.design.expansion import Arm, Levels, arms, check_reference, is_bayesian
from lab.design.factorial import Model, model
from lab.design.levels import Level
from lab.design.model_refs import Resolve, pinned
from lab.design.models import Design, SweepDesign, digest
from lab.design.names import run_names
from lab.design.overrides import last_of_each, override, written_out
from lab.design.pipeline import Pipeline, waves
from lab.design.places import place_of, place_of_arm, said
from lab.design.plan_checks import check_differences, check_metrics, check_task, check_task_name, check_variable
from lab.design.questions import needed_metrics
from lab.errors import Keys, MistakesInFile, UserError, all_told
from lab.nested_keys import copied, get, put

if TYPE_CHECKING:
    from lab.contract import Contract

EPOCHS = "epochs"  # the key that says after how many epochs it is stopped, where it is
UNTIL = "until"  # the key of a run's membership that names the stage that it ends with, where that is not its type's
MEMBERSHIP = "experiment"  # the key of params.yaml that says what a run belongs to; no stage depends on it


@dataclass(frozen=True)
class Run:
    """One experiment.

    Attributes:
        name: the DVC experiment's name: unique in the plan, a valid git ref, without characters that need quoting.
        arm: the combination of levels, as people write it: `lr=0.001,batch_size=16`, `pruned`, `no_ema`.
        levels: factor -> level.
        seed, replicate: the seed, and its place in the design's list of seeds.
        wave: 0 runs first; a later wave starts when the ones before it have finished.
        overrides: the complete Hydra overrides, quoted.
        params: what params.yaml holds: the composed config with the membership block under `experiment`.
        target: the stage of dvc.yaml that the run ends with.
        key: the hash of params without the membership (`run_key`): two runs of equal key and target are the same run,
            given the same code and data.
        needs: the metrics that it has to measure, one of each group.
    """

    name: str
    arm: str
    levels: dict[str, Level]
    seed: int
    replicate: int
    wave: int
    overrides: list[str]
    params: dict[str, Any]
    target: str
    key: str
    needs: list[list[str]] = field(default_factory=list)

    def asdict(self) -> dict[str, Any]:
        """JSON-able; what it holds is shared, not copied."""
        return dict(vars(self))


@dataclass(frozen=True)
class Plan:
    """A design's runs.

    Attributes:
        design: what was planned.
        digest: the design's hash.
        runs: in stable order, by arm and then seed.
        undecided: how many combinations of a bayesian sweep are still to be chosen.
        finalists: of a search that is over, the arms that go on to the stage that answers; None of all others.
        searched: of a search the stage that its runs end with; empty where it is none.
    """

    design: Design
    digest: str
    runs: list[Run] = field(default_factory=list)
    undecided: int = 0
    finalists: Sequence[str] | None = None
    searched: str = ""

    @property
    def is_open(self) -> bool:
        """Whether more runs follow from what comes out: combinations of a bayesian sweep, or arms that go on."""
        return self.undecided > 0 or (bool(self.searched) and self.finalists is None)


def plan(
    design: Design,
    contract: Contract,
    composer: Composer,
    pipeline: Pipeline,
    date: str,
    resolve: Resolve | None = None,
    trials: Sequence[Levels] = (),
    finalists: Sequence[str] | None = None,
    stopped: Mapping[str, int] | None = None,
    asked: Mapping[str, int] | None = None,
) -> Plan:
    """The runs of a design; the same on every call with the same arguments.

    Args:
        design: the question.
        contract: what lab.yaml says of stages, seeds and names.
        composer: of the config.
        pipeline: of dvc.yaml.
        date: YYYY-MM-DD, for the names, unless the design has one: that of the commit that last changed the design.
        resolve: turns the name of another run's model into a commit, for a seed.
        trials: of a bayesian sweep, the combinations chosen so far.
        finalists: of a search that is over, the arms that go on.
        stopped: by arm the epochs after which it is stopped, if it is.
        asked: of seeds that are added as far as it takes, how many of them an arm is run with so far, by its name; left
            out, as many as there are at first.

    Raises:
        UserError: whatever keeps the design from being run as it stands.
    """
    target = contract.types[design.type]
    pairs = [
        (arm, seed)
        for arm in arms(design, trials)
        for seed in design.seeds[: (asked or {}).get(arm.name, design.first_seeds)]
    ]
    composed = compose_all(design, contract, pairs, composer, resolve)
    composed = [
        until(contract, stopped[arm.name], *run) if stopped and arm.name in stopped else run
        for (arm, _), run in zip(pairs, composed, strict=True)
    ]
    configs = [params for _, params in composed]
    for params in configs[:1]:
        pipeline.check_paths(target, params)
    names: list[str] = []
    all_told(  # after composing: a misspelt factor makes other arms
        lambda: check_metrics(design, contract, pipeline, target, configs),
        lambda: check_variable(design, composer, configs),
        lambda: check_reference(design, list(dict.fromkeys(arm.name for arm, _ in pairs))),
        lambda: names.extend(run_names(design, contract, pairs, configs, date)),
    )
    searched = searched_stage(design, contract, pipeline, target, composed[0][1] if composed else None)
    first = searched or target  # where the runs end, but for those that go on
    signatures = [pipeline.signatures(first, params) for params in configs]
    check_differences(design, first, target, pairs, [signature[first] for signature in signatures])
    blocks, planned_waves = memberships(design, pairs), waves(pipeline, signatures)
    runs = []
    for (arm, seed), (overrides, params), name, block, wave in zip(
        pairs, composed, names, blocks, planned_waves, strict=True
    ):
        goes_on, rung = arm.name in (finalists or ()), (stopped or {}).get(arm.name)
        is_search = bool(searched) and not goes_on
        is_longer = goes_on and first != target
        ending = f"-{target}" if is_longer else f"-e{rung}" if rung else ""
        leg = ({UNTIL: first} if is_search and first != target else {}) | ({EPOCHS: rung} if rung else {})
        runs.append(
            Run(
                name=f"{name}{ending}",
                arm=arm.name,
                levels=arm.levels,
                seed=seed,
                replicate=block["replicate"],
                wave=max(planned_waves) + 1 if is_longer else wave,
                overrides=overrides,
                params={**params, MEMBERSHIP: {**block, **leg}},
                target=first if is_search else target,
                key=run_key(params),
                needs=needed_metrics(design, contract, is_search),
            )
        )
    undecided = (design.sweep.max_runs or 0) - len(trials) if is_bayesian(design) else 0
    return Plan(design, digest(design), runs, max(0, undecided), finalists, searched)


def until(
    contract: Contract, epochs: int, overrides: list[str], params: dict[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """A run that is stopped after so many epochs. Raises UserError: lab.yaml names no setting for that."""
    key = contract.curves.until if contract.curves else None
    if key is None:
        text = "sweep.halving: lab.yaml names no setting that ends a training early (curves.until)"
        raise MistakesInFile((("sweep", "halving"), text))
    stopped = copied(params)
    put(stopped, key, epochs)
    return [*overrides, override(key, epochs)], stopped


def whole_epochs(plan: Plan, contract: Contract) -> int:
    """How long the runs of a plan train that are not stopped. Raises UserError: not all as long."""
    key = contract.curves.epochs if contract.curves else None
    found = {get(run.params, key) for run in plan.runs} if key else set()
    if len(found) != 1 or not isinstance(known := found.pop(), int):
        text = f"sweep.halving expects that all runs train as long: {key or 'curves.epochs of lab.yaml'}"
        raise MistakesInFile((("sweep", "halving"), text))
    return known


def searched_stage(
    design: Design, contract: Contract, pipeline: Pipeline, target: str, params: dict[str, Any] | None
) -> str:
    """The stage that the runs of a search end with; empty where the design is none.

    Raises UserError: lab.yaml names a twin of the metric that no stage up to `target` writes.
    """
    names = search.metrics(design, contract)
    if not names:
        stated = design.sweep.model_fields_set & {"finalists", "halving"} if isinstance(design, SweepDesign) else ()
        if stated:
            why = "a search by the twin that lab.yaml gives a metric of recipes, with a list of seeds"
            raise MistakesInFile(*((("sweep", key), f"{key} belongs to {why}") for key in sorted(stated)))
        return ""
    stages = [pipeline.measures(name, contract, params) for name in names]
    found = next((stage for stage in stages if stage in pipeline.chain(target)), None)
    if found is None:
        raise UserError(f"lab.yaml: {names[0]} is a metric's twin, and no stage up to {target} writes it")
    return found


def model_of(plan: Plan) -> Model:
    """Which effects a plan's arms tell."""
    arms = {run.arm: run.levels for run in plan.runs}
    return model([*arms.values()], plan.design.crossed())


def memberships(design: Design, pairs: list[tuple[Arm, int]]) -> list[dict[str, Any]]:
    """For each run what it belongs to, so that its record tells by itself, on any clone."""
    first = pairs[0][0].name if pairs and design.kind == "comparison" else None
    common = {"design": design.name, "digest": digest(design), "kind": design.kind, "type": design.type}
    names = list(dict.fromkeys(arm.name for arm, _ in pairs))
    return [
        {
            **common,
            "arm": arm.name,
            "levels": arm.levels,
            "seed": seed,
            "replicate": design.seeds.index(seed),
            "baseline": design.reference or first,
            "index": names.index(arm.name) * len(design.seeds) + design.seeds.index(seed),
        }
        for arm, seed in pairs
    ]


def compose_all(
    design: Design, contract: Contract, pairs: list[tuple[Arm, int]], composer: Composer, resolve: Resolve | None
) -> list[tuple[list[str], dict[str, Any]]]:
    """The overrides and config of each run. Raises UserError: of what isn't there, all that the design names."""
    check_task_name(design, contract, composer)
    composed, wrong = [], dict[tuple[Keys, str], None]()
    for arm, seed in pairs:
        try:
            composed.append(compose(design, contract, arm, seed, composer, resolve))
        except WrongKeys as error:
            for key, problem in error.mistakes:
                place = place_of(key, design, contract.seeds, arm.name, arm.levels, seed)
                if NEITHER in problem and key in design.factors():  # and not its level
                    place = design.place(key)
                wrong[place, f"{said(place, key)}: {problem}" if place else f"{arm.name}: {problem}"] = None
        except UserError as error:
            wrong[place_of_arm(design, arm), f"{arm.name}: {error}"] = None
    if wrong:
        raise MistakesInFile(*wrong)
    return composed


def compose(
    design: Design, contract: Contract, arm: Arm, seed: int, composer: Composer, resolve: Resolve | None
) -> tuple[list[str], dict[str, Any]]:
    """A run's overrides and config. Raises UserError."""
    task = [override(contract.task.key, design.task)] if contract.task and design.task else []
    models = (contract.model_keys.one, contract.model_keys.several)
    stated = [written_out(text, models) for text in [*task, *design.base, *arm.overrides]]
    composer.check_closed(stated, contract.final)
    overrides = last_of_each([*stated, *(override(key, seed) for key in contract.seeds)])
    params = composer.shared(overrides)
    check_task(contract, params)
    if resolve is not None and (fixed := pinned(params, seed, resolve, contract)):
        overrides = last_of_each([*overrides, *fixed])
        params = composer.shared(overrides)
    return overrides, without_membership(params)


def run_key(params: dict[str, Any]) -> str:
    """The hash by which equal runs are found: of the config without what the run belongs to."""
    return hashlib.sha256(json.dumps(without_membership(params), sort_keys=True, default=str).encode()).hexdigest()[:16]


def without_membership(params: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, without what it belongs to."""
    return {key: value for key, value in params.items() if key != MEMBERSHIP}
