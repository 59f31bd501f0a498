"""A report says what was asked, what came out and what it means; the same records always give the same one."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import studies
import trivial
import yaml
from contracts import VISION
from trivial import Trivial

from lab.analysis.answer import answer
from lab.analysis.verdict import judge
from lab.nested_keys import nested
from lab.records.studies import read
from lab.report import provenance, report, sections, settings, tables
from lab.study import Baseline, Study

pytestmark = pytest.mark.slow  # experiments and figures take seconds

DESIGN: dict[str, Any] = {
    "kind": "comparison",
    "type": "train",
    "title": "Which learning rate | if any?",
    "hypothesis": {
        "claim": "The larger one is better",
        "metric": "infer.f1_macro",
        "arm": 0.5,
        "versus": 0.1,
        "min_effect": 0.05,
        "expected": 0.45,
        "expected_baseline": 0.12,
        "because": "larger steps got further before",
    },
    "targets": {"baseline": 0.2, "target": {"infer.f1_macro": 0.4}, "stretch": 0.9},
    "seeds": [0, 1],
    "comparison": {"variable": "lr", "values": [0.1, 0.5, -0.3]},
}
# Two seeds that differ by other amounts with each learning rate, so that there is a spread to compare with.
EVEN, UNEVEN = "lr + seed / 1000", "lr + seed * (1 + lr) / 1000"
SECTIONS = [
    "Metadata",
    "Hypothesis",
    "Settings",
    "Expected",
    "Actual",
    "Verdict",
    "Analysis",
    "Next steps",
    "Checklist",
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project whose design has run: one of its arms fails."""
    project = trivial.make(tmp_path_factory.mktemp("report") / "project")
    script = project.root / "src" / "stand_in.py"
    assert EVEN in script.read_text()
    script.write_text(script.read_text().replace(EVEN, UNEVEN))
    path = project.root / "designs" / "rates.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(DESIGN))
    project.commit("rates")
    trivial.carry_out(project, "rates", lambda lr, seed: {"f1_macro": lr + seed * (1 + lr) / 1000})
    return project


def written(project: Trivial, folder: Path) -> str:
    study = read(project.project(), "rates")
    return report.write(study, judge(study), folder).read_text()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_report_has_every_section_with_what_the_records_say(ran: Trivial, tmp_path: Path) -> None:
    text = written(ran, tmp_path)
    study = read(ran.project(), "rates")
    found = judge(study)
    day = ran.call("git", "show", "-s", "--format=%cs", study.commit).stdout.strip()
    assert [path.name for path in tmp_path.glob("*.md")] == [f"{day}_rates.md"]
    assert re.findall("^## (.+)$", text, re.M) == [*SECTIONS, "Failed runs", "Provenance"]
    assert text.startswith(f"# {DESIGN['title']}\n\n{answer(study, found).markdown()}\n")
    author = ran.call("git", "show", "-s", "--format=%an", study.commit).stdout.strip()
    for said in (
        f"on commit `{study.commit[:12]}` by {author}\n",
        "4 of 6 finished; seeds 0, 1",
        "The larger one is better.",
        "- macro-F1: 0.45 or more",
        "- macro-F1 of 0.1: 0.12",
        "- because: larger steps got further before",
        "- 0.1: expected was 0.12, measured 0.1",
        "tier: target",
    ):
        assert said in text
    # 0.5 and 0.5015: t(0.975, 1) = 12.706 times a standard error of 0.00075
    assert "| 0.5 ★ | 2 | 0.5008 [0.4912, 0.5103] | +0.400 [" in text
    assert "| -0.3 | 0 | train ended with 1: lr=-0.3 should be above 0 |" in text
    assert "- [ ] All runs have finished" in text and "- [x] The reference was measured with every seed" in text
    assert section(text, "Settings").count("lr: 0.5\n") == 1, "training.lr is ${lr}"
    assert f"**baseline**: `{study.commit}`" in text and "0.00 GPU hours" in text
    for replicate in study.replicates[:4]:
        assert f"| {replicate.record.name} | {replicate.record.commit[:12]} |" in text
    assert all((tmp_path / link).is_file() for link in re.findall(r"\]\(([^)]+)\)", text)), text


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n")[1].split("\n## ")[0]


def test_the_effect_size_is_told_with_its_interval(ran: Trivial, tmp_path: Path) -> None:
    assert "d_z" not in written(ran, tmp_path), "two seeds have none"
    found = judge(studies.made("augmentation"))
    effect = found.comparisons[1].effect
    said = [*sections.reasons(found)]
    size = sections.estimate(effect.value, effect.low, effect.high, sign="+")
    assert sum(f"; d = {size}" in each for each in said) == 1 and size.count("+") == 3
    assert [each.startswith("d is Cohen's d_z") for each in said].count(True) == 1


