"""Values through Hydra's grammar, and configs as Hydra composes them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contracts
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lab import yaml12
from lab.design import overrides
from lab.design.compose import Composer, WrongKeys, composer_of
from lab.design.pipeline import Pipeline
from lab.design.sources import HydraSource, ParamsSource
from lab.errors import UserError

CONF = contracts.tree() / "conf"
COMPOSER = composer_of(contracts.tree())
AWKWARD = [
    "two words",
    "it's",
    '"quoted"',
    "a,b",
    "a=b",
    "$HOME",
    "${lr}",
    "\\${lr}",
    "\\\\${lr}",
    "${",
    "{}",
    "{a: 1}",
    "[1, 2]",
    "`ls`",
    "$(ls)",
    "a; b && c | d > e",
    "#",
    "~",
    "*",
    "?",
    "é🦊 Größe",
    "x" * 300,
    "\\",
    "a\\",
    "a\\'",
    "'",
    "''",
    "",
    " ",
    " a ",
    "true",
    "NULL",
    "nan",
    "-inf",
    "1e-3",
    "12",
    "0x1",
    "007",
    "a:b",
    "a@b",
    "-x",
    "+x",
    "a/b.c",
    "%",
    "choice(a,b)",
    "range(3)",
]
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" $'\\{}"), max_size=300)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts


def by_hydra(given_overrides: list[str]) -> dict:
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=given_overrides)
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


@given(scalars | st.lists(scalars, max_size=4))
@example(AWKWARD)
def test_values_survive_hydras_parser(value: object) -> None:
    parsed = OverridesParser.create().parse_override(overrides.override("model.name", value))
    assert not parsed.is_sweep_override()
    found = OmegaConf.to_container(OmegaConf.create({"found": parsed.value()}), resolve=True)
    assert found == {"found": value}
    assert repr(found) == repr({"found": value}), "of the same types"


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
@example(1e5)
@example(-0.0)
def test_numbers_are_read_as_hydra_reads_them(value: float) -> None:
    for text in (f"lr={value!r}", f"a.b_1={value:g}", f"lr={value:.3e}", f"lr=0{value!r}"):
        try:
            expected = OverridesParser.create().parse_override(text).value()
        except HydraException:
            continue
        found = overrides.parse(text).value
        assert (type(found), repr(found)) == (type(expected), repr(expected)), text


@pytest.mark.parametrize("value", AWKWARD)
def test_awkward_texts_arrive_in_the_config(value: str) -> None:
    if value == "???":
        pytest.skip("OmegaConf's own")
    override = overrides.override("model.name", value)
    assert COMPOSER.compose([override])["model"]["name"] == value
    assert by_hydra([override])["model"]["name"] == value


@pytest.mark.parametrize(
    "given_overrides",
    [
        [],
        ["lr=0.1"],
        ["task=detection", "model=yolo11t", "data.image_size=96"],
        ["task=classification", "model=efficientnet_b1", "quant=torch_fp32", "augmentation=full"],
        ["model.recipe.lr=3", "training.lr=5"],
        ["model.recipe={lr: 1, max_epochs: 2}"],
        ["training.lr=${seed}", "seed=7"],
        ["infer.members=[a,b,'c d']", "data.site=[A,B]"],
        ["infer.latency.batch_sizes.0=7"],
        ["+new.key=1", "~training.ema"],
        ["task=detection", "model=yolo11t", "model.architecture=yolo11n.yaml"],
    ],
)
def test_the_config_is_the_one_that_hydra_composes(given_overrides: list[str]) -> None:
    composed = COMPOSER.compose(given_overrides)
    assert composed == by_hydra(given_overrides)
    assert list(composed) == list(by_hydra(given_overrides)), "in the same order, as params.yaml shows it"


def test_a_composed_config_is_its_own() -> None:
    first = COMPOSER.compose(["lr=0.1"])
    first["model"]["recipe"]["lr"] = first["data"]["source"]["sites"] = None
    assert COMPOSER.compose(["lr=0.1"])["data"]["source"]["sites"] == ["A", "B"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lrr=1", "Did you mean 'lr'?"),
        ("batch_size=3", "Did you mean 'data.batch_size'?"),
        ("weight_decay=3", "Did you mean 'training.weight_decay'?"),  # and not the recipes that it is taken from
        ("data.imagesize=3", "Did you mean 'data.image_size'?"),
        ("modle=tiny", "Did you mean 'model'?"),
        ("model=yolo11x", "conf/model/ has efficientnet_b0"),
        ("quant=openvino_int4", "Did you mean 'openvino_int8'?"),
        ("quant=_base", "conf/quant/ has"),
        ("lr=1,2", "several values at once"),
        ("lr=range(3)", "several values at once"),
        ("lr=[", "not an override"),
        ("lr", "not an override"),
        ("lr=???", "has no value"),
        ("lr=${nope}", "nope"),
        ("lr.deeper=1", "lr.deeper is neither"),
    ],
)
def test_what_does_not_compose_is_named(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        COMPOSER.compose([override])
    assert words in str(caught.value)


def test_a_key_of_other_files_of_its_group_is_said_to_be_theirs(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [{model: flat}]\n")
    for name, text in {"flat": "lr: 1\n", "deep": "lr: 1\nlayers: {n: 9}\n", "wide": "layers: {n: 3}\n"}.items():
        (tmp_path / "model" / f"{name}.yaml").write_text(text)
    composer = Composer(HydraSource(tmp_path))
    with pytest.raises(WrongKeys, match="as it is chosen: model=deep or wide has it$"):
        composer.compose(["model.layers.n=2"])
    assert composer.compose(["model=deep", "model.layers.n=2"])["model"]["layers"]["n"] == 2


def test_interpolations_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: ${b}\nb: ${a}\n")
    with pytest.raises(UserError, match="circle"):
        Composer(HydraSource(tmp_path)).compose([])


def test_a_config_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: {b: ${c}}\n")
    with pytest.raises(UserError, match="not YAML"):
        Composer(HydraSource(tmp_path)).compose([])


@pytest.mark.parametrize(
    ("content", "told"), [(b"a: [1\n", "f.yaml, line 2: not YAML"), (b"\xff", "f.yaml is not a text")]
)
def test_files_that_are_not_yaml_are_named_with_the_line(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(content)
    for reading in (yaml12.read, Pipeline.read, ParamsSource):
        with pytest.raises(UserError, match=told):
            reading(tmp_path / "f.yaml")


def test_without_conf(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        HydraSource(tmp_path / "conf")


def plain(folder: Path, text: str) -> Composer:
    (folder / "params.yaml").write_text(text)
    return composer_of(folder)


@given(scalars | st.lists(scalars, max_size=4))
@example(AWKWARD)
def test_values_are_read_back_without_hydra(value: object) -> None:
    change = overrides.parse_plain(overrides.override("model.name", value))
    assert repr(change[1:]) == repr(("", "model.name", value))


def test_without_hydra_the_config_is_params_yaml(tmp_path: Path) -> None:
    composer = plain(tmp_path, "forest: {depth: 1, trees: [3, 4]}\nnote: ${depth}\n")
    assert isinstance(composer.source, ParamsSource)
    assert composer.compose([]) == {"forest": {"depth": 1, "trees": [3, 4]}, "note": "${depth}"}
    changed = composer.compose(["forest.depth=6", "forest.trees.1=9", "note='two words'", "+new.key=[a, 'b c', 1e-3]"])
    assert changed == {
        "forest": {"depth": 6, "trees": [3, 9]},
        "note": "two words",
        "new": {"key": ["a", "b c", 0.001]},
    }
    assert composer.compose(["~note", "forest={depth: 2}"]) == {"forest": {"depth": 2, "trees": [3, 4]}}
    assert composer.compose(["++forest.depth=3"])["forest"]["depth"] == 3
    assert composer.compose([])["forest"] == {"depth": 1, "trees": [3, 4]}, "its own each time"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("forest.depht=1", "forest.depht is neither a key nor a group of params.yaml. Did you mean 'forest.depth'?"),
        ("depth=1", "Did you mean 'forest.depth'?"),
        ("forest.depth=1,2", "several values at once"),
        ("forest.depth=range(3)", "several values at once"),
        ("forest.depth=[", "not an override"),
        ("forest", "not an override"),
        ("+forest.depth=2", "is in params.yaml: set it without +"),
        ("+forest.depth.deeper=2", "forest.depth is a single value in params.yaml"),
        ("forest.depth=???", "has no value"),
    ],
)
def test_what_does_not_fit_params_yaml_is_named(override: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        plain(tmp_path, "forest: {depth: 1}\n").compose([override])
    assert words in str(caught.value)


def test_hydra_composes_where_dvc_uses_it(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("a: 1\n")
    (tmp_path / "params.yaml").write_text("a: 2\n")
    assert composer_of(tmp_path).compose([]) == {"a": 1}, "where nothing is known of DVC"
    (tmp_path / ".dvc").mkdir()
    config = tmp_path / ".dvc" / "config"
    config.write_text("[core]\n    remote = x\n['remote \"x\"']\n    url = /y\n")
    assert composer_of(tmp_path).compose([]) == {"a": 1}
    config.write_text("[hydra]\n    enabled = False\n")
    assert composer_of(tmp_path).compose([]) == {"a": 2}
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "main.yaml").write_text("a: 3\n")
    config.write_text("[hydra]\n    enabled = True\n    config_dir = settings\n    config_name = main\n")
    assert composer_of(tmp_path).compose([]) == {"a": 3}
    with pytest.raises(UserError, match="params.yaml not found"):
        composer_of(tmp_path / "settings")


CHOSEN = """
file: ${oc.select:standing.${model.weights},${model.weights}}
standing: {None: nothing.py, known: known.py}
model: {weights: null, lr: "${lr}", other: "${file}"}
text: "lr ${lr} of ${model.weights}"
lr: 1
"""


def test_what_is_chosen_by_a_value_is_hydras_and_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(CHOSEN)
    source = HydraSource(tmp_path)
    for override in (
        [],
        ["model.weights=known"],
        ["model.weights=some.pt"],
        ["lr=2"],
        ["file=own"],
        ["text=own", "lr=3"],
    ):
        with initialize_config_dir(str(tmp_path), version_base=None):
            expected = OmegaConf.to_container(compose("config", overrides=override), resolve=True)
        assert Composer(source).compose(override) == expected
    composer = Composer(source)
    composer.compose([])
    monkeypatch.setattr(source, "composed", None)
    computed = []
    monkeypatch.setattr(source, "value", lambda text, config: computed.append(text))
    for lr in range(10):
        composer.compose([f"model.weights={lr % 2}", "lr=5"])
    assert len(computed) == 4, "two texts, and two values of what they depend on"


def test_what_was_composed_before_needs_no_hydra_until_the_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, kept = tmp_path / "config.yaml", dict[str, str]()
    config.write_text(CHOSEN)

    def remember(key: str, work_out: Callable[[], Any]) -> Any:
        """As on disk."""
        if key not in kept:
            kept[key] = json.dumps(work_out())
        return json.loads(kept[key])

    def composed() -> dict[str, Any]:
        return Composer(HydraSource(tmp_path, remember=remember)).compose(["model.weights=known", "lr=2"])

    expected = composed()
    with monkeypatch.context() as without:
        for name in ("hydra", "omegaconf"):
            without.setitem(sys.modules, name, None)  # importing it fails
        assert composed() == expected
    config.write_text(CHOSEN + "new: ${lr}\n")
    assert composed() == {**expected, "new": 2}
    config.write_text(CHOSEN + "new: 3\nhydra: {searchpath: []}\n")
    number = len(kept)
    assert composed()["new"] == 3 and len(kept) == number, "made of more than the folder: composed each time"


@pytest.mark.parametrize("text", ["${oc.select:${b},1}", "${oc.select:a${b},1}", "x${.b}", "\\${b}", "${oc.env:HOME}"])
def test_what_depends_on_more_than_it_names_goes_through_hydra(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml12.dump({"a": text, "b": "c", "c": 5}))
    with initialize_config_dir(str(tmp_path), version_base=None):
        expected = OmegaConf.to_container(compose("config", overrides=["c=6"]), resolve=True)
    assert Composer(HydraSource(tmp_path)).compose(["c=6"]) == expected


def test_all_that_is_wrong_with_overrides_is_said_at_once_and_how_any_other_file_of_a_group_is_chosen(
    tree: Path,
) -> None:
    with pytest.raises(WrongKeys) as caught:
        composer_of(tree).compose(["model=resnet50", "model.of_which_nobody_knows=1", "traning.ema=true", "lr="])
    model, key = str(caught.value).splitlines()
    assert "Any other is set by a key, as model=" in model and "model.architecture=resnet50" in model
    assert key.endswith("Did you mean 'training.ema'?")
