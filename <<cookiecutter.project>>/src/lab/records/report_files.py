"""Which of a run's outputs are read once it is over: by verdicts, tables, figures and pictures, and by their checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lab.design.pipeline import overlap
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.records.git_record import GitRecord


def of(record: GitRecord) -> dict[str, str]:
    """The hash of each of them, by path. All outputs where the run's dvc.yaml can't be read."""
    project = record.project
    outputs = {path: out["md5"] for path, out in record.outputs.items() if "md5" in out}
    places = {*_places(project.contract), *_places(project.contract_at(record.baseline))}
    try:
        places |= {*record.content.pipeline.shown(record.params)}
    except UserError:
        return outputs
    return {path: md5 for path, md5 in outputs.items() if any(overlap(path, place) for place in places)}


def _places(contract: Contract) -> Iterator[str]:
    """Where they lie; a `*` stands for any part of a name."""
    yield from filter(None, (contract.predictions_path("*"), contract.effective_path("*")))
    yield from contract.attachments
    if contract.curves:
        yield contract.curves.output
    if contract.dataset and contract.item_pictures:  # a picture of a test item is drawn of the item itself
        yield contract.dataset.output
    for question in (contract.single, *contract.questions):
        yield from (figure.output for figure in question.figures if figure.output)
