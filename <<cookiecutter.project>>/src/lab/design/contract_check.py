"""Whether what lab.yaml says of a pipeline is true of it: its stages, files, metrics and settings are there."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lab.contract import FILE
from lab.errors import nearest
from lab.nested_keys import exists, leaves

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.pipeline import Pipeline


def mistakes(contract: Contract, pipeline: Pipeline, params: dict[str, Any]) -> Iterator[str]:
    """A sentence for each key of the contract that names what is not there, in a run with these params."""
    for key, stage in stages(contract):
        if stage not in pipeline.stages:
            yield f"{FILE}: {key}: dvc.yaml has no stage {stage}.{nearest(stage, pipeline.stages)}"
    written = [path for stage in pipeline.stages for path in pipeline.outputs(stage, params)]
    for key, candidates in outputs(contract, list(pipeline.stages)):
        if not any(pipeline.maker(path, params) for path in candidates):
            yield f"{FILE}: {key}: no stage of dvc.yaml writes {candidates[0]}.{nearest(candidates[0], written)}"
    files = list(pipeline.metrics_files(contract, params).values())
    known = [*files, "seconds"]  # how long a stage took, seconds.train, is lab's own to say
    if not files:
        yield f"{FILE}: metrics_in: dvc.yaml has no metrics file that matches {', '.join(contract.metrics_in)}"
    for key, name in metrics(contract):
        first = name.partition(".")[0]
        if files and not any(fnmatchcase(file.partition(".")[0], first) for file in known):
            yield f"{FILE}: {key}: {name} is in no metrics file of dvc.yaml: {', '.join(files)}.{nearest(first, files)}"
    for word, setting in contract.names.items():
        if not exists(params, setting):
            settings = [key for key, _ in leaves(params)]
            yield f"{FILE}: names.{word}: there is no setting {setting}.{nearest(setting, settings)}"


def stages(contract: Contract) -> Iterator[tuple[str, str]]:
    """Each stage that the contract names, with the key where."""
    yield from ((f"types.{kind}", stage) for kind, stage in contract.types.items())
    if contract.curves:
        yield "curves.stage", contract.curves.stage
    named = {"neutral": contract.neutral, "distinct": contract.distinct, "speed.latency": contract.speed.latency}
    yield from ((key, stage) for key, entry in named.items() for stage in entry)


def outputs(contract: Contract, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each output that the contract names, with the key where: the paths that it may be, for these stages."""
    if contract.predictions:
        yield "predictions.output", [contract.predictions_path(stage) or "" for stage in contract.types.values()]
    if contract.curves:
        yield "curves.output", [contract.curves.output]
    if contract.dataset:
        yield "dataset.output", [contract.dataset.output]
    if contract.effective:
        yield "effective", [contract.effective_path(stage) or "" for stage in names]
    yield from (("models.output", [model.output]) for model in contract.models)
    yield from ((f"distinct.{stage}.output", [entry.output]) for stage, entry in contract.distinct.items())


def metrics(contract: Contract) -> Iterator[tuple[str, str]]:
    """Each metric, or pattern of some, that the contract names in full, with the key where."""
    named = {"metrics": contract.metrics, "main": contract.main, "told": contract.told}
    yield from ((key, name) for key, names in named.items() for name in names if "." in name)
    if contract.best_epoch:
        yield "best_epoch", contract.best_epoch
