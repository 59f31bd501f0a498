"""A design's plan on this repository as it is: what git and the records know goes into the pure plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lab import contract
from lab.contract import FILE, Contract, hooks
from lab.design import design_file, folds, settings_check
from lab.design.compose import composer_of, config_folder
from lab.design.expansion import arms
from lab.design.pipeline import Pipeline
from lab.design.plan import Plan, compose, plan, whole_epochs, without_membership
from lab.errors import MistakesInFile, UserError

if TYPE_CHECKING:
    from lab.design.expansion import Levels
    from lab.design.model_refs import Resolve
    from lab.design.models import Design
    from lab.records.project import Project


def pipeline_files(project: Project) -> tuple[str, ...]:
    """What a plan is made of, beside its design."""
    return (config_folder(project.root), ".dvc/config", "dvc.yaml", "params.yaml", FILE)


class Planner:
    """Plans a design file; again and again where a bayesian sweep chooses as it goes.

    Args:
        project: where dates are looked up.
        path: the design's file.
        resolve: turns what the design calls a model, for a seed, into a commit.
        tree: where the config, dvc.yaml and lab.yaml are read: the project, or a folder that has another commit's.

    Raises:
        UserError: a file that is no design, or whose name another design has.
    """

    def __init__(self, project: Project, path: Path, resolve: Resolve, tree: Path | None = None):
        self.project, self.path, self.resolve = project, path, resolve
        tree = tree or project.root
        self.contract: Contract = contract.read(tree) if (tree / FILE).is_file() else project.contract
        self.design: Design = design_file.read(path, self.contract)
        design_file.names_taken(self.design, path)
        self.composer, self.pipeline = composer_of(tree, project.composed), Pipeline.read(tree / "dvc.yaml")
        self.date = self._last_change() or "undated"

    @contextmanager
    def at(self, commit: str) -> Iterator[Planner]:
        """The same, by the config and the pipeline that a commit has, whatever becomes of the work tree meanwhile."""
        fixed = copy(self)
        with TemporaryDirectory() as folder:
            tree = Path(folder)
            self.project.git.extract(commit, pipeline_files(self.project), tree)
            fixed.composer = composer_of(tree, self.project.composed)
            fixed.pipeline = Pipeline.read(tree / "dvc.yaml")
            yield fixed

    def _last_change(self) -> str:
        """The day of the last commit that changed the design, or anything; empty without one, or without git."""
        if self.project.head is None:
            return ""
        return self.project.git.last_change(self.path) or self.project.git.last_change(self.project.root)

    def plan(
        self,
        trials: Iterable[Levels] = (),
        finalists: Sequence[str] | None = None,
        stopped: Mapping[str, int] | None = None,
        asked: Mapping[str, int] | None = None,
    ) -> Plan:
        """The plan, with what has been decided so far (`design.search.Choices`). Raises UserError."""
        contract, planned = self.contract, (self.composer, self.pipeline, self.date, self.resolve)
        with self.placing():
            return plan(self.design, contract, *planned, list(trials), finalists, stopped, asked)

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Whatever finds mistakes of the design in here tells their lines. Raises UserError."""
        try:
            yield
        except MistakesInFile as error:
            text = design_file.read_text(self.path)
            raise UserError(design_file.placed(text, self.path, error.mistakes, self.contract)) from error

    def epochs(self) -> int:
        """How long its runs train that are not stopped early. Raises UserError."""
        return whole_epochs(self.plan(), self.contract)

    def all_seeds(self, trials: Iterable[Levels] = ()) -> dict[str, int]:
        """As many seeds for each arm as the design may come to. Raises UserError."""
        with self.placing():
            return dict.fromkeys((arm.name for arm in arms(self.design, list(trials))), len(self.design.seeds))

    def unusable(self, planned: Plan) -> str:
        """The settings that no stage could use, by `check` and `folds` of lab.yaml: a line each; empty without any.

        Where these can't be asked, what is wrong with them.
        """
        try:
            return self._refused_settings(planned)
        except UserError as error:
            return str(error)

    def _refused_settings(self, planned: Plan) -> str:
        contract = self.contract
        if contract.check is None and contract.folds is None:
            return ""
        own = hooks.load(self.project.root, contract.check, tells=True) if contract.check else None
        check = folds.checked(own, contract.folds)
        runs = [(run.arm, run.levels, run.seed, without_membership(run.params)) for run in planned.runs]
        for arm in settings_check.probes(self.design):
            seed = self.design.seeds[0]
            _, params = compose(self.design, self.contract, arm, seed, self.composer, None)
            runs.append((arm.name, arm.levels, seed, params))
        found = settings_check.mistakes(self.design, self.contract.seeds, self.composer.source.groups, runs, check)
        own = [(mistake.place, str(mistake)) for mistake in found if mistake.place]
        told = [design_file.placed(design_file.read_text(self.path), self.path, own, self.contract)] if own else []
        others = [mistake for mistake in found if not mistake.place]
        where = self.composer.source.place
        return "\n".join([*told, *(f"{where(each.key, each.value)}{each.problem}" for each in others)])
