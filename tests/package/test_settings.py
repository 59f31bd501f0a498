"""What each key of the config may be: the same for a stage and for lab, whatever the value."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from workspace import PROJECT, load

from lab import contract
from lab.contract import hooks
from lab.design import overrides
from lab.design.compose import composer_of
from lab.nested_keys import find, flat, put

config, errors, settings = load("shared.config"), load("shared.errors"), load("shared.settings")

CHECK = hooks.load(PROJECT, str(contract.read(PROJECT).check))
COMPOSER = composer_of(PROJECT)
TASKS = {task: COMPOSER.compose([f"task={task}"]) for task in ("classification", "detection")}
FREE = (
    "experiment",
    "no_weights_file.",
    "champion_files.",
    "recipe_for.",
    "recipe.",
    "recipes.",
    "source_folders.",
    "model.architecture.",
)  # mappings of any keys, or any value
KEYS = [
    (task, key)
    for task, params in TASKS.items()
    for key in flat(params)
    if not key.startswith(FREE) and key not in ("task", "training.recipe")
]
NAMES = ("data.task", "model.task", "model.engine", "data.source.kind")  # texts, of which not each is a name
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "integer": st.integers(-(10**30), 10**30),
    "number": st.floats(allow_nan=True).filter(lambda value: value != int(value) if math.isfinite(value) else True),
    "string": st.sampled_from(["no", "yes", "small", "007", "2026-11-26", "1e-3", "0.1", ".nan", "é 1"]),
    "array": st.lists(st.sampled_from([[], {}, True, 0.5]), min_size=1, max_size=3),
}


def ways(part: Any) -> Iterator[dict[str, Any]]:
    """Each way in which a value may be right, but for the interpolations of conf/."""
    while "$ref" in part:
        if part["$ref"] == settings.INTERPOLATION:
            return
        part = find(settings.schema(), part["$ref"].removeprefix("#/").replace("/", "."))
    if "anyOf" in part:
        for way in part["anyOf"]:
            yield from ways(way)
    else:
        yield part


def right(part: Any) -> st.SearchStrategy[Any]:
    """Values as the schema has them, by JSON Schema's words."""

    def of(way: dict[str, Any]) -> st.SearchStrategy[Any]:
        if "enum" in way:
            return st.sampled_from(way["enum"])
        low, high = way.get("minimum"), way.get("maximum")
        if way["type"] == "integer":
            return st.integers(low, high if high is not None else 10**6)
        if way["type"] == "number":
            open_ends = {"exclude_min": "exclusiveMinimum" in way, "exclude_max": "exclusiveMaximum" in way}
            return st.floats(way.get("exclusiveMinimum", low), way.get("exclusiveMaximum", high), **open_ends)
        if "pattern" in way:
            return st.from_regex(way["pattern"].replace("$", r"\Z"), fullmatch=True)
        if way["type"] == "array":
            return st.lists(right(way["items"]), min_size=way.get("minItems", 0), max_size=way.get("maxItems", 3))
        if way["type"] == "object":
            return st.just({"a": "b"})
        return {"null": st.none(), "boolean": st.booleans(), "string": KINDS["string"]}[way["type"]]

    return st.one_of(*map(of, ways(part)))


def wrong(part: Any) -> st.SearchStrategy[Any]:
    """Values of kinds that the schema doesn't have there, and numbers outside of its range."""
    known = list(ways(part))
    kinds = {kind for way in known for kind in ([way["type"]] if "type" in way else ["string", "integer"])}
    if "number" in kinds:
        kinds.add("integer")
    found = [values for kind, values in KINDS.items() if kind not in kinds]
    for way in known:
        if low := [way[word] - 1 for word in ("minimum", "exclusiveMinimum") if word in way]:
            found.append(st.integers(max_value=low[0]))
        if high := [way[word] + 1 for word in ("maximum", "exclusiveMaximum") if word in way]:
            found.append(st.integers(min_value=high[0]))
    return st.one_of(*found)


