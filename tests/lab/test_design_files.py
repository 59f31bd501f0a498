"""Design files: what they may say, what is refused and how, and the way from YAML to Python and back."""

import json
import re
from pathlib import Path
from typing import Any

import contracts
import pytest
import yaml
from contracts import PLAIN, PROJECT, VISION
from hypothesis import given
from hypothesis import strategies as st

from lab import yaml12
from lab.contract import Contract
from lab.design import bayesian, design_file
from lab.design.compose import composer_of
from lab.design.editor_schema import json_schema
from lab.design.levels import identity
from lab.design.models import digest
from lab.design.scenarios import Scenario
from lab.errors import UserError

SHIPPED = sorted((contracts.tree() / "designs").glob("*.yaml"))
HEAD = "kind: {kind}\ntype: train\ntitle: What?\n"
SWEEP = HEAD.format(kind="sweep")
COMPARISON = HEAD.format(kind="comparison")
SINGLE = HEAD.format(kind="single")


def message(folder: Path, text: str | bytes, contract: Contract = VISION) -> str:
    path = folder / "some.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as caught:
        design_file.read(path, contract)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_designs_survive_the_round_trip(path: Path, tmp_path: Path) -> None:
    design = design_file.read(path, VISION)
    copy = tmp_path / path.name
    design_file.write(design, copy)
    assert design_file.read(copy, VISION) == design
    assert yaml12.load(copy.read_text()) == yaml12.load(path.read_text())


def test_a_shipped_design_that_does_not_decide_says_what_it_would_take() -> None:
    said: dict[str, str] = {}
    for path in SHIPPED:
        for comment in re.findall(r"^#.*undecided.*\n(?:#.*\n)*", path.read_text(), re.MULTILINE | re.IGNORECASE):
            said[path.stem] = " ".join(comment.replace("#", " ").split())
    assert said
    form = r"Undecided on the embedded digits: .+\. It takes .+\."  # as the template's nightly test looks for
    assert not {name: words for name, words in said.items() if not re.fullmatch(form, words)}


