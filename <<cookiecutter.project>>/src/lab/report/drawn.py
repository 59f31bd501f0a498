"""The figures of a report as its files have them, kept on disk by all that they are drawn from: none is drawn twice.

.dvc/tmp/lab/drawn/ has them, as `records.kept` has what was worked out of commits: within the same bounds, and a file
that is damaged is done without. The review, which holds a report against the records, draws its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lab.contract import hooks
from lab.design.sources import version
from lab.nested_keys import get
from lab.records.kept import Kept, version_of_code
from lab.report import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.analysis.verdict import Verdict
    from lab.report.figures import Picture
    from lab.study import Record, Study

CODE = ("analysis", "report", "decimals.py", "markdown.py")  # what draws, beside what works out a study
LIBRARIES = ("matplotlib", "numpy", "pandas", "scipy", "optuna", "pillow")  # whose other version may draw otherwise


@dataclass(frozen=True)
class Drawn:
    """A figure as files have it: of `figures.Picture` what there is once it is drawn, its data as CSV."""

    name: str
    caption: str
    alt: str
    local: bool
    png: bytes | None = field(default=None, repr=False)
    svg: str = field(default="", repr=False)
    csv: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, picture: Picture) -> Drawn:
        """A picture, drawn."""
        csv = None if picture.data is None else tables.as_csv(picture.data)
        return cls(picture.name, picture.caption, picture.alt, picture.local, picture.png, picture.svg, csv)

    def as_text(self) -> dict[str, Any]:
        """What JSON can hold of it, which is all."""
        return vars(self) | {"png": self.png and base64.b64encode(self.png).decode()}

    @classmethod
    def of_text(cls, kept: dict[str, Any]) -> Drawn:
        """The reverse."""
        read: dict[str, Any] = kept | {"png": kept["png"] and base64.b64decode(kept["png"])}
        return cls(**read)


def drawn(study: Study, verdict: Verdict) -> list[Drawn]:
    """The figures of a study as `figures.pictures` has them, drawn now or once before."""
    root: Path | None = study.project and study.project.root
    if root is None or not (root / ".dvc").is_dir():
        return draw(study, verdict)
    versions = map(version, LIBRARIES)
    kept = Kept(root / ".dvc" / "tmp" / "lab" / "drawn", version_of_code(*CODE), *versions)
    found = kept.find("figures", inputs(study, verdict), lambda: [each.as_text() for each in draw(study, verdict)])
    kept.save()
    return [Drawn.of_text(each) for each in found]


def draw(study: Study, verdict: Verdict) -> list[Drawn]:
    """The same, drawn."""
    from lab.report.figures import pictures

    return [Drawn.of(picture) for picture in pictures(study, verdict)]


def inputs(study: Study, verdict: Verdict) -> str:
    """A hash of all that the figures are drawn from: the study with its runs' commits and with what DVC's cache and git
    have here of them, the verdict on it, and the project's own functions that have a part in it."""
    here: dict[str, int] = {}
    runs = [
        [each.arm, each.levels, each.seed, each.status, each.stopped, each.name]
        + ([each.record.commit, *present(study, each.record, here)] if each.finished else [])
        for each in study.replicates
    ]
    told = [study.design.model_dump(), study.contract.model_dump(), study.commit, asdict(study.baseline), study.choices]
    content = json.dumps([*told, runs, asdict(verdict)], sort_keys=True, default=str)
    return hashlib.sha256(content.encode() + b"".join(sources(study))).hexdigest()


def present(study: Study, record: Record, here: dict[str, int]) -> Iterator[Any]:
    """How many files of a run's outputs are `here`, each counted once; what models that it combines have measured."""
    store, contract = study.project.store, study.contract
    dataset, several = contract.dataset and contract.dataset.output, contract.model_keys.several
    for path, output in sorted(record.outputs.items()):
        if (md5 := output.get("md5") or "") not in here:  # a dataset is large, and most runs have the same
            here[md5] = len(store.files(md5)) if path == dataset else int(store.file(md5) is not None)
        yield here[md5]
    for name in get(record.params, several) or [] if several else []:
        rev = study.project.git.resolve(str(name))
        yield rev and study.project.commit(rev).metrics


def sources(study: Study) -> Iterator[bytes]:
    """The code of the project's functions that lab.yaml names for test items."""
    pictures, metrics = study.contract.item_pictures, study.contract.metrics.values()
    named = {*(pictures.model_dump().values() if pictures else ()), *(entry.per_item for entry in metrics)} - {None}
    for path in sorted({path for name in named for path in hooks.files(study.project.root, name)}):
        yield path.read_bytes()
