"""Values through Hydra's grammar, and configs as Hydra composes them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from project import load
from workspace import PROJECT

overrides = load("design.overrides")
composing = load("design.compose")
UserError = load("errors").UserError

COMPOSER = composing.Composer(PROJECT / "conf")
AWKWARD = [
    "two words", "it's", '"quoted"', "a,b", "a=b", "$HOME", "${lr}", "\\${lr}", "\\\\${lr}", "${", "{}", "{a: 1}", "[1, 2]", "`ls`",
    "$(ls)", "a; b && c | d > e", "#", "~", "*", "?", "é🦊 Größe", "x" * 300, "\\", "a\\", "a\\'", "'", "''", "", " ", " a ", "true", "NULL",
    "nan", "-inf", "1e-3", "12", "0x1", "007", "a:b", "a@b", "-x", "+x", "a/b.c", "%", "choice(a,b)", "range(3)",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" $'\\{}"), max_size=300)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts


def by_hydra(given_overrides: list[str]) -> dict:
    with initialize_config_dir(str(PROJECT / "conf"), version_base=None):
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


def test_interpolations_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: ${b}\nb: ${a}\n")
    with pytest.raises(UserError, match="circle"):
        composing.Composer(tmp_path).compose([])


def test_without_conf(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not found"):
        composing.Composer(tmp_path / "conf")
