"""The texts and pictures that go along with the numbers: lab.report makes them, and is plugged in by lab.cli."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.study import Record, Replicate, Study


class Pages(Protocol):
    """What people read beside the numbers. `lab.report.pages`, a module, is one."""

    def table(self, study: Study) -> str:
        """The runs of a design, a row each, in Markdown."""
        ...

    def csv(self, study: Study) -> str:
        """The same for programs, with all metrics."""
        ...

    def run(self, study: Study, replicate: Replicate) -> str:
        """A page on one run, in Markdown."""
        ...

    def plots(self, study: Study, record: Record) -> Mapping[str, bytes]:
        """Pictures of a finished run's own tables, as PNG by their names."""
        ...

    def report(self, study: Study, verdict: Verdict) -> Mapping[str, bytes]:
        """The report of a design that has ended: `report.md`, `report.html`, its figures and data below `report/`."""
        ...