def test_the_json_schema_is_the_committed_one() -> None:
    committed = json.loads((PROJECT / "designs" / "schema.json").read_text())
    assert committed == json_schema(VISION, composer_of(contracts.tree()).settable()), "lab schema writes it anew"
    assert "designs/schema.json" in json.loads((PROJECT / ".vscode" / "settings.json").read_text())["yaml.schemas"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "not a design"),
        ("lr: 3\n", "not a design: it has no kind"),
        (
            "kind: sweeep\n",
            "line 1: kind: 'sweeep' is not one of single, sweep, comparison, ablation, quantization_compare. "
            "Did you mean 'sweep'?",
        ),
        (SINGLE + "hypotesis: {}\n", "line 4: hypotesis: no such key here. Did you mean 'hypothesis'?"),
        (SINGLE + "type: infer\n", "line 4: type is there twice"),
        (SWEEP, "sweep: is missing"),
        (SWEEP + "sweep:\n  parameters: {lr: [1]}\n  max_runs: 100000000\n", "line 6: sweep.max_runs"),
        (SWEEP + "sweep:\n  parameters: {lr: [1]}\n  sampler_seed: -1\n", "line 6: sweep.sampler_seed"),
        (
            SWEEP + "sweep:\n  parameters: {lr: [1]}\n  max_run: 3\n",
            "line 6: sweep.max_run: no such key here. Did you mean 'max_runs'?",
        ),
        (
            SWEEP + "sweep: {parameters: {lr: {low: 1, hihg: 2}}}\n",
            "sweep.parameters.lr.hihg: no such key here. Did you mean 'high'?",
        ),
        (SWEEP + "sweep: {parameters: {lr: []}}\n", "sweep.parameters.lr: is empty"),
        (SWEEP + "sweep: {parameters: {}}\n", "sweep.parameters: is empty"),
        (SWEEP + "sweep: {parameters: {lr: [16, 16.0]}}\n", "sweep.parameters.lr: 16.0 is there twice"),
        (SWEEP + "sweep: {parameters: {lr: 5}}\n", "sweep.parameters.lr: 5: expected a list of values, or a range"),
        (SWEEP + "sweep: {parameters: {lr: [{a: 1}]}}\n", "sweep.parameters.lr.0: {'a': 1}: expected a single value"),
        (
            SWEEP + "sweep: {parameters: {lr: {low: 2, high: 1}}, strategy: random, max_runs: 3}\n",
            "expected low < high",
        ),
        (SWEEP + "sweep: {parameters: {lr: {low: 1, high: 2}}}\n", "strategy: grid expects lists"),
        (SWEEP + "sweep: {parameters: {lr: [1]}, strategy: random}\n", "strategy: random expects max_runs"),
        (SWEEP + "sweep: {parameters: {lr: [1]}, strategy: rando}\n", "Did you mean 'random'?"),
        (SWEEP + "sweep: {parameters: {lr: [1e999]}}\n", "sweep.parameters.lr.0: inf: expected a finite number"),
        (
            SWEEP + "base: [lr=3]\nsweep: {parameters: {lr: [1]}}\n",
            "line 4: base.0: lr is set in base and varied as well",
        ),
        (
            SWEEP + "sweep:\n  strategy: grid\n  parameters:\n    lr: [1]\n    seed: [1]\n",
            "line 8: sweep.parameters.seed: the seed is set by seeds",
        ),
        (
            COMPARISON + "comparison:\n  variable: seed\n  values: [1, 2]\n",
            "line 5: comparison.variable: the seed is set by seeds",
        ),
        (
            COMPARISON + "comparison:\n  variables:\n    lr: [1, 2]\n    experiment.arm: [1]\n",
            "line 7: comparison.variables.experiment.arm: experiment is what lab writes",
        ),
        (SINGLE + "seeds: [0]\nbase: [model=tiny,\n  seed=2]\n", "line 6: base.1: the seed is set by seeds"),
        (
            SWEEP + "sweep:\n  parameters: {lr: [1]}\n  strategy: random\n",
            "line 6: sweep.strategy: strategy: random expects max_runs",
        ),
        (SINGLE + "seeds: []\n", "seeds: is empty"),
        (SINGLE + "resources: {gpus: -1}\n", "line 4: resources.gpus: -1: expected 0 or more"),
        (SINGLE + "resources: {gpus: 1.5}\n", "line 4: resources.gpus: 1.5 is neither a share of one GPU nor a whole"),
        (SINGLE + "resources: {timeout: 7200}\n", "line 4: resources.timeout: 7200: expected a text"),
        (SINGLE + "resources: {timeout: 7200 s}\n", "expected a time with its unit, such as 2h, 30m or 1h30m"),
        (SINGLE + "resources: {gpu: 1}\n", "line 4: resources.gpu: no such key here. Did you mean 'gpus'?"),
        (SINGLE + "seeds: [0, 1, 0]\n", "seeds: 0 is there twice"),
        (SINGLE + "seeds: [zero]\n", "line 4: seeds.0: 'zero': expected a whole number"),
        (SINGLE + "base: model=tiny\n", "base: 'model=tiny': expected a list"),
        (SINGLE + "base: [2]\n", "base.0: 2: expected an override, such as training.max_epochs=2"),
        (SINGLE + 'base: ["a=1\\nb=2"]\n', "line break"),
        (SINGLE + "targets: {good: 0.9}\n", "line 4: targets: targets expects a hypothesis"),
        (SINGLE + "date: 21.11.2026\n", "expected a date such as 2026-11-21"),
        (
            SINGLE + "hypothesis: {claim: c, metric: f1}\n",
            "'f1': expected the name of a metrics file and a key in it, such as infer.mAP50_95",
        ),
        (
            SINGLE + "hypothesis: {claim: c, metric: infer.f1, guardrails: [{metric: infer.x}]}\n",
            "guardrails.0: expected one of",
        ),
        (COMPARISON + "comparison: {variable: quant}\n", "expected either values or variables"),
        (COMPARISON + "comparison: {values: [a, b]}\n", "expects variable"),
        (COMPARISON + "comparison: {variables: {a: [1, 2], b: [1]}, zip: true}\n", "as many values for each variable"),
        (
            COMPARISON + "comparison: {variable: quant, values: {a: 3}}\n",
            "comparison.values.a: 3: expected an override, such as training.max_epochs=2, or a list of them; values",
        ),
        (
            COMPARISON + "comparison:\n  values:\n    a: [lr=1, 2]\n",
            "line 6: comparison.values.a.1: 2: expected an override, such as",
        ),
        (COMPARISON + "comparison: {variable: 3, values: [a]}\n", "comparison.variable: 3: expected a text"),
        (
            COMPARISON
            + "hypothesis: {claim: c, metric: infer.f1_macro, versus: a}\n"
            + "comparison:\n  variable: lr\n  values: [a, b]\n  versus: b\n",
            "line 8: comparison.versus: hypothesis.versus is a, but",
        ),
        ("kind: [\n", "line 2: not YAML"),
        ("kind: &a [1]\ntype: *a\n", "line 2: *a: aliases are not used in designs"),
        ("[" * 5000, "nested more than 12 deep"),
        ("a: !!python/object/apply:os.system [ls]\n", "not YAML"),
        (b"\xff\xfe\x00kind", "not a text file in UTF-8"),
        ("a: " + "x" * 70_000, "bytes: more than"),
    ],
)
def test_bad_files(text: str | bytes, words: str, tmp_path: Path) -> None:
    assert words in message(tmp_path, text)