def test_the_columns_beside_have_half_of_their_intervals() -> None:
    study = studies.made("quantization")
    head, _, first, *_ = (line.strip("| ").split(" | ") for line in sections.table(study, judge(study)).splitlines())
    cells = dict(zip(head, first, strict=True))
    latency = tables.mean(study, "openvino_fp32", "quant_speed.latency_ms.p50")
    assert cells["median latency, ms"] == f"{latency.value:.2f} ± {latency.high - latency.value:.2g}"
    assert cells["size, MB"] == "1.10", "a size is counted, and has the decimals of its column"
    assert "± half of one" in sections.legend(study, judge(study))
    assert re.search(r"macro-F1 0\.\d+ \[0\.\d+, 0\.\d+\]", "".join(sections.actual(study, judge(study))))
    one = studies.made("quantization", design=studies.DESIGNS["quantization"] | {"seeds": [0]})
    assert "±" not in sections.table(one, judge(one)) and "no intervals" in sections.legend(one, judge(one))


def test_the_legend_tells_what_was_corrected_what_was_floored_and_what_underpowered_means() -> None:

    def legend(name: str, design: dict[str, Any] | None = None, values: Any = None) -> str:
        study = studies.made(name, values, design)
        return sections.legend(study, judge(study))

    named = legend("augmentation")
    assert "p of cutout, which the hypothesis names, stands alone; that of the 2 others is corrected by Holm." in named
    everyone = studies.DESIGNS["augmentation"] | {"hypothesis": studies.hypothesis(min_effect=0.01)}
    assert "p is corrected by Holm over the 3 arms." in legend("augmentation", everyone)
    assert "Holm" not in legend("ab"), "one pair is one test"
    assert "Holm" not in legend("ablation"), "a design without a hypothesis shows no p"

    def noisy(spread: float) -> Any:
        return lambda arm, seed: {"infer": {"f1_macro": 0.9 + spread * seed * (arm == "cutout"), "images": 300}}

    assert "below one test image or object (1/300)" in legend("augmentation", values=noisy(1e-4))
    assert "UNDERPOWERED: neither shown nor excluded" in legend("augmentation", values=noisy(0.05))
    clear = legend("augmentation", values=lambda arm, seed: {"infer": {"f1_macro": 0.5 + 0.2 * (arm == "cutout")}})
    assert "1/" not in clear
    assert "UNDERPOWERED" not in legend("single")


def test_the_question_tells_the_claims_direction_and_the_metrics() -> None:
    said = list(sections.question(studies.made("cross_site")))
    assert said[0] == "measured by macro-F1 (`infer.f1_macro`): more is better"
    assert said[1].endswith("is compared with **data.site=A,infer.site=A**, and claimed to be lower")
    assert list(sections.question(studies.made("quantization")))[0].endswith("less is better")


def test_the_speed_is_told_in_words() -> None:
    study = studies.made("quantization")
    said = "\n".join(sections.actual(study, judge(study)))
    latency, gain = (
        tables.mean(study, "openvino_int8", f"quant_speed.{name}") for name in ("latency_ms.p50", "speedup")
    )
    ends = sections.estimate(latency.value, latency.low, latency.high)
    assert f"the median latency of one image: {ends} ms" in said
    assert " ms with openvino_fp32" in said
    assert f"its speed-up over PyTorch is {sections.estimate(gain.value, gain.low, gain.high)}" in said
    wide = studies.made(
        "single", lambda arm, seed: {"infer_speed": {"batch_1": {"latency_ms": {"p50": 1 + 9.0 * (seed == 2)}}}}
    )
    assert ": 4.00 [0.00, 16.91] ms with baseline" in "".join(sections.speed(wide, "baseline", "infer.f1_macro")), (
        "a time is not negative: t(0.975, 2) = 4.3027 times √27 / √3"
    )


def test_the_data_is_told_with_its_sites_and_images() -> None:
    data = sections.data
    study = studies.made("cross_site", lambda arm, seed: {"infer": {"f1_macro": 0.5, "images": 300}})
    for replicate in study.replicates:
        replicate.record.content["params"]["data"] |= {"name": "plates", "source": {"kind": "image_folder"}}
    told = "plates (image_folder), trained on site A and B, tested on site A and B, 300 test images"
    assert data(study) == told
    for replicate in study.replicates:
        replicate.record.content["params"]["infer"]["model"] = "a" * 40
    assert data(study) == told.replace("trained on site A and B, ", ""), "another run has trained them"
    assert data(studies.made("cross_site", lambda arm, seed: None)) == ""


