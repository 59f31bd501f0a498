"""The questions in designs/ and what lab.yaml says fit the project as it stands: yours, and those that came with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lab import contract
from lab.contract import Contract, hooks
from lab.design import design_file
from lab.design.compose import composer_of
from lab.design.pipeline import Pipeline
from lab.design.plan import plan
from lab.errors import UserError
from lab.nested_keys import exists

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def known() -> Contract:
    """What lab.yaml says."""
    return contract.read(PROJECT)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """dvc.yaml."""
    return Pipeline.read(PROJECT / "dvc.yaml")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The composed config as it stands."""
    return composer_of(PROJECT).compose([])


def commit(name: str, seed: int) -> str:
    """A commit for the model that a design names: whether it has been trained doesn't matter here."""
    return hashlib.sha1(f"{name} {seed}".encode(), usedforsecurity=False).hexdigest()


def test_every_design_unfolds_into_runs_that_the_stages_take(known: Contract, pipeline: Pipeline) -> None:
    composer, problems = composer_of(PROJECT), []
    check = hooks.load(PROJECT, known.check) if known.check else lambda params: []
    for path in sorted((PROJECT / "designs").glob("*.yaml")):
        try:
            design = design_file.read(path, known)
            planned = plan(design, known, composer, pipeline, "2026-01-01", commit)
            wrong = [f"{key}: {problem}" for run in planned.runs for key, problem in check(run.params) or ()]
            assert not wrong, "; ".join(dict.fromkeys(wrong))
            assert planned.runs or planned.undecided
        except (UserError, AssertionError) as error:
            problems.append(f"{path.name}: {error}")
    assert not problems, "\n".join(problems)


def test_the_contract_names_stages_and_outputs_of_dvc_yaml(known: Contract, pipeline: Pipeline) -> None:
    stages = {*known.types.values(), *known.neutral, *known.distinct}
    stages |= {known.curves.stage} if known.curves else set()
    assert stages <= pipeline.stages.keys()
    declared = {path for stage in pipeline.stages for path in pipeline.outputs(stage)}
    named = {model.output for model in known.models} | {distinct.output for distinct in known.distinct.values()}
    named |= {known.dataset.output} if known.dataset else set()
    named |= {str(known.effective_path(stage)) for stage in pipeline.stages} if known.effective else set()
    assert named <= declared


def test_the_contract_names_settings_of_the_config(known: Contract, config: dict[str, Any]) -> None:
    keys = [*known.seeds, *known.names.values(), *known.tags.values(), *known.test_split]
    keys += [key for stage in known.neutral.values() for key in stage]
    keys += [key for key in (known.raw_data, known.model_keys.one, known.model_keys.several) if key]
    assert not [key for key in keys if not exists(config, key)]


def test_the_contract_s_functions_are_there(known: Contract) -> None:
    names = {entry.per_item for entry in known.metrics.values()} | {known.check}
    names |= set(known.item_pictures.model_dump().values()) if known.item_pictures else set()
    for name in filter(None, names):
        assert callable(hooks.load(PROJECT, name))