def test_a_bomb_is_refused_at_once(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    assert "aliases are not used" in message(tmp_path, bomb)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = message(tmp_path, SINGLE + "seeds: [a]\nbase: 3\nnope: 1\n")
    assert len(text.splitlines()) == 3


def test_a_mistake_comes_with_the_line_as_it_was_meant(tmp_path: Path) -> None:
    text = SWEEP + "hypothesis: {claim: c, metric: f1_macro}\nsweep:\n  strategi: grid # all\n  parameters: {lr: [1]}\n"
    metric, strategy = message(tmp_path, text).splitlines()
    hint = "Did you mean 'infer.f1_macro' or 'quant.f1_macro'? Write hypothesis: {claim: c, metric: infer.f1_macro}"
    assert metric.endswith(hint)
    assert strategy.endswith("Did you mean 'strategy'? Write strategy: grid # all")
    assert message(tmp_path, SWEEP).endswith("sweep: is missing: sweep: {parameters: {lr: [0.001, 0.01]}}")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "lr_sweep.yaml").write_text(SINGLE)
    for name, words in {"lr_swep.yaml": "Did you mean", "": "a folder"}.items():
        with pytest.raises(UserError, match=words):
            design_file.read(tmp_path / name, VISION)


def test_a_name_belongs_to_one_design(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(SINGLE)
    (tmp_path / "two.yaml").write_text(SINGLE + "name: one\n")
    (tmp_path / "broken.yaml").write_text("[")
    with pytest.raises(UserError, match="one is taken by .*one.yaml"):
        design_file.names_taken(design_file.read(tmp_path / "two.yaml", VISION), tmp_path / "two.yaml")


@pytest.mark.parametrize(
    "written",
    ["abc", '"abc"', '"\\x61bc"', '"ab\\\n  c"', '"\\u0061\\u0062\\u0063"', "&a abc", "!!str abc", ">-\n  abc"],
)
def test_a_name_is_taken_however_it_is_written(written: str, tmp_path: Path) -> None:
    (tmp_path / "abc.yaml").write_text(SINGLE)
    (tmp_path / "other.yaml").write_text(f"{SINGLE}name: {written}\n")
    for name in ("abc", "other"):
        path = tmp_path / f"{name}.yaml"
        with pytest.raises(UserError, match="abc is taken by"):
            design_file.names_taken(design_file.read(path, VISION), path)


def test_plain_values_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    path = tmp_path / "some.yaml"
    path.write_text("a: [1e-3, .5, 1e3, 007, 1:30, on, yes, True, ~, 2026-11-21, -3, '1']")
    assert design_file.load(path.read_text(), path) == {
        "a": [0.001, 0.5, 1000.0, "007", "1:30", "on", "yes", True, None, "2026-11-21", -3, "1"]
    }


texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=300)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
levels = st.lists(scalars | st.lists(scalars, max_size=3), min_size=1, max_size=5, unique_by=identity)
lines = texts.filter(lambda text: text.strip())
keys = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True).filter(
    lambda key: key != "seed" and not key.startswith("experiment")
)