def test_one_seed_has_neither_means_nor_half_reached_values() -> None:
    study = studies.made("single", design=studies.DESIGNS["single"] | {"seeds": [0]})
    found = judge(study)
    said = " ".join([sections.legend(study, found), *sections.actual(study, found)])
    assert found.expected.sure is None
    assert "Means over" not in said and "on the mean" not in said and "[" not in said


def test_means_are_over_the_seeds_that_have_finished() -> None:
    def some(seeds: int, of_best: int) -> Any:
        def run(arm: str, seed: int) -> dict[str, Any] | None:
            return {"infer": {"f1_macro": 0.9 + seed / 100}} if seed < (of_best if arm == "b" else seeds) else None

        return studies.made("some", run, studies.comparison("model", ["a", "b"], seeds=[*range(10)]))

    for (seeds, of_best), words in {(3, 3): "3 seeds", (10, 9): "9 to 10 seeds", (1, 1): "", (0, 0): ""}.items():
        study = some(seeds, of_best)
        assert study.over_seeds == words
        legend = sections.legend(study, judge(study))
        assert f"Means over {words} with" in legend if words else "One seed: means have no intervals." in legend


def test_a_model_is_told_by_its_name_and_its_commit() -> None:
    record = studies.made("ab").replicates[0].record
    record.content["params"]["infer"] = {"model": "a678550" + "0" * 33}

    def told(record: Any, named: dict[str, str]) -> dict[str, str]:
        return settings.named_with_commit(VISION.model_keys, record, named)

    assert told(record, {"infer.model": "champion"}) == {"infer.model": "champion (a678550)"}
    assert told(record, {"infer.model": "a678550"}) == {"infer.model": "a678550"}, "it is its commit"
    assert told(record, {"infer.members": "[a,b,c]"}) == {"infer.members": "[a,b,c]"}
    record.content["params"]["infer"] = {"model": "models/best.pt"}
    assert told(record, {"infer.model": "models/best.pt"}) == {"infer.model": "models/best.pt"}


def test_the_versions_are_those_of_what_the_task_uses() -> None:
    study = studies.made("comparison", design=studies.DESIGNS["comparison"] | {"task": "classification"})
    for replicate in study.replicates:
        replicate.record.content["effective"]["train"]["machine"]["versions"] |= {"timm": "1", "ultralytics": "8"}
    assert dict(provenance.provenance(study))["versions"] == "Python 3.11, torch 2, timm 1"


def test_a_compact_interval_is_true_and_short() -> None:
    compact = sections.compact
    assert compact(0.98561, 0.97601, 0.99521) == "0.9856 ± 0.0096"
    assert compact(0.9833, 0.9534, 1.0) == "0.9833 ± 0.03", "a share's interval ends at 1: its longer side"
    assert compact(0.51, 0.0, 1.0) == "0.51 [0.00, 1.00]", "cut off at both ends, half of it is not known"
    assert compact(1234.5, 1111.1, 1357.9) == "1234 ± 120" and compact(2.5, None, None) == "2.5"


def test_the_verdicts_numbers_are_there_for_programs(ran: Trivial, tmp_path: Path) -> None:
    written(ran, tmp_path)
    content = json.loads(next(tmp_path.glob("*/verdict.json")).read_text())
    found = judge(read(ran.project(), "rates"))
    assert content["verdict"]["outcome"] == found.outcome
    difference = content["verdict"]["comparisons"][0]["difference"]
    assert difference["seeds"]["value"] == pytest.approx(found.comparisons[0].difference.seeds.value, rel=1e-5)
    assert content["failed"] == [{"arm": "-0.3", "seed": 0}, {"arm": "-0.3", "seed": 1}]


def test_the_same_records_give_the_same_files(ran: Trivial, tmp_path: Path) -> None:
    written(ran, tmp_path / "one")
    shutil.copytree(ran.root, tmp_path / "copy", symlinks=True)
    written(Trivial(tmp_path / "copy"), tmp_path / "two")
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert len(one) == 8 and one == two  # Markdown, HTML, two figures, their data, the table, the verdict


def test_what_a_person_wrote_is_kept_and_nothing_else(ran: Trivial, tmp_path: Path) -> None:
    text = written(ran, tmp_path)
    path = next(tmp_path.glob("*.md"))
    own = text.replace(report.ANALYSIS, "Steps were too small.\n\n\\1 is no group.").replace(
        report.NEXT, "- [x] Try 0.7"
    )
    forged = own.replace("0.5008", "0.6008").replace("- [ ] All runs", "- [x] All runs")
    path.write_text(forged)
    assert report.outside(own) == report.outside(text) != report.outside(forged)
    assert written(ran, tmp_path) == own != text


