"""What a project knows that a question may be made of: its keys and groups, what it measures, how much that varies."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.design import design_file, draft
from lab.design.compose import composer_of
from lab.design.models import KINDS
from lab.design.overrides import override
from lab.design.pipeline import Pipeline
from lab.design.places import inside
from lab.errors import UserError, not_one_of
from lab.execution import preflight_inputs
from lab.nested_keys import get

if TYPE_CHECKING:
    from lab.records.project import Project


class Known:
    """What the project knows that a question may be made of.

    Args:
        root: the project's folder.
        project: its records.
        task: of the question; None where nobody has said, so that it is the project's.
    """

    def __init__(self, root: Path, project: Project, task: str | None):
        self.root, self.project, self.contract = root, project, project.contract
        self.composer, self.pipeline = composer_of(root), Pipeline.read(root / "dvc.yaml")
        self.chosen = [f"{self.contract.task.key}={task}"] if task and self.contract.task else []
        self.config = self.composer.compose(self.chosen)
        self.task = self.contract.task_of(self.config)
        self._options: dict[str, list[Any]] = {}

    def kind(self, text: str | None) -> str:
        """A kind of design. Raises UserError: there is no such."""
        kinds = [*KINDS, *self.contract.words.kinds]
        if text not in kinds:
            raise UserError(f"which kind of question? {not_one_of(text, kinds) if text else ', '.join(kinds)}")
        return str(text)

    def plain(self, kind: str) -> str:
        """A kind in the words of designs."""
        words = self.contract.words.kinds
        return words[kind].kind if kind in words else kind

    def levels(self, text: str) -> tuple[str, Any]:
        """What is varied, and by what; of a group alone all that goes with the task. Raises UserError: neither."""
        key, levels = draft.levels_of(text)
        self.composer.check_key(key, self.config)
        if not levels:
            levels = self.options(key)
        if not levels:
            raise UserError(f"{key}: by which values? {key}=…,…")
        for level in levels if isinstance(levels, list) else ():
            self.composer.compose([*self.chosen, override(key, level)])
        return key, levels

    def options(self, group: str) -> list[Any]:
        """The files of a group that go with the task; none where it is no group."""
        if group not in self.composer.source.groups:
            return []
        if group not in self._options:
            self._options[group] = [name for name in self.composer.options(group) if self._fits(group, name)]
        return self._options[group]

    def _fits(self, group: str, name: str) -> bool:
        """Whether a file is for the task, as far as it says."""
        task, content = self.contract.task, self.composer.source.content(group, name)
        own = [key.partition(".")[2] for key in task.same if inside(key, group)] if task else []
        said = [str(get(content, key, self.task)) for key in own]
        return all(value == self.task or "${" in value for value in said)

    def tell_what_varies(self) -> None:
        """Print the groups with their files, and the keys."""
        groups = [group for group in sorted(self.composer.source.groups) if len(self.options(group)) > 1]
        for group in (group for group in groups if not self.contract.task or group != self.contract.task.key):
            print(f"  {group}: {', '.join(self.options(group))}")
        keys = [key for key in self.composer.keys(self.config) if key not in self.composer.source.groups]
        print(f"  and {len(keys)} keys: {', '.join(key for key in keys if '.' not in key)}, …: conf/ has them all")

    def metrics(self, stage: str) -> list[str]:
        """What may decide: what the baseline is about, then what its stage measures."""
        path = self.root / "designs" / f"{self.contract.baseline.format(task=self.task)}.yaml"
        asked = []
        try:
            hypothesis = design_file.read(path, self.contract).hypothesis
            asked = [f"{stage}.{hypothesis.metric.partition('.')[2]}"] if hypothesis else []
        except UserError:
            pass  # there is none, and its own check says what is wrong with it
        measured = self.measured(stage)
        names = [*asked, *self.contract.main_metrics(stage), *self.contract.told_metrics(stage)]
        return [name for name in dict.fromkeys(names) if not measured or name in measured]

    def measured(self, stage: str) -> set[str]:
        """The metrics that HEAD's code has measured."""
        if not self.project.head:
            return set()
        alike = preflight_inputs.similar(self.project, stage, self.task)
        return preflight_inputs.measured_metrics(self.project, alike, stage)

    @cached_property
    def baselines(self) -> Mapping[str, Any]:
        """What answers the baselines, by their names."""
        if not self.project.head:
            return {}
        stage = next(iter(self.contract.types.values()))
        alike = preflight_inputs.similar(self.project, stage, self.task)
        return preflight_inputs.baselines(self.project, alike, stage, self.task)

    def noise(self, metric: str) -> list[float]:
        """A metric's values over the seeds of the baseline that has most."""
        return preflight_inputs.noise(self.contract, [], self.baselines, metric)[0]