@given(
    parameters=st.dictionaries(keys, levels, min_size=1, max_size=3),
    title=lines,
    claim=lines,
    expected=st.floats(allow_nan=False, allow_infinity=False),
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True),
)
def test_designs_survive_the_way_to_yaml_and_back(
    parameters: dict[str, list],
    title: str,
    claim: str,
    expected: float,
    seeds: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    hypothesis = {"claim": claim, "metric": "infer.f1_macro", "expected": expected}
    scenario = Scenario("generated", title, "train", VISION, hypothesis=hypothesis, seeds=seeds)
    design = scenario.with_sweep(parameters)
    path = tmp_path_factory.getbasetemp() / "generated.yaml"
    design_file.write(design, path)
    again = design_file.read(path, VISION)
    assert again == design
    assert digest(again) == digest(design)


def test_scenarios_give_the_designs_of_files(tmp_path: Path) -> None:
    def scenario(type: str = "train", **settings: object) -> Scenario:
        return Scenario("a", "q", type=type, contract=VISION, **settings)

    built = [
        scenario().single(),
        scenario(seeds=[0, 1]).with_sweep({"lr": [0.1, 0.2]}, strategy="grid"),
        scenario().with_sweep({"lr": {"low": 0.1, "high": 1}}, strategy="bayesian", max_runs=3),
        scenario().with_ablation(["x=1"], {"x": "x=0"}, method="factorial"),
        scenario("infer").with_comparison("infer.model", ["v1", "v2"], versus="v1"),
        scenario("infer").with_comparison(values={"v1": "infer.model=v1", "v2": "infer.model=v2"}),
        scenario("quant").with_comparison("quant", ["openvino_fp32", "openvino_int8"], versus="openvino_fp32"),
    ]
    for design in built:
        design_file.write(design, tmp_path / "a.yaml")
        assert design_file.read(tmp_path / "a.yaml", VISION) == design
    assert built[-1].reference == "openvino_fp32"
    assert [design.type for design in built[-3:]] == ["infer", "infer", "quant"]
    with pytest.raises(UserError, match="Did you mean 'grid'"):
        scenario().with_sweep({"lr": [1]}, strategy="gird")
    with pytest.raises(UserError, match="Did you mean 'train'"):
        scenario("trian").single()
    assert Scenario("a", "q", "train").single() == built[0], "without a contract, its form is checked"


def test_the_digest_is_that_of_the_question() -> None:
    plain = Scenario("a", "q", "train", VISION).single()
    assert digest(plain) == digest(Scenario("a", "q", "train", VISION, seeds=[0], base=[]).single())
    assert digest(plain) == digest(Scenario("a", "q", "train", VISION, run_name=VISION.run_name).single())
    assert digest(plain) != digest(Scenario("a", "q", "train", VISION, seeds=[0, 1]).single())


DIGESTS = {  # of commit 793bb1c: records carry them
    "classification_ab_benchmark": "87bc09aa5a17",
    "classification_ablation": "8e1111b84d2d",
    "classification_architecture": "49b11369a8dc",
    "classification_augmentation": "2fe179b40a28",
    "classification_baseline": "d8d83595128f",
    "classification_bayesian_sweep": "54b15f662505",
    "classification_cross_site": "448e41106b06",
    "classification_ensemble": "b0d952be6630",
    "classification_lr_sweep": "a3b859a8b289",
    "classification_multi_scale": "13422bfb4e4f",
    "classification_quantization": "2948b12f0cb6",
    "classification_random_sweep": "771cbf8ed310",
    "detection_ab_benchmark": "2beaec34e7ff",
    "detection_ablation": "a493e044aa4d",
    "detection_architecture": "9f9a5791ed98",
    "detection_augmentation": "5405b6b9b99e",
    "detection_baseline": "8b6c95414e45",
    "detection_bayesian_sweep": "1b08c7d6cceb",
    "detection_cross_site": "c927b4a53572",
    "detection_ensemble": "7cf4ab3aaf90",
    "detection_lr_sweep": "2bedba43cc9f",
    "detection_multi_scale": "359a7c758194",
    "detection_quantization": "216b9ca7c5eb",
    "detection_random_sweep": "b685834db68f",
}


def test_the_digests_of_the_shipped_designs_are_those_that_records_carry() -> None:
    found = {path.stem: digest(design_file.read(path, VISION)) for path in SHIPPED}
    assert {name: found[name] for name in DIGESTS} == DIGESTS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: single\ntype: trian\ntitle: t\n", "line 2: type: 'trian' is not one of train. Did you mean 'train'?"),
        ("kind: single\ntype: train\ntitle: t\ntask: flowers\n", "line 4: task: this project has no tasks"),
        ("kind: single\ntype: train\ntitle: t\nbase: [train.seed=3]\n", "line 4: base.0: the seed is set by seeds"),
        (
            "kind: single\ntype: train\ntitle: t\nhypothesis:\n  claim: c\n  metric: evaluate.size\n",
            "line 4: hypothesis.direction: lab.yaml doesn't know evaluate.size: say maximize or minimize",
        ),
    ],
)
def test_what_lab_yaml_does_not_know_is_refused(text: str, words: str, tmp_path: Path) -> None:
    assert words in message(tmp_path, text, PLAIN)


