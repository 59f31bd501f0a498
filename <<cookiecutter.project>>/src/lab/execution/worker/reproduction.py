"""One run of a pipeline: each stage is found unchanged, taken from the run cache, or carried out.

It follows `dvc.stage` (Stage.reproduce, run_stage, StageCache) step by step, so that dvc.lock, the run cache, modes and
links come out the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from lab.execution.worker.cache import Cache
from lab.execution.worker.content import Content, Filter, Hashes, Irregular
from lab.execution.worker.errors import StageFailed, Unsupported
from lab.execution.worker.lock_file import LockFile
from lab.execution.worker.param_files import MissingParams, ParamFiles
from lab.execution.worker.pipeline import Output, Stage
from lab.execution.worker.run_cache import RunCache
from lab.execution.worker.work_tree import WorkTree


class Command(NamedTuple):
    """A command of a stage, to be run by a shell in `folder`; `environment` is added to the worker's own."""

    stage: str
    text: str
    folder: Path
    environment: dict[str, str]


class Failure(Exception):
    """What keeps a stage from its end, in a sentence."""

    def __init__(self, reason: str, returncode: int | None = None):
        super().__init__(reason)
        self.returncode = returncode


class Reproduction:
    """Stages carried out in the project of `tree`, with its dvc.lock as it stands. `ignore` notes an output for git."""

    def __init__(
        self,
        tree: WorkTree,
        lock: LockFile,
        cache: Cache,
        run_cache: RunCache,
        hashes: Hashes,
        params: ParamFiles,
        kept: Filter,
        ignore: Callable[[str], None],
        run: Callable[[Command], int],
        environment: dict[str, str],
        log: TextIO,
    ):
        self.project = tree.project
        self._tree = tree
        self.lock = lock
        self._cache = cache
        self._runs = run_cache
        self._hashes = hashes
        self._params = params
        self._kept = kept
        self._ignore = ignore
        self._run = run
        self._environment = environment
        self._log = log

    def reproduce(self, stage: Stage) -> bool:
        """Whether a stage had to be carried out. Raises StageFailed, Unsupported."""
        try:
            if stage.frozen:
                self._say(f"WARNING: {_named(stage)} is frozen. Its dependencies are not going to be reproduced.")
            if not self._is_changed(stage):
                self._say(f"{'' if stage.command is None else 'Stage '}'{stage.name}' didn't change, skipping")
                return False
            self._carry_out(stage)
        except Failure as failure:
            raise StageFailed(stage.name, failure.returncode, str(failure)) from failure
        except MissingParams as error:
            raise StageFailed(stage.name, None, str(error)) from error
        except Irregular as error:
            raise Unsupported(str(error)) from error
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise StageFailed(stage.name, None, f"{error.strerror or error}{where}") from error
        return True

    # Whether anything changed

    def _is_changed(self, stage: Stage) -> bool:
        return self._is_command_changed(stage) or self._are_deps_changed(stage) or self._are_outs_changed(stage)

    def _is_command_changed(self, stage: Stage) -> bool:
        entry = self._entry(stage)
        return bool(entry) and stage.command is not None and entry.get("cmd") != stage.command

    def _are_deps_changed(self, stage: Stage) -> bool:
        if stage.frozen:
            return False
        if stage.is_callback or stage.always_changed:
            return True
        return self._differ_from_lock(stage)

    def _differ_from_lock(self, stage: Stage) -> bool:
        known = self._known(stage, "deps")
        for dep in stage.deps:
            content = self._content(dep.path)
            if content is None or dep.name not in known or known[dep.name].md5 != content.md5:
                return True
        noted = self._entry(stage).get("params") or {}
        return any(self._params.differ(params, noted.get(params.name)) for params in stage.params)

    def _are_outs_changed(self, stage: Stage) -> bool:
        known = self._known(stage, "outs")
        for out in stage.outs:
            expected = known.get(out.name)
            if expected is None or (out.cached and not self._cache.has(expected)):
                return True
            content = self._content(out.path)
            if content is None or content.md5 != expected.md5:
                return True
        return False

    def _entry(self, stage: Stage) -> dict[str, Any]:
        return self.lock.stages.get(stage.name) or {} if stage.command is not None else {}

    def _known(self, stage: Stage, kind: str) -> dict[str, Content]:
        """What dvc.lock, or the .dvc file, says of inputs or outputs, by name."""
        if stage.command is None:
            found = {out.name: out.content for out in stage.outs}
        else:
            found = {item["path"]: Content.from_lock(item) for item in self._entry(stage).get(kind) or []}
        return {name: content for name, content in found.items() if content is not None}

    def _content(self, path: str) -> Content | None:
        try:
            return self._hashes.content(self.project / path, self._kept)
        except (FileNotFoundError, NotADirectoryError):
            return None

    # Carrying out

    def _carry_out(self, stage: Stage) -> None:
        if stage.command is None:
            self._say(f"Verifying data sources in stage: '{stage.name}'")
            if missing := self._missing(stage):
                raise Failure(missing)
            raise Irregular(f"{stage.name}: its data has changed")
        if stage.frozen:
            self._say(f"Verifying outputs in frozen stage: '{stage.name}'")
            if missing := self._missing(stage):
                raise Failure(missing)
        else:
            self._clear(stage)
            if not self._restore(stage):
                self._inputs(stage)
                self._run_commands(stage)
        entry = self._save(stage)
        self._commit(stage, entry)
        self.lock.put(stage.name, entry)
        (self.project / "dvc.lock").write_text(self.lock.text, encoding="utf-8")

    def _missing(self, stage: Stage) -> str:
        lost = [out.path for out in stage.outs if self._content(out.path) is None]
        return f"missing data: {', '.join(lost)} is not in DVC's cache; dvc pull fetches it" if lost else ""

    def _clear(self, stage: Stage) -> None:
        """Outputs go before a stage runs, those that it adds to become its own."""
        for out in stage.outs:
            path = self.project / out.path
            if not out.persistent:
                self._tree.take_away(out.path)
            elif out.cached and path.exists():
                self._cache.unprotect(path)
                self._hashes.forget_at(path)

    def _restore(self, stage: Stage) -> bool:
        """Whether its outputs came out of the cache: of dvc.lock's, or of a run with the same command and inputs."""
        if not self._is_repeatable(stage):
            return False
        known = self._known(stage, "outs")
        names = {out.name for out in stage.outs}
        fits = not self._is_command_changed(stage) and not self._differ_from_lock(stage)
        if fits and names <= set(known):
            outs: list[dict[str, Any]] | None = [out for out in self._entry(stage)["outs"] if out["path"] in names]
        else:
            outs = (self._runs.newest({**self._inputs(stage), "outs": self._names(stage)}) or {}).get("outs")
        contents = {item["path"]: Content.from_lock(item) for item in outs or []}
        if not contents or any(content is None or not self._cache.has(content) for content in contents.values()):
            return False
        self._say(f"Stage '{stage.name}' is cached - skipping run, checking out outputs")
        for out in stage.outs:
            content = contents[out.name]
            assert content is not None
            if not self._tree.lay_out_output(self._cache, out.path, content):
                raise Failure(f"{out.path} cannot be laid out from DVC's cache")
        return True

    def _names(self, stage: Stage) -> list[dict[str, str]]:
        return [{"path": out.name} for out in sorted(stage.outs, key=lambda out: out.name)]

    def _is_repeatable(self, stage: Stage) -> bool:
        """Whether the run cache may hold it. Raises Failure where an input is missing."""
        if stage.is_callback or stage.always_changed or not (stage.deps or stage.params) or not stage.outs:
            return False
        self._inputs(stage)
        is_known = all(self._params.values(params) for params in stage.params)
        return is_known and not any(out.persistent for out in stage.outs)

    def _run_commands(self, stage: Stage) -> None:
        self._say(f"Running stage '{stage.name}':")
        folder = self.project / stage.folder
        environment = {**self._environment, "DVC_STAGE": stage.name}
        for text in stage.commands:
            self._say(f"> {text}")
            try:
                returncode = self._run(Command(stage.name, text, folder, environment))
            finally:
                self._hashes.forget()
                self._params.forget()
            if returncode:
                raise Failure(f"failed to run: {text}, exited with {returncode}", returncode)

    # What came of it

    def _inputs(self, stage: Stage) -> dict[str, Any]:
        """Its entry of dvc.lock, as far as it is known before it runs. Raises Failure."""
        entry: dict[str, Any] = {"cmd": stage.command}
        deps = []
        for dep in sorted(stage.deps, key=lambda dep: dep.name):
            content = self._content(dep.path)
            if content is None:
                raise Failure(f"dependency '{dep.path}' does not exist")
            deps.append({"path": dep.name, **content.to_lock()})
        if deps:
            entry["deps"] = deps
        if stage.params:
            entry["params"] = self._params.to_lock(stage.params)
        return entry

    def _save(self, stage: Stage) -> dict[str, Any]:
        """Its entry of dvc.lock, noted in the run cache as well. Raises Failure."""
        entry = self._inputs(stage)
        contents = {out.name: self._saved(out) for out in stage.outs}
        if contents:
            entry["outs"] = [{"path": name, **contents[name].to_lock()} for name in sorted(contents)]
        if any(not out.cached and not out.is_metric and not out.is_plot for out in stage.outs):
            return entry
        if self._is_repeatable(stage):
            for out in stage.outs:
                if not out.cached:
                    self._add(out, contents[out.name], ["copy"])
            self._runs.save(entry)
        return entry

    def _saved(self, out: Output) -> Content:
        path = self.project / out.path
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Failure(f"output '{out.path}' does not exist") from error
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise Failure(f"output '{out.path}' is not a file or directory")
        if not (os.listdir(path) if path.is_dir() else status.st_size):
            self._say(f"WARNING: '{out.path}' is empty.")
        if out.cached:
            self._ignore(out.path)
        if out.is_metric and stat.S_ISREG(status.st_mode) and not _is_text(path):
            raise Failure(f"binary file '{path}' cannot be used as metrics.")
        content = self._content(out.path)
        assert content is not None
        return content

    def _commit(self, stage: Stage, entry: dict[str, Any]) -> None:
        contents = {item["path"]: Content.from_lock(item) for item in entry.get("outs", [])}
        for out in stage.outs:
            content = contents[out.name]
            if out.cached and content is not None:
                self._add(out, content, self._cache.output_types)

    def _add(self, out: Output, content: Content, types: list[str]) -> None:
        path = self.project / out.path
        entries = self._hashes.entries(path, self._kept) if content.is_folder else []
        self._cache.add(path, content, entries, types)

    def _say(self, line: str) -> None:
        self._log.write(f"{line}\n")
        self._log.flush()


def _named(stage: Stage) -> str:
    return f"Stage: '{stage.name}'"


def _is_text(path: Path) -> bool:
    from dvc_data.hashfile.istextfile import istextblock

    with path.open("rb") as file:
        return istextblock(file.read(512))
