"""`lab new`: questions written from a few answers, which `lab check` takes and which can be planned."""

from __future__ import annotations

import io
import string
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import contracts
import in_process
import pytest
import trivial
from contracts import TRIVIAL, VISION
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field
from trivial import Trivial

from lab import yaml12
from lab.cli import new
from lab.design import design_file, draft, preflight
from lab.design.blocks import Hypothesis
from lab.design.compose import Composer, composer_of
from lab.design.models import KINDS
from lab.design.pipeline import Pipeline
from lab.design.plan import plan
from lab.errors import UserError

TASK = "task=classification"
LEVELS: dict[str, list[Any]] = {  # what may be varied in the template's project
    "lr": [0.001, 0.003, 1e-05, 0.1],
    "data.batch_size": [8, 16, 32],
    "training.ema": [True, False],
    "training.label_smoothing": [0.0, 0.05, 0.1],
    "augmentation": ["none", "default", "cutout"],
    "model": ["tiny", "efficientnet_b0", "timm"],
}
RANGES = [{"low": 0.001, "high": 0.1, "log": True}, {"low": 1, "high": 9, "int": True}, {"low": 0.5, "high": 2}]
ASKED = ["--claim", "It matters", "--expected", "0.9"]
texts = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=200).filter(str.strip)


@pytest.fixture(scope="module")
def composer(tree: Path) -> Composer:
    return composer_of(tree)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """The template's config and designs, without code and git: copy it before you change it."""
    root = contracts.render(tmp_path_factory.mktemp("new") / "project", task="classification")
    (root / "lab.yaml").write_text(contracts.TRIVIAL_TEXT)
    text = (root / "designs" / "classification_baseline.yaml").read_text()
    (root / "designs" / "without.yaml").write_text(text.replace("  expected: ", "  expected_baseline: "))
    return Trivial(root)


@pytest.fixture
def project(template: Trivial, tmp_path: Path) -> Trivial:
    return trivial.copied(template, tmp_path / "copy")


def ask(project: Trivial, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """`lab new`, at a terminal where something is typed."""
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: bool(typed)  # type: ignore[method-assign]
    with mock.patch("sys.stdin", terminal):
        return in_process.lab(project.root, "new", *arguments)


@st.composite
def answers(draw: st.DrawFn) -> draft.Answers:
    kind = draw(st.sampled_from(sorted(KINDS)))
    several = draw(st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=3, unique=True))
    sizes = (2, 2) if kind == "ablation" else (2, 3)
    varied: dict[str, Any] = {
        key: draw(st.lists(st.sampled_from(LEVELS[key]), min_size=sizes[0], max_size=sizes[1], unique=True))
        for key in (several if kind != "single" else [])
    }
    more: dict[str, Any] = {}
    if kind == "sweep" and draw(st.booleans()):
        varied["training.weight_decay"] = draw(st.sampled_from(RANGES))
        more = draw(st.sampled_from([{}, {"sweep": {"strategy": "bayesian", "max_runs": 4}}]))
    hypothesis = {
        "claim": draw(texts),
        "metric": draw(st.sampled_from(["infer.f1_macro", "infer.accuracy", "train.val_accuracy"])),
        "expected": draw(st.floats(0, 1)),
        "min_effect": draw(st.floats(0, 0.5)),
    }
    seeds = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True))
    fields = {"type": "train", "task": "classification", "title": draw(texts), "hypothesis": hypothesis, "seeds": seeds}
    return draft.Answers(kind, varied, fields | more)


@settings(max_examples=25)
@given(said=answers())
def test_whatever_is_answered_is_a_design_that_passes_and_plans(tree: Path, composer: Composer, said: Any) -> None:
    content = draft.fields_of(said)
    text = draft.text(content, VISION, ["lab run designs/made.yaml"])
    assert yaml12.load(text, strict=True) == content, "what was said, and nothing else"
    assert all(len(line) <= draft.WIDTH for line in text.splitlines() if line.lstrip().startswith("#"))
    design = design_file.parse_text(text, "made.yaml", VISION)
    planned = plan(design, VISION, composer, Pipeline.read(tree / "dvc.yaml"), "2026-11-26")
    assert planned.runs or planned.undecided
    inputs = preflight.Inputs("made.yaml", VISION, baseline=[0.8, 0.9], measured=True)
    checks = preflight.checks(design, planned, inputs)
    assert not preflight.blocked(checks), [check for check in checks if not check.ok]