def test_a_metric_that_lab_yaml_does_not_know_may_be_claimed_with_its_direction() -> None:
    design = {"kind": "single", "type": "train", "title": "t", "name": "a"}
    hypothesis = {"claim": "c", "metric": "evaluate.emphasized_f1"}
    stated = design_file.parse({**design, "hypothesis": {**hypothesis, "direction": "minimize"}}, PLAIN)
    assert stated.hypothesis and stated.hypothesis.direction == "minimize"
    with pytest.raises(UserError, match="direction: lab.yaml doesn't know evaluate.emphasized_f1"):
        design_file.parse({**design, "hypothesis": hypothesis}, PLAIN)
    limits = [{"metric": "evaluate.nodes", "max_increase": 10}]  # the side that is limited is the worse one
    known = {"claim": "c", "metric": "evaluate.accuracy", "guardrails": limits}
    assert design_file.parse({**design, "hypothesis": known}, PLAIN)


LOSS = contracts.contract("types: {train: evaluate}\nmain: [loss]\nmetrics: {'*.loss': {direction: minimize}}\n")
GAIN = contracts.contract("types: {train: evaluate}\nmetrics: {'*.loss': {direction: maximize}}\n")
KINDS = {
    "single": {},
    "sweep": {"sweep": {"parameters": {"lr": [0.1, 0.2]}}},
    "bayesian": {"sweep": {"strategy": "bayesian", "max_runs": 12, "parameters": {"lr": {"low": 0.0, "high": 1.0}}}},
    "comparison": {"comparison": {"variable": "lr", "values": [0.1, 0.2]}},
    "ablation": {"ablation": {"baseline": ["lr=1"], "components": {"a": "b=1"}}},
}