def test_a_machine_that_knows_no_failures_keeps_those_that_were_told(ran: Trivial, tmp_path: Path) -> None:
    text = written(ran, tmp_path / "reports")
    clone = trivial.copied(ran, tmp_path / "clone")
    shutil.rmtree(clone.root / ".dvc" / "tmp")
    again = written(clone, tmp_path / "reports")
    assert report.inside(again, "failures") == report.inside(text, "failures") != ""
    assert "knows of; 2 of 6 runs have no result" in report.inside(written(clone, tmp_path / "new"), "failures")


def test_figures_that_are_no_more_are_removed(ran: Trivial, tmp_path: Path) -> None:
    written(ran, tmp_path)
    beside = next(path for path in tmp_path.iterdir() if path.is_dir())
    for name in ("old.png", "old.csv", "notes.txt"):
        (beside / name).write_text("")
    written(ran, tmp_path)
    assert {path.name for path in beside.iterdir()} == {
        "arms.png",
        "arms.csv",
        "curves.png",
        "curves.csv",
        "table.csv",
        "verdict.json",
        "notes.txt",
    }


def test_the_page_needs_no_other_file(ran: Trivial, tmp_path: Path) -> None:
    written(ran, tmp_path)
    page = next(tmp_path.glob("*.html")).read_text()
    assert len(re.findall(r'<svg [^>]*role="img"', page)) == 2 and "<img" not in page
    assert not re.findall(r"<link|src=|url\((?!#)|@import| style=", page) and page.count("<script>") == 1
    assert len(page) < 3e6 and "0.5, seed 1: 0.5015" in page, "a mark tells its arm, its seed, and its value"
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and set(re.findall(r'(?:url\(|href=")#([^")]+)', page)) <= set(ids)
    assert "0.5008 [0.4912,&nbsp;0.5103]</td>" in page, "a cell breaks before an interval, not in it"
    assert "table { display: block; width: fit-content; max-width: 100%;" in page, "no table sticks out"
    assert "☑ The hypothesis is stated" in page and "[x]" not in page and "![" not in page
    assert "<title>Which learning rate | if any?</title>" in page and page.count("<table>") == 4


def test_runs_lead_to_where_they_are_tracked(ran: Trivial, tmp_path: Path) -> None:
    study = read(ran.project(), "rates")
    found = judge(study)
    name = study.finished[0].name
    path = report.write(study, found, tmp_path, links={name: "https://mlflow.example/#/runs/1?a&b", "none": "x"})
    page = path.with_suffix(".html").read_text()
    assert page.count(f'<td><a href="https://mlflow.example/#/runs/1?a&amp;b">{name}</a></td>') == 1
    assert "mlflow.example" not in path.read_text(), "what is committed is the same everywhere"


