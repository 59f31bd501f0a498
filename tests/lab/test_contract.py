"""lab.yaml: what it may say, what is refused and how, and what its patterns of metrics come to."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import contracts
import pytest
from contracts import PLAIN, PROJECT, VISION, VISION_TEXT
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import contract, nested_keys, yaml12
from lab.contract import Contract, hooks
from lab.contract.metrics import compiled
from lab.errors import UserError
from lab.records import metrics_files

LEAST = "types: {train: evaluate}\n"


def refused(text: str) -> str:
    with pytest.raises(UserError) as caught:
        contract.parse(text, "lab.yaml")
    return str(caught.value)


# What a file may say


def test_three_lines_are_enough() -> None:
    least = contract.parse("types: {train: evaluate}\n", "lab.yaml")
    assert (least.seeds, least.main_metrics("evaluate"), least.latency("evaluate")) == (["seed"], [], None)
    assert (least.predictions_path("evaluate"), least.effective_path("evaluate")) == (None, None)
    assert (least.task_of({"task": "a"}), least.models_named({"model": "b"})) == ("", [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lab.yaml: is empty: docs/your-own-pipeline.md has one of a few lines"),
        ("- a\n", "lab.yaml: expected a mapping, not ['a']: docs/your-own-pipeline.md"),
        ("types: [\n", "lab.yaml, line 2: not YAML"),
        ("seeds: [seed]\n", "line 1: types: is missing: expected a name for a kind of experiment"),
        ("types: {}\n", "line 1: types: is empty: expected a name for a kind of experiment"),
        ("types: [a]\n", "line 1: types: ['a']: expected a name for a kind of experiment"),
        ("types: {1: a}\n", "line 1: types.1: a key has to be a text: write '1' in quotes"),
        (LEAST + "7: a\n", "line 2: 7: a key has to be a text: write '7' in quotes"),
        (LEAST + "seedss: [a]\n", "line 2: seedss: no such key here. Did you mean 'seeds'?"),
        (LEAST + "seeds: seed\n", "line 2: seeds: 'seed': expected a list"),
        (LEAST + "seeds:\n  - a\n  - b c\n", "line 4: seeds.1: 'b c': expected a key of the settings"),
        (
            LEAST + "metrics:\n  a.b: {direction: up}\n",
            "line 3: metrics.a.b.direction: 'up' is not one of maximize, mini",
        ),
        (LEAST + "metrics:\n  a.b: {direction: maximise}\n", "Did you mean 'maximize'?"),
        (
            LEAST + "metrics:\n  a.b:\n    titel: x\n",
            "line 4: metrics.a.b.titel: no such key here. Did you mean 'title'?",
        ),
        (LEAST + "metrics:\n  a.b: {bounds: [1, 0]}\n", "line 3: metrics.a.b.bounds: [1, 0]: expected the smaller one"),
        (LEAST + "metrics:\n  a.b: {bounds: [1]}\n", "metrics.a.b.bounds: [1]: expected 2 or more"),
        (LEAST + "metrics:\n  '*.b': {busy: '{1}.c'}\n", "line 3: metrics.*.b.busy: '{1}.c': by the * of the pattern"),
        (
            LEAST + "metrics:\n  a.b: {title: 'a {'}\n",
            "metrics.a.b.title: 'a {': the { at character 3 has no }",
        ),
        (
            LEAST + "parts: {'*.sites.*': 'at {2}'}\n",
            "line 2: parts.*.sites.*: 'at {2}': by the * of the pattern there is {0}",
        ),
        (LEAST + "parts: {sites: at a site}\n", "line 2: parts.sites: expected a pattern that begins with *."),
        (LEAST + "run_name: '{date}_}{arm}'\n", "run_name: '{date}_}{arm}': the } at character 8 has no { before it"),
        (LEAST + "data_facts: [{text: 'on {', key: a}]\n", "data_facts.0.text: 'on {': the { at character 4 has no }"),
        (
            LEAST + "single: {name: s, kind: single, figures: [{draw: matrix, labels: {titel: a}}]}\n",
            "Did you mean 'title'?",
        ),
        (
            LEAST + "single: {name: s, kind: single, figures: [{draw: gap, labels: {x: '{a}'}}]}\n",
            "nothing but {metric}",
        ),
        (LEAST + "single: {name: s, figures: [{draw: arms, titles: [a]}]}\n", "arms takes no titles"),
        (
            LEAST + "single: {name: s, figures: [{draw: gains, metrics: [a.b], lines: [0, 1]}]}\n",
            "lines: 2 of them for 1",
        ),
        (LEAST + "metrics:\n  a.b: {}\n  a.b: {}\n", "lab.yaml, line 4: a.b is there twice"),
        (LEAST + "check: my_package.check\n", "line 2: check: 'my_package.check': expected module:function"),
        (LEAST + "predictions: {output: 'x/{stge}.csv'}\n", "nothing but {stage} stands for something in it"),
        (LEAST + "effective: e/{}.yaml\n", "line 2: effective: 'e/{}.yaml': nothing but {stage}"),
        (LEAST + "recipes: [train, trian]\n", "line 2: recipes.1: 'trian' is not one of train. Did you mean 'train'?"),
        (
            LEAST + "questions:\n  - {name: a}\n  - {name: b, types: [infer]}\n",
            "line 4: questions.1.types.0: 'infer' is not",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_key(text: str, words: str) -> None:
    assert words in refused(text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(refused("seeds: a\nnope: 1\nmetrics: {a.b: {direction: up}}\n").splitlines()) == 4
    assert len(refused(LEAST + "recipes: [a, b]\nmetrics: {a.b: {bounds: [1, 0]}}\n").splitlines()) == 3


FULL = """
types: {train: infer, quant: quant}
recipes: [train]
seeds: [seed]
task: {key: task, same: [data.task], unused_packages: {detection: [timm]}}
names: {model: model.name}
model_keys: {one: infer.model, least: 3}
models: [{output: model.pt, champion: model.pt, when: {task: a}}]
predictions: {output: "{stage}.csv", slices: [site]}
curves: {output: plots, stage: train, parts: {val: validation}}
neutral: {train: [threads]}
distinct: {train: {output: model.pt, called: weights}}
main: [f1]
metrics: {"*.f1": {direction: maximize, bounds: [0, 1]}}
speed: {latency: {infer: speed.ms}, gain_types: [quant]}
data_facts: [{text: "site {}", key: data.site}]
questions: [{name: one, varies: [quant], types: [quant], figures: [{draw: gains, metrics: [a.b], lines: [0]}]}]
"""
JUNK = [None, 7, 1.5, True, "x {", "", [], {}, [7], {7: 7}, {"x": 7}, [{"x": 7}], "2026-11-26", float("nan")]


@given(st.sampled_from(sorted(Contract.model_fields)), st.sampled_from(JUNK), st.booleans())
def test_no_mistake_is_told_in_a_library_s_words_nor_hides_another(field: str, junk: Any, inside: bool) -> None:
    """Anything in any place of lab.yaml: refused in our own words, beside what is wrong elsewhere."""
    content = yaml12.load(FULL)
    value = content.get(field)
    if inside and isinstance(value, dict):
        content[field] = {**value, next(iter(value)): junk}
    elif inside and isinstance(value, list) and value:
        content[field] = [junk, *value[1:]]
    else:
        content[field] = junk
    try:
        contract.parse(yaml12.dump(content), "lab.yaml")
    except UserError as error:
        words = ("input should", "valid", "[key]", "dictionary", "instance", "pydantic", "mapping_type", "should have")
        assert not [word for word in words if word in str(error).lower()], error
        assert all(re.match("lab.yaml, line [0-9]+: ", line) for line in str(error).splitlines()), error
    if field not in ("types", "recipes", "questions"):
        content["recipes"] = ["trian"]
        assert "recipes.0: 'trian' is not one of" in refused(yaml12.dump(content))
    if field != "metrics":
        content["metrics"]["a.b"] = {"bounds": [1, 0], "titel": "x"}
        said = refused(yaml12.dump(content))
        assert "metrics.a.b.titel: no such key" in said and "expected the smaller one first" in said


def test_merge_keys_are_read_as_dvc_reads_them() -> None:
    text = LEAST + "metrics:\n  a.b: &score {direction: maximize, unit: s}\n  a.c: {<<: *score, unit: ms}\n"
    read = contract.parse(text, "lab.yaml")
    assert (read.metric("a.c").direction, read.metric("a.c").unit) == ("maximize", "ms")
    assert yaml12.load(yaml12.dump({"a": "<<"})) == {"a": "<<"}


def test_without_the_file_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no lab.yaml.*docs/your-own-pipeline.md"):
        contract.read(tmp_path)
    (tmp_path / "lab.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        contract.read(tmp_path)
    (tmp_path / "lab.yaml").write_text(LEAST)
    assert contract.read(tmp_path).types == {"train": "evaluate"}


def test_the_json_schema_is_the_committed_one() -> None:
    committed = json.loads((PROJECT / "src" / "lab" / "contract" / "schema.json").read_text())
    assert committed == contract.json_schema(), "lab schema writes it anew"
    first = VISION_TEXT.split("types:")[0]
    assert "$schema=src/lab/contract/schema.json" in first, "editors find it"


# Metrics

names = st.from_regex(r"[a-z_]{1,8}(\.[a-zA-Z0-9_]{1,8}){1,3}", fullmatch=True)
parts = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="*{}"), min_size=1, max_size=8)


@given(names, st.text(max_size=20))
def test_a_name_without_a_star_matches_itself_alone(name: str, other: str) -> None:
    assert compiled(name).fullmatch(name)
    assert bool(compiled(name).fullmatch(other)) == (name == other)


@given(st.lists(parts, min_size=1, max_size=4), st.data())
def test_stars_stand_for_any_text_that_is_not_empty(texts: list[str], data: st.DataObject) -> None:
    pattern = "*".join(texts)
    stars = data.draw(st.lists(parts, min_size=len(texts) - 1, max_size=len(texts) - 1))
    name = "".join(text + star for text, star in zip(texts, [*stars, ""], strict=True))
    match = compiled(pattern).fullmatch(name)
    assert match is not None
    assert len(match.groups()) == len(texts) - 1
    rebuilt = "".join(text + star for text, star in zip(texts, [*match.groups(), ""], strict=True))
    assert rebuilt == name, "what {0} and {1} stand for is the name's own text"


@given(names)
def test_any_metric_is_told(name: str) -> None:
    """One that lab.yaml doesn't know has a title, and nothing is guessed from its name."""
    for known in (VISION, PLAIN):
        metric = known.metric(name)
        assert metric.name == name and metric.title
        if not metric.known:
            assert (metric.direction, metric.low, metric.high, metric.per_item) == (None, None, None, None)
            assert not (metric.exact or metric.timing or metric.counted_over)


