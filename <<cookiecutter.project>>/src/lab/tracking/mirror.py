"""The mirror: what git and the queue know of every design, brought to the tracking servers; once, or while it changes.

It only reads the project. A pass may be killed at any moment and be repeated as often as one likes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from lab.records import looks, studies
from lab.study import RUNNING
from lab.tracking import settings, surroundings
from lab.tracking.projection.design import Projection, project
from lab.tracking.sink import Report, Sink, Trouble, create

if TYPE_CHECKING:
    from pathlib import Path

    from lab.records.project import Project
    from lab.tracking.pages import Pages

LOCK = "mirror.lock"  # there since the first pass
POLL = 5.0  # seconds between two looks
WHOLE = 60.0  # seconds after which a pass looks at everything: at what only a server knows, and DVC's cache
PATIENCE = (5.0, 300.0)  # seconds to wait for a server that is down: at first, and at most


class Mirror:
    """A project and its tracking servers.

    Args:
        project: what is shown.
        pages: makes the texts and pictures that go along.

    Raises:
        UserError: settings that are none, or a backend whose package is missing.
    """

    def __init__(self, project: Project, pages: Pages):
        self.project, self.pages = project, pages
        self.settings = settings.read(project.root)
        settings.environment(project.root)
        self.sinks = [create(name, project.root, self.settings) for name in self.settings.backends]
        self._seen: list[Any] = []  # of the project, before the last pass
        self._left: list[str] = []  # the sinks' states after it

    @property
    def places(self) -> str:
        """Where the runs are."""
        return ", ".join(sink.place for sink in self.sinks) or f"nowhere: {settings.FILE} has no backends"

    def designs(self, names: Iterable[str] = ()) -> list[Projection]:
        """The designs with runs to show: all of them, or those named. Raises UserError for one that there is not."""
        shown = [studies.read(self.project, name) for name in names]
        shown = shown or [*studies.read_all(self.project), *studies.answered(self.project)]
        records = self.project.records() if shown else []
        around = surroundings.read(self.project, self.settings.upload_models, records)
        own = self.project.by_design()
        projections = [project(study, own.get(study.design.name, ()), around, self.pages) for study in shown]
        return [projection for projection in projections if projection.members]

    def once(self, names: Iterable[str] = ()) -> Report:
        """One pass over the project as it is now. Raises Trouble, after all sinks had their turn, and UserError."""
        report, troubles = Report(), []
        try:
            # Other passes wait; it ends with the process.
            with FileLock(settings.folder(self.project.root) / LOCK):
                self.project.refresh()
                designs = self.designs(names)
                for sink in self.sinks:
                    try:
                        report += self._send(sink, designs)
                    except Trouble as trouble:
                        troubles.append(str(trouble))
        except OSError as error:  # the project's own disk: full, or not ours to write to
            raise Trouble(str(error)) from error
        if troubles:
            raise Trouble("; ".join(troubles))
        self._left = self._states()
        return report

    def has_news(self) -> bool:
        """Whether git, the queue, a running experiment's log or a sink's file has changed since the pass before.

        It reads none of them, and is asked before the next pass.
        """
        pending = self.project.pending()
        logs = (
            self.project.contract.epoch_log_path(run.baseline, run.name) for run in pending if run.status == RUNNING
        )
        sizes = [path.stat().st_size for log in logs if log and (path := self.project.root / log).exists()]
        seen = [self.project.head and looks.state(self.project.git), pending, sizes]
        has_news, self._seen = seen != self._seen or self._left != self._states(), seen
        return has_news

    def _states(self) -> list[str]:
        return [sink.state() for sink in self.sinks]

    def _send(self, sink: Sink, designs: list[Projection]) -> Report:
        """Bring one sink up to date. Of a file that nobody has touched since, only what is new is looked at."""
        report = Report()
        digests = {design.key: design.digest for design in designs}
        note = settings.folder(self.project.root) / f"mirrored-{sink.name}.json"
        known = self._noted(note, sink)
        new = [design for design in designs if known.get(design.key) != digests[design.key]]
        if new:
            sink.begin()
        for design in new:
            if not sink.has(design):
                report += sink.send(design)
        if report.problems:
            first, *others = report.problems
            raise Trouble(f"{first} (and so with {len(others)} more)" if others else first)
        state = sink.state()
        if new and state:
            with suppress(OSError):  # it saves the next pass time, no more
                note.write_text(json.dumps({"state": state, "digests": known | digests}))
        return report

    def _noted(self, note: Path, sink: Sink) -> dict[str, str]:
        """The digests of what is at a sink just as a pass has left it; none where somebody has written there since."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(note.read_text())
            if noted["state"] == sink.state():
                return dict(noted["digests"])
        return {}

    def gone(self) -> list[tuple[Sink, dict[str, str]]]:
        """For each sink the runs whose experiments are gone. Raises Trouble."""
        designs = self.designs()
        runs = []
        for sink in self.sinks:
            sink.begin()
            runs.append((sink, sink.gone(designs)))
        return runs


def watch(
    mirror: Mirror,
    names: Iterable[str],
    say: Callable[[str], None],
    needed: Callable[[], bool] = lambda: True,
) -> None:
    """Pass after pass, as long as it is `needed`, and once more. One that is down is named once and tried again."""
    trouble, pause, whole = "", POLL, -math.inf
    while True:
        is_last = not needed()
        try:
            report = Report()
            if mirror.has_news() or is_last or trouble or time.monotonic() - whole > WHOLE:
                whole = time.monotonic()
                report = mirror.once(names)
        except Trouble as error:
            if str(error) != trouble:
                say(f"{error}; it is tried again, and nothing waits for it")
            pause = min(pause * 2, PATIENCE[1]) if trouble else PATIENCE[0]
            trouble = str(error)
        else:
            if trouble:
                say(f"{mirror.places} answers again, and has all there is")
            trouble, pause = "", POLL
            for message in report.messages:
                say(message)
        if is_last:
            return
        until = time.monotonic() + pause
        while time.monotonic() < until and (pause == POLL or needed()):
            time.sleep(min(POLL, max(0.0, until - time.monotonic())))