def test_lab_report_writes_it_into_the_project(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    said = project.lab("report", "designs/rates.yaml").stdout.splitlines()
    study = read(ran.project(), "rates")
    found = judge(study)
    assert said[0] == f"{found.outcome}: {answer(study, found).sentence}."
    assert [Path(line).suffix for line in said[-2:]] == [".md", ".html"]
    assert all((project.root / line).is_file() for line in said[-2:])
    others = {"comparison": {"variable": "lr", "values": [0.2, 0.6]}, "hypothesis": studies.hypothesis(expected=0.5)}
    (project.root / "designs" / "open.yaml").write_text(yaml.safe_dump(DESIGN | others | {"title": "<b>Not run</b>"}))
    project.commit("another question")
    told = project.lab("report", "--all").stdout.splitlines()
    assert told == [f"rates: {found.outcome}", "docs/04-report/index.html"]
    page = (project.root / told[1]).read_text()
    assert f'href="{Path(said[-1]).name}">Which learning rate | if any?</a>' in page and found.outcome in page
    assert "&lt;b&gt;Not run&lt;/b&gt;" in page and "lab run designs/open.yaml" in page, "what is open is there, too"
    assert "There is none yet: lab promote DESIGN." in page
    assert project.lab("report", check=False).stderr.startswith("lab: expected a design, or --all")
    refused = project.lab("report", "rate", check=False)
    assert refused.returncode == 2 and "Did you mean 'rates'?" in refused.stderr


def test_a_runs_page_says_how_it_differs_and_what_it_measured(ran: Trivial) -> None:
    study = read(ran.project(), "rates")
    found = judge(study)
    page = report.fragment(study, study.replicates[2], found)
    assert page.startswith("# 0.5, seed 0\n") and f"**{found.outcome}**" in page
    assert "- macro-F1 (`infer.f1_macro`): 0.5\n" in page and "lr: 0.5\n" in page and "seed" not in page.split("```")[1]
    assert "Failed: train ended with 1" in report.fragment(study, study.replicates[4])


def test_nothing_measured_is_a_report_as_well(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    other: dict[str, Any] = {"comparison": {"variable": "lr", "values": [0.2, 0.6, 0.7]}}
    other["hypothesis"] = DESIGN["hypothesis"] | {"arm": 0.6, "versus": 0.2}
    (project.root / "designs" / "new.yaml").write_text(yaml.safe_dump(DESIGN | other))
    project.commit("new")
    study = read(project.project(), "new")
    text = report.write(study, judge(study)).read_text()
    assert "No run has finished" in text and "0 of 6 finished" in text and "INCONCLUSIVE" in text


def test_what_stages_share_costs_once() -> None:
    replicates = studies.made("comparison").replicates
    stages = provenance.ran([replicate.record for replicate in replicates])
    assert [note["seconds"] for note in stages] == [60.0, 61.0, 62.0]
    stages[0]["machine"] = {"gpus": ["H100"]}
    assert provenance.cost(stages) == "0.02 GPU hours, 0.03 hours on machines without"
    assert provenance.hardware_of({"cpu": "X", "cores": 2, "gpus": ["A", "A"]}) == "X, 2 cores, 2 × A"


BASE = {"lr": 0.004, "model": {"name": "n", "architecture": "n.yaml", "strict": True}, "data": {"size": 64}}
TINY = {"lr": 0.006, "model": {"name": "t", "architecture": {"head": [1, 2], "nc": 80}, "strict": True}}
NANO = {"lr": 0.01, "model": {"name": "n", "architecture": "n.yaml", "strict": False}}


def with_configs(values: dict[str, Any], params: dict[str, Any]) -> Study:
    """A study of arms with such configs, on a baseline that has BASE."""
    study = studies.made("comparison", design=studies.comparison("model", values))
    for replicate in study.replicates:
        config = {"data": {"size": 64}, **params[replicate.arm], "seed": replicate.seed}
        replicate.record.content["params"] = config
    return replace(study, baseline=Baseline(BASE))


def test_a_models_name_stands_for_all_but_what_the_design_sets() -> None:
    values = {"tiny": "model=t", "nano": ["model=n", "lr=0.01", "model.strict=false"]}
    study = with_configs(values, {"tiny": TINY, "nano": NANO})
    common, varied = map(yaml.safe_load, settings.settings(study))
    assert common is None
    assert varied == {
        "tiny": {"lr": 0.006, "model.name": "t", "model.strict": True},
        "nano": {"lr": 0.01, "model.name": "n", "model.strict": False},
    }
    assert yaml.safe_load(settings.own(study, study.replicates[0].record)) == {"lr": 0.006, "model": {"name": "t"}}


def test_a_model_that_all_arms_have_is_told_by_its_name() -> None:
    params = {"slow": TINY | {"lr": 0.1}, "fast": TINY | {"lr": 0.2}}
    study = with_configs({"slow": "lr=0.1", "fast": "lr=0.2"}, params)
    common, varied = map(yaml.safe_load, settings.settings(study))
    assert common == {"model": {"name": "t"}} and varied == {"slow": {"lr": 0.1}, "fast": {"lr": 0.2}}


def test_a_setting_that_an_arm_has_not_is_left_out() -> None:
    more = BASE | {"extra": 1}
    study = with_configs({"with": "+extra=1", "without": "lr=0.004"}, {"with": more, "without": BASE})
    assert yaml.safe_load(settings.settings(study)[1]) == {"with": {"extra": 1}, "without": {}}


def test_settings_are_told_as_they_are_nested() -> None:
    assert settings.as_yaml(nested({"a.b": 1, "a.c": [2], "d": None})) == "a:\n  b: 1\n  c:\n  - 2\nd: null\n"
    assert settings.one_or_all([1, 1]) == 1 and settings.one_or_all(["x", "y"]) == ["x", "y"]


def test_an_arm_that_nothing_is_claimed_of_has_no_outcome() -> None:
    claim = studies.hypothesis(direction="minimize", arm="no_ema", versus="baseline")
    study = studies.made("ablation", design=studies.DESIGNS["ablation"] | {"hypothesis": claim})
    verdict = judge(study)
    told = tables.table(study, verdict).set_index("arm")["outcome"].dropna()
    assert dict(told) == {"no_ema": verdict.outcome}
    assert sections.table(study, verdict).count(verdict.outcome) == 1