@pytest.mark.parametrize(
    "name", ["evaluate.emphasized_f1", "evaluate.size", "evaluate.loss", "evaluate.latency_ms.p50"]
)
def test_nothing_is_guessed_from_a_name(name: str) -> None:
    metric = PLAIN.metric(name)
    assert (metric.known, metric.direction, metric.title) == (False, None, name.rpartition(".")[2])


def test_the_first_pattern_that_matches_counts() -> None:
    text = LEAST + "metrics:\n  a.b: {title: one}\n  '*.b': {title: 'of {0}', unit: s}\n  '*': {direction: minimize}\n"
    entries = contract.parse(text, "lab.yaml")
    assert (entries.metric("a.b").title, entries.metric("a.b").direction) == ("one", None)
    assert entries.metric("c.d.b").label == "of c.d, s"
    assert entries.metric("c.d").direction == "minimize"


@given(st.text("abcXYZ._- 1", min_size=1).filter(lambda text: text.strip(".") == text))
def test_a_metric_of_some_items_is_known_as_that_of_all(part: str) -> None:
    """Whatever the part is called, also with dots: as `infer.sites.A.f1` is what `infer.f1` is, over A's own items."""
    whole = VISION.metric("infer.f1_macro")
    for name, title in (
        (f"infer.sites.{part}", f"macro-F1 at site {part}"),
        (f"infer.slices.camera.{part}", f"macro-F1 of camera {part}"),
    ):
        metric = VISION.metric(f"{name}.f1_macro")
        assert (metric.title, metric.direction, metric.per_item) == (title, whole.direction, whole.per_item)
        assert metric.counted_over == (f"{name}.objects", f"{name}.images") and metric.tasks == whole.tasks
        assert not metric.twin, "nothing was measured of it on validation data"
        assert not VISION.metric(f"{name}.unheard_of").known
    torch = VISION.metric(f"quant.torch.sites.{part}.f1_macro")
    assert torch.title == f"macro-F1 of PyTorch at site {part}" and not torch.per_item