def refused_by_stage(params: dict[str, Any], folder: Path) -> str:
    """What a stage says of a params.yaml; empty where it takes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text(OmegaConf.to_yaml(params))  # as DVC does
        try:
            config.load([])
        except errors.UserError as error:
            return str(error)
    return ""


def refused_by_lab(task: str, key: str, value: Any) -> list[str]:
    """The keys of a run that lab refuses, where a design gives one of them a value."""
    if isinstance(value, dict):  # which no override of lab's own writing has
        params = copy.deepcopy(TASKS[task])
        put(params, key, value)
    else:
        params = COMPOSER.compose([f"task={task}", overrides.override(key, value)])
    return [wrong_key for wrong_key, _ in CHECK(params)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stage")


@hypothesis_settings(max_examples=20)  # each composes the config and reads a params.yaml
@given(st.data())
def test_a_value_of_a_wrong_kind_is_refused_by_lab_and_by_the_stage(folder: Path, data: st.DataObject) -> None:
    task, key = data.draw(st.sampled_from(KEYS))
    value = data.draw(wrong(settings.at(key)))
    params = copy.deepcopy(TASKS[task])
    put(params, key, value)
    said = refused_by_stage(params, folder)
    assert "params.yaml, line " in said and f": {key}" in said, (key, value, said)
    assert any(found == key or found.startswith(f"{key}.") for found in refused_by_lab(task, key, value)), (key, value)


@hypothesis_settings(max_examples=20)
@given(st.data())
def test_a_right_value_passes_both(folder: Path, data: st.DataObject) -> None:
    task, key = data.draw(st.sampled_from([each for each in KEYS if each[1] not in NAMES]))
    value = data.draw(right(settings.at(key)))
    params = copy.deepcopy(TASKS[task])
    put(params, key, value)
    assert not refused_by_stage(params, folder), (key, value)
    assert not refused_by_lab(task, key, value), (key, value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("training.ema", "no", "'no': expected true or false. Did you mean false?"),
        ("lr", "small", "'small': expected a number above 0 up to 100, such as 0.001"),
        ("lr", "0.001", "'0.001': expected a number above 0 up to 100. Did you mean 0.001?"),
        ("lr", -0.001, "-0.001: expected a number above 0 up to 100. Did you mean 0.001?"),
        ("lr", math.nan, ".nan: expected a number above 0 up to 100, such as 0.001"),
        ("seed", 1e30, "1e+30: expected a whole number from 0 up to 4,000,000,000. Did you mean 4000000000?"),
        ("seed", "007", "'007': expected a whole number from 0 up to 4,000,000,000. Did you mean 7?"),
        ("training.max_epochs", 5.0, "5.0: expected a whole number from 1 up to 1,000,000. Did you mean 5?"),
        ("training.optimizer", "adamx", "'adamx': expected one of adamw, adam, sgd. Did you mean 'adam'?"),
        ("training.optimizer", "ADAM", "'ADAM': expected one of adamw, adam, sgd. Did you mean adam?"),
        ("training.patience", "null", "'null': expected null or a whole number from 1 up to 1,000,000."),
        ("data.source.fractions.val", 1, "1: expected a number from 0 to less than 1"),
        ("infer.latency.batch_sizes", 8, "8: expected a list of one or more, each a whole number"),
        ("training", {}, "is missing"),
        ("infer.slices", ["label", "camera", "camera"], "infer.slices.2: 'camera' is named twice"),
        ("data.source.fold", "6", "'6': expected null or k of n, such as 1 of 5"),
    ],
)
def test_a_sentence_says_what_was_expected_and_what_is_nearest(key: str, value: Any, sentence: str) -> None:
    params = copy.deepcopy(TASKS["classification"])
    put(params, key, value)
    assert sentence in "\n".join(f"{name}: {problem}" for name, problem in settings.mistakes(params))


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    text = OmegaConf.to_yaml(TASKS["classification"])
    lines = text.replace("ema: false", "ema: no").replace("\nseed: 0\n", "\nseed: 1e30\n").splitlines()
    (tmp_path / "params.yaml").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(errors.UserError) as caught:
            config.load([])
    place = {line.split(":")[0].strip(): number for number, line in enumerate(lines, 1)}
    assert f"params.yaml, line {place['ema']}: training.ema: 'no'" in str(caught.value)
    assert f"params.yaml, line {place['seed']}: seed: 1e+30" in str(caught.value)


def test_an_override_of_the_command_line_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """lr is training.lr, too, by conf/."""
    monkeypatch.chdir(PROJECT)
    with pytest.raises(errors.UserError) as caught:
        config.load(["task=classification", "lr=small", "training.threads=0"])
    places = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert sorted(places) == ["lr=small", "training.threads=0"]


def test_the_schema_has_no_words_that_nothing_reads() -> None:
    def words(part: Any) -> Iterator[str]:
        for word, value in part.items():
            yield word
            if word == "properties":
                for inner in value.values():
                    yield from words(inner)
            for inner in value if word == "anyOf" else [value] if word in ("items", "additionalProperties") else []:
                yield from words(inner)

    content = json.loads(settings.SCHEMA.read_text())
    definitions = {name: part for name, part in content["$defs"].items() if name != "interpolation"}
    assert {word for part in definitions.values() for word in words(part)} <= settings.KNOWN
    assert set(words(content)) - {"$schema", "$defs", "$comment", "title"} <= settings.KNOWN
