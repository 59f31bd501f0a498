"""Whether the runs of a design are what it asks for: of its task, with its metrics, and each another experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.design.compose import Composer, WrongKeys
from lab.design.models import ComparisonDesign, Design
from lab.design.places import place_of_arm
from lab.errors import Keys, Mistake, MistakesInFile, UserError, not_one_of
from lab.nested_keys import exists, find, get

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.expansion import Arm
    from lab.design.pipeline import Pipeline


def check_task_name(design: Design, contract: Contract, composer: Composer) -> None:
    """Raises UserError: a task that the project hasn't."""
    key = contract.task.key if contract.task else ""
    if design.task is None or key not in composer.source.groups or design.task in (known := composer.options(key)):
        return
    raise MistakesInFile((("task",), f"task: {not_one_of(design.task, known)}"))


def check_task(contract: Contract, params: dict[str, Any]) -> None:
    """Raises WrongKeys: a part of the config, such as its data or model, is for another task."""
    if contract.task is None:
        return
    task, wrong = contract.task_of(params), list[tuple[str, str]]()
    for key in contract.task.same:
        own, group = find(params, key), key.rpartition(".")[0]
        if own != task:
            name = get(params, f"{group}.name")
            part = key if name is None else f"{group}={name}"
            wrong.append((key, f"{part} is for {own}, but {contract.task.key} is {task}"))
    if wrong:
        raise WrongKeys(wrong)


def metrics(design: Design) -> dict[Keys, str]:
    """The metrics that a design names, by the keys that lead to where it does."""
    if design.hypothesis is None:
        return {}
    guardrails = enumerate(design.hypothesis.guardrails)
    tiers = ((name, metric) for name, tier in design.targets.items() if isinstance(tier, dict) for metric in tier)
    return {
        ("hypothesis", "metric"): design.hypothesis.metric,
        **{("hypothesis", "guardrails", i, "metric"): guardrail.metric for i, guardrail in guardrails},
        **{("targets", name, metric): metric for name, metric in tiers},
    }


def check_metrics(
    design: Design, contract: Contract, pipeline: Pipeline, target: str, configs: list[dict[str, Any]]
) -> None:
    """Raises UserError: metrics that no stage up to `target` writes, or that are another task's."""
    wrong: list[Mistake] = []
    for params in configs[:1]:
        task = contract.task_of(params)
        for keys, name in metrics(design).items():
            place = ".".join(map(str, keys))
            try:
                pipeline.check_metric(place, name, target, contract, params)
            except UserError as error:
                wrong.append((keys, str(error)))
            known = contract.metric(name).tasks
            if known and task in contract.measured_tasks and task not in known:
                own = [each for each in contract.main_metrics(target) if task in contract.metric(each).tasks]
                text = f"{place}: {name} is measured of {' and '.join(known)}, and this is {task}"
                wrong.append((keys, f"{text}: {', '.join(own)}" if own else text))
    if wrong:
        raise MistakesInFile(*wrong)


def check_variable(design: Design, composer: Composer, composed: list[dict[str, Any]]) -> None:
    """Raises UserError: the variable of arms with names is in no arm's config. Of other arms, composing has told."""
    variable = design.comparison.variable if isinstance(design, ComparisonDesign) else None
    if variable is None or any(exists(params, variable) for params in composed):
        return
    try:
        composer.check_key(variable, composed[0])
    except UserError as error:
        raise MistakesInFile((("comparison", "variable"), f"comparison.variable: {error}")) from error


def check_differences(
    design: Design, target: str, last: str, pairs: list[tuple[Arm, int]], signatures: list[str]
) -> None:
    """Raises UserError: two arms that no stage can tell apart, since what they differ in is read by none."""
    seen: dict[str, tuple[str, int]] = {}
    for (arm, seed), signature in zip(pairs, signatures, strict=True):
        if signature in seen:
            one, its_seed = seen[signature]
            both = f"{one} and {arm.name}" if one != arm.name else f"{one} with the seeds {its_seed} and {seed}"
            search_ends = " (where a search ends)" if target != last else ""
            text = f"{both} are the same experiment: up to the stage {target}{search_ends}, nothing reads what they "
            raise MistakesInFile((place_of_arm(design, arm) if one != arm.name else ("seeds",), f"{text}differ in"))
        seen[signature] = (arm.name, seed)