NAMES = st.text("ab.1", min_size=1, max_size=5)
LEAVES: st.SearchStrategy[Any] = st.floats(0, 1)
INNER = st.dictionaries(NAMES, st.dictionaries(NAMES, LEAVES, min_size=1, max_size=2) | LEAVES, min_size=1, max_size=3)
METRICS = st.dictionaries(NAMES, INNER | LEAVES, max_size=3)


def test_a_list_of_a_condition_stands_for_any_of_its_values() -> None:
    for wanted, fits in (("b", False), ("a", True), (["b", "a"], True), (["b"], False), (["a"], True), ([], False)):
        assert VISION.fits({"task": wanted, "data.site": "A"}, {"task": "a", "data": {"site": "A"}}) is fits
    assert VISION.fits({"data.site": ["A", "B"]}, {"data": {"site": ["A", "B"]}}), "a setting that is a list"
    assert not VISION.fits({"task": ["a"], "data.site": "B"}, {"task": "a", "data": {"site": "A"}})


@given(METRICS)
@settings(max_examples=50, deadline=None)
def test_what_is_in_a_metrics_file_is_found_by_its_key_whatever_names_it_has(content: dict[str, Any]) -> None:
    keys = [key for key, _ in nested_keys.pairs(content)]
    if len(set(keys)) < len(keys):
        with pytest.raises(UserError, match="two values called"):
            metrics_files.parsed("metrics/infer.json", json.dumps(content))
        return
    found = metrics_files.parsed("metrics/infer.json", json.dumps(content))
    assert {key: nested_keys.find(found, key) for key in keys} == nested_keys.flat(content)
    assert not nested_keys.exists(found, "c") and not nested_keys.exists(found, f"{keys[0] if keys else 'a'}.c")