def of_kind(name: str, contract: Contract = LOSS, **hypothesis: str) -> Any:
    claimed = {"hypothesis": {"claim": "c", "metric": "e.loss", **hypothesis}}
    kind = "sweep" if name == "bayesian" else name
    return design_file.parse(
        {"kind": kind, "type": "train", "title": "t", "name": "a", **KINDS[name], **claimed}, contract
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_direction_that_is_left_out_is_the_contract_s(kind: str, tmp_path: Path) -> None:
    plain, stated = of_kind(kind), of_kind(kind, direction="minimize")
    assert plain.hypothesis.direction == stated.hypothesis.direction == "minimize"
    assert digest(plain) == digest(of_kind(kind, contract=GAIN)), "a contract that is changed has a history of its own"
    design_file.write(plain, tmp_path / "a.yaml")
    assert "direction:" not in (tmp_path / "a.yaml").read_text()
    assert design_file.read(tmp_path / "a.yaml", LOSS) == plain


@pytest.mark.parametrize("kind", KINDS)
def test_what_looks_for_the_best_may_not_state_the_opposite(kind: str) -> None:
    """An arm may be claimed to be worse than another; nothing may be searched for the worst."""
    if kind in ("comparison", "ablation"):
        assert of_kind(kind, direction="maximize").hypothesis.direction == "maximize"
        return
    with pytest.raises(UserError, match="hypothesis.direction: lab.yaml says minimize of e.loss, and this would look"):
        of_kind(kind, direction="maximize")
    if kind == "sweep":  # two of its arms, held against each other
        assert of_kind(kind, direction="maximize", arm="lr=0.1", versus="lr=0.2")


@pytest.mark.parametrize("is_stated", [True, False])
def test_a_search_goes_where_the_contract_says(is_stated: bool) -> None:
    design = of_kind("bayesian")
    design = design if is_stated else design.model_copy(update={"hypothesis": None})
    trials = bayesian.replay(design, LOSS, lambda tried: [float(str(levels["lr"])) for levels in tried])
    study = bayesian.Search(design, LOSS)._study
    assert len(trials) == 12 and study.direction.name == "MINIMIZE"


def test_a_project_without_a_seed_has_one_run_an_arm() -> None:
    seedless = contracts.contract(contracts.PLAIN_TEXT.replace("[train.seed]", "[]"))
    design = {"kind": "single", "type": "train", "title": "t", "name": "a", "base": ["seed=3"]}
    assert design_file.parse(design, seedless).base == ["seed=3"], "a setting like others"
    with pytest.raises(UserError, match="seeds: lab.yaml names no setting that is the seed"):
        design_file.parse({**design, "seeds": [0, 1]}, seedless)


def test_the_json_schema_has_what_lab_yaml_knows() -> None:
    fields = json_schema(PLAIN, {})["$defs"]["SingleDesign"]["properties"]
    assert fields["type"]["enum"] == ["train"]
    assert "task" not in fields
    hypothesis = json_schema(PLAIN, {})["$defs"]["Hypothesis"]["properties"]
    assert hypothesis["metric"]["examples"] == ["evaluate.accuracy"]


def test_yaml_that_we_write_is_yaml_for_others() -> None:
    content = {"a": ["1e-3", "on", "007", "", "null", "~", "a: b", "# x", "é🦊", 0.001, 1, True, None]}
    assert yaml12.load(yaml12.dump(content)) == content
    assert yaml.safe_load(yaml12.dump({"a": "plain", "b": [1, 2]})) == {"a": "plain", "b": [1, 2]}


def test_the_json_schema_offers_keys_files_and_metrics_wherever_a_design_names_them() -> None:
    schema = json.loads((PROJECT / "designs" / "schema.json").read_text())
    blocks = {name: model["properties"] for name, model in schema["$defs"].items() if "properties" in model}
    offered = blocks["SweepConfig"]["parameters"]["properties"]
    assert {"lr", "model", "data.batch_size", "training.ema"} <= offered.keys()
    assert "tiny" in offered["model"]["items"]["examples"]
    assert not any(key.startswith("experiment") for key in offered)
    assert "lr" in blocks["ComparisonConfig"]["variable"]["anyOf"][0]["examples"]
    for block in ("Hypothesis", "Guardrail"):
        assert {"infer.f1_macro", "quant.size_mb"} <= set(blocks[block]["metric"]["examples"])
    overrides = schema["$defs"]["Override"]["examples"]
    assert {"model=tiny", "task=detection", "lr="} <= set(overrides)
    assert blocks["SingleDesign"]["base"]["items"]["$ref"] == "#/$defs/Override"


def test_the_json_schema_explains_every_key() -> None:
    schema = json.loads((PROJECT / "designs" / "schema.json").read_text())
    plain = {"metric", "low", "high", "max_increase", "max_decrease", "step"}  # which say it themselves
    for name, model in schema["$defs"].items():
        for key, entry in model.get("properties", {}).items():
            assert entry.get("description") or "$ref" in entry or key in plain, f"{name}.{key}"
    assert (
        "sweep (which combination of parameters is best)"
        in schema["$defs"]["SweepDesign"]["properties"]["kind"]["description"]
    )
