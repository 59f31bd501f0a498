"""Whether what lab.yaml says of a pipeline is true: its stages, files, metrics, settings and columns are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.contract import FILE
from lab.errors import nearest
from lab.nested_keys import exists, leaves

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.design.pipeline import Pipeline

Named = Iterator[tuple[str, str, bool]]  # the key of lab.yaml, what it names, and whether a verdict depends on it


class Mistake(NamedTuple):
    """A key of lab.yaml that names what is not there. It `blocks` where a verdict would be wrong, or no report made."""

    text: str
    blocks: bool


def mistakes(
    contract: Contract, pipeline: Pipeline, runs: Sequence[dict[str, Any]], groups: Iterable[str] = ()
) -> Iterator[Mistake]:
    """Each key of the contract that names what none of the runs with these params has.

    `groups` are the folders of conf/, which a design may vary as a whole.
    """
    written = [path for stage in pipeline.stages for path in pipeline.outputs(stage, runs[0])]
    files = list(pipeline.metrics_files(contract, runs[0]).values())
    known = [key for params in runs for key, _ in leaves(params)]
    if not files:
        patterns = ", ".join(contract.metrics_in)
        yield Mistake(f"{FILE}: metrics_in: dvc.yaml has no metrics file that matches {patterns}", True)

    def is_written(path: str) -> bool:
        return any(pipeline.maker(path, params) for params in runs)

    def is_set(key: str) -> bool:
        return key in groups or any(exists(params, key) for params in runs)

    def is_measured(name: str) -> bool:  # how long a stage took, seconds.train, is lab's own to say
        first = name.partition(".")[0]
        return not files or any(fnmatchcase(file.partition(".")[0], first) for file in (*files, "seconds"))

    yield from _lacking(stages(contract), pipeline.stages.__contains__, "dvc.yaml has no stage {}", pipeline.stages)
    yield from _lacking(outputs(contract, pipeline, runs[0]), is_written, "no stage of dvc.yaml writes {}", written)
    yield from _lacking(settings(contract), is_set, "there is no setting {}", known)
    where = f"{{}} is in no metrics file of dvc.yaml: {', '.join(files)}"
    yield from _lacking(metrics(contract), is_measured, where, files)


def column_mistakes(contract: Contract, columns: Sequence[str]) -> Iterator[Mistake]:
    """Each column that the contract names and the table of what was said of the test items has not."""
    said = contract.predictions
    if said is not None:
        named = [("item", said.item, True), *([("cluster", said.cluster, False)] if said.cluster else [])]
        named += [("slices", name, True) for name in said.slices]  # `skip` names columns of any task
        keys = ((f"predictions.{key}", name, blocks) for key, name, blocks in named)
        yield from _lacking(keys, columns.__contains__, f"{said.output} has no column {{}}", columns)


def task_mistakes(contract: Contract, tasks: Sequence[str]) -> Iterator[Mistake]:
    """Each value of the task's setting that the contract names and conf/ has not."""
    if contract.task is not None and tasks:
        named = [(f"task.unused_packages.{task}", task, False) for task in contract.task.unused_packages]
        measured = contract.metrics.items()
        named += [(f"metrics.{name}.tasks", task, False) for name, entry in measured for task in entry.tasks]
        yield from _lacking(iter(named), tasks.__contains__, f"{contract.task.key} is never {{}}", tasks)


def _lacking(named: Named, is_there: Callable[[str], bool], sentence: str, known: Iterable[str]) -> Iterator[Mistake]:
    """A mistake for each that is not there, with the most similar that is. `{}` in the sentence stands for its name."""
    for key, name, blocks in named:
        if not is_there(name):
            last = name.partition(".")[0] if "metrics file" in sentence else name
            yield Mistake(f"{FILE}: {key}: {sentence.replace('{}', name)}.{nearest(last, known)}", blocks)


def stages(contract: Contract) -> Named:
    """Each stage that the contract names."""
    yield from ((f"types.{kind}", stage, True) for kind, stage in contract.types.items())
    if contract.curves:
        yield "curves.stage", contract.curves.stage, False
    yield from (("neutral", stage, True) for stage in contract.neutral)
    yield from (("distinct", stage, True) for stage in contract.distinct)
    yield from (("speed.latency", stage, False) for stage in contract.speed.latency)