@given(METRICS)
@settings(max_examples=50, deadline=None)
def test_what_was_spread_out_is_found_again_where_it_is_nested(content: dict[str, Any]) -> None:
    spread = nested_keys.flat(content)
    again = nested_keys.nested(spread)
    assert {key: nested_keys.find(again, key) for key in spread} == spread
    assert nested_keys.flat(again) == spread


def test_the_templates_own_metrics() -> None:
    score = VISION.metric("infer.classes.cat.f1")
    assert (score.title, score.direction, score.low, score.high, score.by) == (
        "F1 of class cat", "maximize", 0.0, 1.0, "class",
    )  # fmt: skip
    assert score.counted_over == ("infer.objects", "infer.images")
    latency = VISION.metric("infer_speed.batch_1.latency_ms.p50")
    assert (latency.label, latency.direction, latency.busy) == (
        "median latency, ms", "minimize", "infer_speed.measured.busy",
    )  # fmt: skip
    assert VISION.metric("infer.emphasized_f1").known is False
    assert VISION.main_metrics("quant") == ["quant.mAP50_95", "quant.mAP50", "quant.mAP", "quant.f1_macro"]


# Settings


@given(st.integers(0, 99), st.integers(0, 99))
def test_seeds_lie_where_the_contract_says(first: int, second: int) -> None:
    two = contracts.contract("types: {train: evaluate}\nseeds: [seed, model.seed]\n")
    params: dict[str, Any] = {"seed": first, "model": {"seed": first, "depth": 3}}
    changed = two.with_seed(params, second)
    assert changed == {"seed": second, "model": {"seed": second, "depth": 3}}
    assert params["model"]["seed"] == first, "a copy"
    assert two.seed_of(changed) == second
    assert two.without_seeds(nested_keys.flat(changed)) == {"model.depth": 3}


def test_models_that_a_run_takes() -> None:
    params = {"infer": {"model": None, "members": ["a", "b"]}}
    assert VISION.models_named(params) == ["a", "b"]
    assert VISION.models_named({"infer": {"model": "v1", "members": []}}) == ["v1"]


# Functions of the project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "own_hooks.py").write_text(
        "def check(params):\n    if params['lr'] < 0:\n        raise ValueError('lr is below 0')\n    return 'fine'\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_hooks", raising=False)
    return tmp_path


def test_hooks_are_functions_of_the_project(project: Path) -> None:
    check = hooks.load(project, "own_hooks:check", tells=True)
    assert check({"lr": 1}) == "fine"
    with pytest.raises(UserError, match="lr is below 0"):
        check({"lr": -1})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_hooks:chek", "own_hooks has no such function. Did you mean 'check'?"),
        ("no_hooks:check", "its module can't be imported: No module named 'no_hooks'"),
    ],
)
def test_hooks_that_are_not_there(project: Path, name: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        hooks.load(project, name)
    assert words in str(caught.value)


# YAML


@given(st.recursive(st.none() | st.booleans() | st.integers() | parts, lambda inner: st.lists(inner, max_size=3)))
def test_yaml_is_read_as_it_was_written(value: Any) -> None:
    assert yaml12.load(yaml12.dump({"a": value})) == {"a": value}


def test_lines_of_what_stands_in_a_file() -> None:
    content = yaml12.lines("# comment\na:\n  b: [1,\n    2]\nc: {d: 3}\n")
    places = {(): 2, ("a",): 2, ("a", "b"): 3, ("a", "b", 1): 4, ("c", "d"): 5, ("c", "nope"): 5, ("a", "b", 9, "x"): 3}
    assert {keys: yaml12.line_of(content, keys) for keys in places} == places