def test_a_field_that_a_model_gets_is_explained_without_more(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wiser(Hypothesis):
        """With a field of tomorrow."""

        doubt: str | None = Field(None, description="What speaks against it. More of it.")

    fields = KINDS["single"].model_fields | {
        "hypothesis": mock.Mock(annotation=Wiser | None, description="", alias=None)
    }
    monkeypatch.setattr(KINDS["single"], "__pydantic_fields__", fields)
    said = {"kind": "single", "title": "What?", "hypothesis": {"claim": "c", "metric": "infer.f1_macro"}}
    assert "  # doubt: # What speaks against it\n" in draft.text(said, VISION)
    said["hypothesis"]["doubt"] = "much"
    said["seeds"] = {"from": 2, "to": 5}
    written = draft.text(said, VISION)
    assert "  doubt: much # What speaks against it\n" in written
    assert yaml12.load(written, strict=True) == said
    assert "stated_seeds" not in written, "a field has the name that files have for it"


@pytest.mark.parametrize("path", sorted((contracts.tree() / "designs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_designs_could_have_been_written_by_it(path: Path) -> None:
    content = yaml12.load(path.read_text())
    assert yaml12.load(draft.text(content, VISION), strict=True) == content


def test_options_alone_make_a_file_that_is_planned(project: Trivial) -> None:
    done = ask(project, "sweep", "--vary", "quant", *ASKED, "--seeds", "2")
    assert done.returncode == 0, done.stderr
    path, size, following = done.stdout.splitlines()
    assert path == "designs/classification_quant_sweep.yaml"
    design = design_file.read(project.root / path, TRIVIAL)
    assert design.hypothesis
    assert (design.type, design.hypothesis.metric, design.seeds) == ("quant", "quant.f1_macro", [0, 1])
    groups = composer_of(project.root).options("quant")
    assert design.sweep.parameters == {"quant": groups}
    assert size.startswith(f"{len(groups)} arms × 2 seeds = {2 * len(groups)} runs; how long they take nobody")
    assert "lab check classification_quant_sweep" in following
    again = ask(project, "--from", "classification_quant_sweep", "--min-effect", "0.01", "--set", "date=2026-11-26")
    assert again.stdout.startswith("designs/classification_quant_sweep_2.yaml\n"), again.stderr
    copy = design_file.read(project.root / "designs" / "classification_quant_sweep_2.yaml", TRIVIAL)
    assert copy.hypothesis
    assert (copy.sweep, copy.hypothesis.min_effect, copy.date) == (design.sweep, 0.01, "2026-11-26")


def test_without_a_component_it_gets_worse(project: Trivial) -> None:
    done = ask(project, "ablation", "--vary", "training.ema=true,false", "--vary", "lr=0.01,0.001", *ASKED)
    design = design_file.read(project.root / done.stdout.splitlines()[0], TRIVIAL)
    assert design.hypothesis
    assert design.hypothesis.direction == "minimize"
    assert design.ablation.baseline == ["training.ema=true", "lr=0.01"]
    assert design.ablation.components == {"ema": "training.ema=false", "lr": "lr=0.001"}


def test_at_a_terminal_it_asks_until_it_can_use_the_answer(project: Trivial) -> None:
    typed = [
        "comparsion",
        "comparison",
        "lrr=1,2",
        "lr",
        "lr=0.001,0.01",
        "",
        "",
        "It does",
        "",
        "much",
        "0.9",
        "",
        "2",
    ]
    done = ask(project, typed="\n".join(typed) + "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "Did you mean 'comparison'?",
        "lrr is neither a key nor a group of conf/. Did you mean 'lr'?",
        "lr: by which values?",
        "augmentation: auto, cutout",
        "much: expected a number",
        new.WITHOUT_NOISE,
    ):
        assert said in done.stdout
    design = design_file.read(project.root / "designs" / "classification_lr_comparison.yaml", TRIVIAL)
    assert design.hypothesis
    assert (design.title, design.hypothesis.claim, design.seeds) == ("Which lr is best?", "It does", [0, 1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which kind of question? single, sweep, comparison, ablation"),
        (["swep"], "Did you mean 'sweep'?"),
        (["sweep"], "a question needs --vary, --claim, --expected: lab new sweep --vary"),
        (
            ["single"],
            "a question needs --claim, --expected, --title: lab new single --claim 'A larger rate does better' -",
        ),
        (["--from", "without"], "a question needs --expected: lab new --from without --expected 0.93"),
        (["sweep", "--vary", "lrr=1,2", *ASKED], "lrr is neither a key nor a group of conf/. Did you mean 'lr'?"),
        (["sweep", "--vary", "model=tini", *ASKED], "Did you mean 'tiny'?"),
        (["sweep", "--vary", "lr=[", *ASKED], "expected values as in lr=0.001,0.01"),
        (["comparison", "--vary", "lr={low: 1, high: 2}", *ASKED], "lr is a range, and a comparison expects values"),
        (["ablation", "--vary", "lr=1,2,3", *ASKED], "an ablation expects the value with it and the one without"),
        (["single", "--vary", "lr=1,2", "--title", "t", *ASKED], "a design of kind single varies nothing"),
        (
            ["sweep", "--vary", "lr=1,2", "--claim", "c", "--expected", "7"],
            "7, but infer.f1_macro lies between 0 and 1",
        ),
        (["sweep", "--vary", "lr=1,2", *ASKED, "--set", "hypothesis.arm=lr=3"], "lr=3 is not an arm of the design"),
        (["sweep", "--vary", "lr=1,2", *ASKED, "--set", "sead=3"], "sead: no such key here. Did you mean"),
        (["sweep", "--from", "classification_quantization"], "is of kind comparison"),
        (["sweep", "--vary", "lr=1,2", *ASKED, "--name", "classification_baseline"], "is there already"),
        (["sweep", "--vary", "lr=1,2", *ASKED, "--name", "../../outside"], "expected a name of letters, digits"),
        (["sweep", "--vary", "lr=1,2", *ASKED, "--name", "a/b"], "expected a name of letters, digits"),
        (["sweep", "--vary", "lr=1,2", "--vary", "lr=3,4", *ASKED], "--vary names a key twice"),
        (["sweep", "--vary", "lr={low: 1, high: 2}", *ASKED, "--set", "sweep.max_runs=100000000"], "max_runs"),
    ],
)
def test_what_is_no_question_is_refused_and_nothing_is_written(
    arguments: list[str], words: str, template: Trivial
) -> None:
    before = set((template.root / "designs").iterdir())
    done = ask(template, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert set((template.root / "designs").iterdir()) == before


@given(st.text(string.printable, max_size=40))
def test_any_text_is_an_answer_or_refused(text: str) -> None:
    for read in (draft.levels_of, draft.assigned):
        try:
            read(text)
        except UserError:
            continue
