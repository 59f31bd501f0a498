"""A queued run carried out in a lasting checkout: what comes out is the experiment that DVC would make of it.

DVC makes a temporary clone for each run, starts a process, and reads everything anew. Here a worker keeps its checkout:
only what differs is laid out, data stays linked, and what did not change is not read again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pygit2
from filelock import FileLock, Timeout

from lab.errors import UserError
from lab.execution import garbage
from lab.execution.worker import pipeline as pipelines
from lab.execution.worker.cache import Cache
from lab.execution.worker.content import Content, Hashes, Irregular
from lab.execution.worker.errors import StageFailed, Unsupported
from lab.execution.worker.ignoring import DvcIgnore, GitIgnore
from lab.execution.worker.lock_file import LockFile
from lab.execution.worker.param_files import ParamFiles
from lab.execution.worker.reproduction import Command, Reproduction
from lab.execution.worker.run_cache import RunCache
from lab.execution.worker.settings import Settings, cache_types
from lab.execution.worker.work_tree import WorkTree, common_folder

__all__ = ["Checkout", "Command", "StageFailed", "Task", "Unsupported", "in_a_shell"]

PACKED = ".dvc/tmp/repro.dat"  # how DVC's queue notes what to run


class Task(NamedTuple):
    """What to make an experiment of, whichever queue it comes from.

    `commit` holds its params (DVC's stash commit, or any with that tree), `baseline` is what it starts from and its
    parent, `targets` are the stages to reproduce with all that they need (none: all of them), and `environment` is
    DVC_EXP_NAME, DVC_ROOT and DVC_EXP_BASELINE_REV.
    """

    name: str
    commit: str
    baseline: str
    targets: tuple[str, ...]
    environment: dict[str, str]


class Checkout:
    """One worker's lasting checkout of the project at `root`, below `folder`. Raises UserError where another has it.

    `root` may be any clone, also a shallow one: its git repository, its .dvc/config.local and its cache are used, its
    files are not.
    """

    def __init__(self, root: Path, folder: Path):
        self.root = root.resolve()
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"{self.folder} is another worker's checkout") from error
        self._git = pygit2.Repository(pygit2.discover_repository(str(self.root)))
        top = Path(self._git.workdir or self.root).resolve()
        self._prefix = "" if top == self.root else self.root.relative_to(top).as_posix()
        self._hashes = Hashes(self._is_linked)
        self._tree = WorkTree(self._git, self.folder / "tree", self._prefix, self.folder / "laid.pickle", self._hashes)
        self._cache: Cache | None = None
        self._dvcignore: tuple[bytes | None, DvcIgnore] | None = None

    @property
    def project(self) -> Path:
        """Where the stages run."""
        return self._tree.project

    def close(self) -> None:
        """Keep it for the next process."""
        self._tree.close()
        self._lock.release()

    def __enter__(self) -> Checkout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def carry_out(self, task: Task, run: Callable[[Command], int], log: TextIO) -> str:
        """Make the experiment. Returns its commit, whose ref is made last, and only where there is none of that name.

        `log` gets DVC's lines, and for a failure one sentence. Raises StageFailed; Unsupported before anything ran, or
        where a stage did what only DVC knows how to take.
        """
        try:
            return self._carry_out(task, run, log)
        except StageFailed as error:
            log.write(f"ERROR: {error}\n")
            raise
        except Irregular as error:
            raise Unsupported(str(error)) from error
        except OSError as error:
            reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
            log.write(f"ERROR: {task.name}: {reason}\n")
            raise StageFailed(task.name, None, reason) from error

    def _carry_out(self, task: Task, run: Callable[[Command], int], log: TextIO) -> str:
        if os.name == "nt":
            raise Unsupported("Windows")
        log.write(f"Reproducing experiment '{task.name}'\n")
        self._lay_out(task)
        settings = Settings(self.root)  # they may have changed since the last run
        config = settings.read(self.project)
        cache = self._opened(settings.cache, config)
        if self._tree.was_written_to:
            cache.forget()
        data_files, before = self._definitions()
        kept = self._ignored(before.get(".dvcignore"))
        pipeline = pipelines.read(self.project, data_files, config)
        lock_path = self.project / "dvc.lock"
        lock = LockFile(lock_path.read_text(encoding="utf-8") if lock_path.is_file() else "")
        steps = pipeline.steps(task.targets)
        self._check(pipeline, kept)
        data = outputs(pipeline.needed(task.targets), lock)
        self._tree.lay_out_data(cache, data)
        cache.settle_types(data.values(), self.project / "any")

        git_ignore = GitIgnore(self._tree.top)
        adding = _Adding(self._tree, git_ignore, self._prefix, pipeline, config)
        runs = RunCache(settings.cache / "runs", cache.folder_mode, cache.file_mode)
        reproduction = Reproduction(
            self._tree,
            lock,
            cache,
            runs,
            self._hashes,
            ParamFiles(self.project),
            kept,
            adding.ignore,
            run,
            task.environment,
            log,
        )
        done = {}
        for stage in steps:
            if reproduction.reproduce(stage):
                done[stage.name] = lock.stages[stage.name]
            git_ignore.forget()
            adding.stage(stage)
        adding.top_level()
        self._check_definitions(before, pipeline)
        with garbage.kept_out(common_folder(self._git)):
            return self._commit(task, self._tree.committed(adding.paths), done)

    # Before

    def _lay_out(self, task: Task) -> None:
        try:
            tree = self._git[task.commit].peel(pygit2.Tree)
        except KeyError as error:
            raise UserError(f"{self.root} has no commit {task.commit}") from error
        index = pygit2.Index()
        index.read_tree(tree)  # type: ignore[arg-type]
        packed = f"{self._prefix}/{PACKED}" if self._prefix else PACKED
        if packed in index:
            index.remove(packed)
        laid = str(index.write_tree(self._git))
        self._tree.check(laid)
        for name, plain in (("core.autocrlf", "false"), ("core.filemode", "true")):
            if name in self._git.config and self._git.config[name].lower() != plain:
                raise Unsupported(f"git's {name} {self._git.config[name]}")
        common = common_folder(self._git)
        shallow = common / "shallow"
        refs = {"EXEC_BASELINE": task.baseline, "EXEC_HEAD": task.baseline, "EXEC_MERGE": task.commit}
        arguments = (
            laid,
            task.baseline,
            (common / "config").read_bytes(),
            {f"refs/exps/exec/{name}": commit for name, commit in refs.items()},
            shallow.read_bytes() if shallow.exists() else None,
        )
        try:
            self._tree.lay_out(*arguments)
        except OSError:  # what is there cannot be put right
            self._tree.discard()
            self._tree.lay_out(*arguments)

    def _opened(self, folder: Path, config: dict[str, Any]) -> Cache:
        """DVC's cache in a folder, with this commit's settings."""
        objects = folder / "files" / "md5"
        types, shared = cache_types(config), config["cache"].get("shared") == "group"
        known = self._cache
        if known is None or (known.folder, known.types, known.shared) != (objects, types, shared):
            self._cache = known = Cache(objects, types, shared, self._hashes)
        return known

    def _ignored(self, text: bytes | None) -> DvcIgnore:
        """What .dvcignore leaves, the same for as long as it does not change."""
        if self._dvcignore is None or self._dvcignore[0] != text:
            self._dvcignore = (text, DvcIgnore(self.project))
        return self._dvcignore[1]

    def _is_linked(self, path: Path) -> bool:
        return self._cache is not None and self._cache.is_linked(path)

    def _definitions(self) -> tuple[list[str], dict[str, bytes]]:
        """The .dvc files, and the content of all files that define the pipeline. Raises Unsupported."""
        above = f"{self._prefix}/" if self._prefix else ""
        paths = [path.removeprefix(above) for path in self._tree.known if path.startswith(above)]
        data_files = sorted(path for path in paths if path.endswith(".dvc"))
        for path in paths:
            folder, _, name = path.rpartition("/")
            if folder and (name in ("dvc.yaml", ".dvcignore") or f"/{folder}/".find("/.dvc/") > 0):
                raise Unsupported(f"{path} below the project's own")
        if pipelines.FILE not in paths:
            raise Unsupported(f"there is no {pipelines.FILE}")
        names = [pipelines.FILE, *data_files, *(name for name in (".dvcignore",) if name in paths)]
        return data_files, {name: (self.project / name).read_bytes() for name in names}

    def _check(self, pipeline: pipelines.Pipeline, kept: DvcIgnore) -> None:
        """Raises Unsupported for outputs that git or .dvcignore has, and for links among what stages name."""
        above = f"{self._prefix}/" if self._prefix else ""
        links = [path.removeprefix(above) for path in self._tree.links() if path.startswith(above)]
        for stage in pipeline.stages.values():
            for out in stage.outs:
                kept.check(out.path)
                if out.cached and self._tree.has(above + out.path):
                    raise Unsupported(f"output {out.path!r} is in git")
            for path in [dep.path for dep in stage.deps] + [params.path for params in stage.params]:
                if not path:
                    raise Unsupported(f"stage {stage.name!r} depends on the whole project")
            named = [*(dep.path for dep in stage.deps), *(p.path for p in stage.params), *(o.path for o in stage.outs)]
            for link in links:
                if pipelines.inside(link, named) or pipelines.inside(stage.folder, [link]):
                    raise Unsupported(f"{link} is a symbolic link")
                if any(path.startswith(f"{link}/") for path in named):
                    raise Unsupported(f"{link} is a symbolic link")

    # After

    def _check_definitions(self, before: Mapping[str, bytes], pipeline: pipelines.Pipeline) -> None:
        """Raises Unsupported where a stage changed what the pipeline is: DVC would look at that as well."""
        for name, content in before.items():
            path = self.project / name
            if not path.is_file() or path.read_bytes() != content:
                raise Unsupported(f"a stage has changed {name}")
        outs = {out.path for stage in pipeline.stages.values() for out in stage.outs}
        strange = self._tree.find(lambda name: name in (pipelines.FILE, ".dvcignore") or name.endswith(".dvc"), outs)
        if strange:
            raise Unsupported(f"a stage has written {strange[0]}")

    def _commit(self, task: Task, tree: str, done: dict[str, Any]) -> str:
        from dvc.utils import dict_sha256

        name = f"refs/exps/{task.baseline[:2]}/{task.baseline[2:]}/{task.name}"
        known = self._git.references.get(name)
        if known is None:
            who = self._signature()
            message = f"dvc: commit experiment {dict_sha256(done)}"
            commit = self._git.create_commit(
                None, who, who, message, pygit2.Oid(hex=tree), [pygit2.Oid(hex=task.baseline)]
            )
            try:
                self._git.references.create(name, commit)
            except ValueError:
                known = self._git.references[name]
            else:
                return str(commit)
        there = known.peel(pygit2.Commit)
        if str(there.tree.id) != tree:
            raise UserError(f"the experiment {task.name} is there already, and not the same")
        return str(there.id)

    def _signature(self) -> pygit2.Signature:
        try:
            return self._git.default_signature
        except (KeyError, pygit2.GitError):
            return pygit2.Signature(os.environ.get("USER") or "lab", "lab@localhost")


class _Adding:
    """The files that DVC's executor adds to git, where git does not know them."""

    def __init__(
        self, tree: WorkTree, git_ignore: GitIgnore, prefix: str, pipeline: pipelines.Pipeline, config: dict[str, Any]
    ):
        self.paths: set[str] = set()
        self._tree = tree
        self._git_ignore = git_ignore
        self._above = f"{prefix}/" if prefix else ""
        self._pipeline = pipeline
        self._cached = {out.path for stage in pipeline.stages.values() for out in stage.outs if out.cached}
        self._adds_ignores = config["core"].get("autostage", False)

    def ignore(self, path: str) -> None:
        """Have git ignore an output."""
        changed = self._git_ignore.add(self._above + path)
        if changed and self._adds_ignores:
            self._add([changed])

    def stage(self, stage: pipelines.Stage) -> None:
        """What belongs to a stage that was looked at."""
        named = [*(dep.path for dep in stage.deps), *(params.path for params in stage.params)]
        paths = [stage.file, *(path for path in named if not pipelines.inside(path, self._cached))]
        if stage.command is not None:
            paths.append("dvc.lock")
        paths += [out.path for out in stage.outs if not out.cached]
        self._add([self._above + path for path in paths])

    def top_level(self) -> None:
        """What dvc.yaml itself names."""
        self._add([self._above + path for path in self._pipeline.top_level])

    def _add(self, paths: list[str]) -> None:
        tracked = self._tree.known
        apart = {self._above + path for path in self._cached if self._above + path in self._git_ignore}
        for path in paths:
            self.paths.update(self._git_ignore.untracked(path, tracked, apart))


def outputs(stages: list[pipelines.Stage], lock: LockFile) -> dict[str, Content | None]:
    """The outputs that DVC caches of these stages, as they were last: as dvc.lock and the .dvc files say."""
    found: dict[str, Content | None] = {}
    for stage in stages:
        noted = {item["path"]: item for item in (lock.stages.get(stage.name) or {}).get("outs") or []}
        for out in stage.outs:
            if out.cached:
                is_noted = stage.command is not None
                found[out.path] = Content.from_lock(noted.get(out.name, {})) if is_noted else out.content
    return found


def in_a_shell(command: Command) -> int:
    """Run a command as DVC does: by the user's shell without its settings. Returns what it ended with."""
    from dvc.stage.run import _make_cmd, get_executable

    words = _make_cmd(get_executable(), command.text)
    return subprocess.run(words, cwd=command.folder, env={**os.environ, **command.environment}).returncode