def outputs(contract: Contract, pipeline: Pipeline, params: dict[str, Any]) -> Named:
    """Each output that the contract names; of one that each stage may have, only where none has it."""

    def first(paths: Iterable[str | None]) -> str:
        candidates = [path for path in paths if path]
        return next((path for path in candidates if pipeline.maker(path, params)), candidates[0])

    if contract.predictions:
        yield "predictions.output", first(map(contract.predictions_path, contract.types.values())), True
    if contract.effective:
        yield "effective", first(map(contract.effective_path, pipeline.stages)), True
    yield from ((f"distinct.{stage}.output", entry.output, True) for stage, entry in contract.distinct.items())
    if contract.curves:
        yield "curves.output", contract.curves.output, False
    if contract.dataset:
        yield "dataset.output", contract.dataset.output, False
    yield from ((f"models.{n}.output", model.output, False) for n, model in enumerate(contract.models))
    yield from ((f"attachments.{n}", path.rstrip("/"), False) for n, path in enumerate(contract.attachments))
    for key, figure in _figures(contract):
        if figure.output:
            yield f"{key}.output", figure.output, False


def settings(contract: Contract) -> Named:
    """Each setting that the contract names."""
    one, several, task = contract.model_keys.one, contract.model_keys.several, contract.task
    single = {"raw_data": contract.raw_data, "model_keys.one": one, "model_keys.several": several}
    single |= {"task.key": task and task.key, "test_split_name": contract.test_split_name}
    yield from ((key, setting, True) for key, setting in single.items() if setting)
    for key, listed in {
        "task.same": task.same if task else [],
        "test_split": contract.test_split,
        "final.settings": [*contract.final.settings] if contract.final else [],
        **{f"neutral.{stage}": entries for stage, entries in contract.neutral.items()},
    }.items():
        yield from ((f"{key}.{n}", setting, True) for n, setting in enumerate(listed))
    yield from ((f"names.{word}", setting, False) for word, setting in contract.names.items())
    yield from ((f"tags.{word}", setting, False) for word, setting in contract.tags.items())
    for n, fact in enumerate(contract.data_facts):
        shown = (("key", fact.key), ("aside", fact.aside))
        yield from ((f"data_facts.{n}.{key}", setting, False) for key, setting in shown if setting)
    if contract.dataset and contract.dataset.name:
        yield "dataset.name", contract.dataset.name, False
    if contract.curves and contract.curves.epochs:
        yield "curves.epochs", contract.curves.epochs, False
    yield from ((f"words.comparison.{word}", setting, False) for word, setting in contract.words.comparison.items())
    for n, question in enumerate(contract.questions):
        yield from ((f"questions.{n}.varies.{i}", setting, False) for i, setting in enumerate(question.varies))
    conditions = [*((f"models.{n}", model.when) for n, model in enumerate(contract.models))]
    conditions += [(key, figure.when) for key, figure in _figures(contract)]
    yield from ((f"{key}.when", setting, False) for key, when in conditions for setting in when)


def metrics(contract: Contract) -> Named:
    """Each metric, or pattern of some, that the contract names in full."""
    named = {"metrics": contract.metrics, "told": contract.told, "overview": contract.overview}
    yield from (("main", name, True) for name in contract.main if "." in name)
    yield from ((key, name, False) for key, names in named.items() for name in names if "." in name)
    yield from ((f"speed.latency.{stage}", name, False) for stage, name in contract.speed.latency.items())
    single = {"best_epoch": contract.best_epoch, "speed.gain": contract.speed.gain}
    single |= {"final.items": contract.final and contract.final.items}
    yield from ((key, name, False) for key, name in single.items() if name)
    for n, question in enumerate(contract.questions):
        yield from ((f"questions.{n}.beside", name, False) for name in question.beside if "{" not in name)
    for key, figure in _figures(contract):
        yield from ((f"{key}.metrics", name, False) for name in figure.metrics if "{" not in name)


def _figures(contract: Contract) -> Iterator[tuple[str, Any]]:
    """Each figure of a report, with the key where."""
    questions = [("single", contract.single), *((f"questions.{n}", each) for n, each in enumerate(contract.questions))]
    for key, question in questions:
        yield from ((f"{key}.figures.{n}", figure) for n, figure in enumerate(question.figures))
