"""The mirror: what git and the queue know of every design, brought to the tracking servers; once, or while it changes.

It only reads the project. A pass may be killed at any moment and be repeated as often as one likes.
"""

from __future__ import annotations

import configparser
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pygit2
from filelock import FileLock

from lab.records import commit as checkout
from lab.records import planning, study
from lab.records import record as records
from lab.records.record import Record
from lab.tracking import settings, text
from lab.tracking.mlflow_sink import MlflowSink, Report, Trouble
from lab.tracking.projection import Projection, Surroundings, project

POLL = 5.0  # seconds between two looks
PATIENCE = (5.0, 300.0)  # seconds to wait for a server that is down: at first, and at most


class Mirror:
    """The project at `root` and its tracking servers. Raises UserError for settings that are none."""

    def __init__(self, root: Path):
        self.root = root
        self.settings = settings.read(root)
        settings.environment(root)
        self.sinks = [_sink(root, self.settings, name) for name in self.settings.backends]

    @property
    def places(self) -> str:
        """Where the runs are."""
        return ", ".join(sink.place for sink in self.sinks) or "nowhere: conf/tracking.yaml has no backends"

    def designs(self, names: Iterable[str] = ()) -> list[Projection]:
        """The designs with runs to show: all of them, or those named. Raises UserError for one that there is not."""
        wanted = [study.read(self.root, name) for name in names]
        wanted = wanted or [*study.read_all(self.root), *study.answered(self.root)]
        known = records.read(self.root) if wanted else []
        around = surroundings(self.root, self.settings.upload_models, known)
        found = [project(each, known, around) for each in wanted]
        return [each for each in found if each.members]

    def once(self, names: Iterable[str] = ()) -> Report:
        """One pass. Raises Trouble, after all sinks had their turn, and UserError."""
        report, troubles = Report(), []
        try:
            with FileLock(folder(self.root) / "mirror.lock"):  # other passes wait; it ends with the process
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
        return report

    def _send(self, sink: Any, designs: list[Projection]) -> Report:
        """Bring one sink up to date. A file that nobody has touched since is not even opened. Raises Trouble."""
        report = Report()
        digests = {design.key: design.digest for design in designs}
        note = folder(self.root) / f"mirrored-{sink.name}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads(note.read_text())
            if noted["state"] == sink.state() and digests.items() <= noted["digests"].items():
                return report
        if designs:
            sink.begin()
        for design in designs:
            if not sink.has(design):
                report += sink.send(design)
        if report.problems:
            raise Trouble(report.problems[0])
        state = sink.state()
        if state:
            with suppress(OSError):  # it saves the next pass time, no more
                note.write_text(json.dumps({"state": state, "digests": digests}))
        return report

    def gone(self) -> list[tuple[Any, dict[str, str]]]:
        """For each sink the runs whose experiments are gone. Raises Trouble."""
        designs = self.designs()
        found = []
        for sink in self.sinks:
            sink.begin()
            found.append((sink, sink.gone(designs)))
        return found


def watch(
    mirror: Mirror,
    names: Iterable[str],
    say: Callable[[str], None],
    needed: Callable[[], bool] = lambda: True,
) -> None:
    """Pass after pass, as long as it is `needed`, and once more. A server that is down is told once, and tried again."""
    trouble, pause = "", POLL
    while True:
        last = not needed()
        try:
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
            for sentence in report.said:
                say(sentence)
        if last:
            return
        until = time.monotonic() + pause
        while time.monotonic() < until and (pause == POLL or needed()):
            time.sleep(min(POLL, max(0.0, until - time.monotonic())))


def surroundings(root: Path, upload_models: str, known: Iterable[Record]) -> Surroundings:
    """What the project's runs have in common."""
    if planning.head(root) is None:
        return Surroundings()
    git = checkout.repository(root)
    baselines = {record.baseline for record in known}
    return Surroundings(
        branches={baseline: name for baseline in baselines if (name := _branch(git, baseline))},
        authors={baseline: str(git[baseline].peel(pygit2.Commit).author.name) for baseline in baselines},
        source=_address(git),
        remote=_remote(root),
        secrets=settings.secrets(root),
        upload_models=upload_models,
    )


def _branch(git: pygit2.Repository, commit: str) -> str:
    """The branch that a commit is on: the one that is checked out where it has it, or the first that does."""
    names = list(git.branches.local.with_commit(commit))
    current = "" if git.head_is_detached else str(git.head.shorthand)
    return current if current in names else min(names, default="")


def _address(git: pygit2.Repository) -> str:
    """The repository's address in the web, for a link; without one, empty."""
    url = next((str(remote.url) for remote in git.remotes if remote.name == "origin"), "")
    return text.scrub(url, ()) if url.startswith(("https://", "http://", "git@", "ssh://")) else ""


def _remote(root: Path) -> str:
    """DVC's default remote."""
    config = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error):
        config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
    name = config.get("core", "remote", fallback="")
    url = text.scrub(config.get(f"'remote \"{name}\"'", "url", fallback=""), ())
    return url if "://" in url or not url else os.path.normpath(os.path.join(".dvc", url))


def folder(root: Path) -> Path:
    """Where lab keeps what it notes for itself."""
    path = root / ".dvc" / "tmp" / "lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _sink(root: Path, chosen: settings.Settings, name: str) -> Any:
    """A backend of conf/tracking.yaml. Raises UserError where its package is missing."""
    if name == "wandb":
        from lab.tracking.wandb_sink import WandbSink

        return WandbSink(root, chosen.experiment)
    artifacts = root / "mlartifacts" if settings.embedded(root) else None
    return MlflowSink(settings.uri(root), chosen.experiment, artifacts)
