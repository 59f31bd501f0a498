"""A sweep chooses on validation, and answers on the test split: by the chosen arms alone, replayed from the records."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import contracts
import in_process
import pytest
import trivial
import yaml
from contracts import VISION
from hypothesis import given
from hypothesis import strategies as st
from trivial import Trivial

from lab.analysis import reasons
from lab.analysis.answer import answer
from lab.analysis.verdict import judge
from lab.design import design_file, preflight, search
from lab.design.plan import Plan
from lab.execution import campaign
from lab.records import splits, studies
from lab.report import sections
from lab.study import Study

GRID = {
    "kind": "sweep",
    "type": "train",
    "title": "Which rate?",
    "hypothesis": {"claim": "One is good.", "metric": "infer.f1_macro", "expected": 0.1},
    "seeds": [0, 1],
    "sweep": {"parameters": {"lr": [0.1, 0.2, 0.3]}},
}


STOPPED = {**GRID["sweep"], "halving": 2}


def written(project: Trivial, **more: Any) -> None:
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / "sweep.yaml").write_text(yaml.safe_dump(GRID | more))
    project.commit("a sweep")


@pytest.fixture
def project(tmp_path: Path) -> Trivial:
    project = trivial.make(tmp_path / "project")
    written(project)
    return project


def planned(project: Trivial) -> Any:
    known = project.project()
    return campaign.current(studies.planner(known, project.root / "designs" / "sweep.yaml"))


def test_the_chosen_alone_are_tested(project: Trivial) -> None:
    first = planned(project)
    assert {(run.target, run.params["experiment"]["until"]) for run in first.runs} == {("train", "train")}
    assert first.is_open and first.searched == "train"
    trivial.carry_out(project, "sweep")
    study = studies.read(project.project(), "sweep")
    assert study.finalists == ["lr=0.3"] and list(study.arms) == ["lr=0.3"]
    reached = {(each.arm, each.record.reaches("infer")) for each in study.replicates}
    assert reached == {("lr=0.1", False), ("lr=0.2", False), ("lr=0.3", True)}
    assert study.values("lr=0.3", "infer.f1_macro") and not study.values("lr=0.2", "infer.f1_macro")
    plan = planned(project)
    assert not plan.is_open and [run.target for run in plan.runs] == ["train"] * 4 + ["infer"] * 2
    assert all(run.name.endswith("-infer") for run in plan.runs[4:])
    assert not any(each.superseded for each in study.replicates), "the search's own runs are no rerolls"


def test_the_answer_says_how_it_was_chosen(project: Trivial) -> None:
    trivial.carry_out(project, "sweep", lambda lr, seed: {"f1_macro": lr + seed / 100, "val_f1_macro": lr + 0.05})
    study = studies.read(project.project(), "sweep")
    verdict = judge(study)
    assert [arm.arm for arm in verdict.arms] == ["lr=0.3"] and verdict.best == "lr=0.3"
    told = answer(study, verdict).sentence
    assert told.startswith("Of 3 settings lr=0.3 was chosen by macro-F1 on the validation split: macro-F1 of lr=0.3 is")
    [chosen] = [line for line in sections.actual(study, verdict) if "went on" in line]
    assert chosen.startswith("macro-F1 on the validation split 0.35") and "1 of 3 settings" in chosen
    assert "1 design has looked at these test items so far: `sweep`" in sections.looks(study)
    assert [study.metric(study.searched_by).split, study.metric("infer.f1_macro").split] == ["validation", "test"]


def test_a_run_by_hand_that_answers_a_design_is_no_look_of_its_own() -> None:
    def run(name: str, **experiment: str) -> Any:
        found = SimpleNamespace(name=name, baseline="b", status="finished", experiment=experiment, data="d", params={})
        found.reaches = lambda stage: True
        return found

    first, own, other = run("perdu-help"), run("s1", design="baseline"), run("vocal-grub")
    project, named = SimpleNamespace(records=lambda: [first, own, other]), SimpleNamespace(name="baseline")
    study: Any = SimpleNamespace(
        finished=[first, own], project=project, contract=contracts.TRIVIAL, design=named, stage="infer"
    )
    assert splits.looks(study) == ["baseline", "vocal-grub"]


def said(project: Trivial, command: str) -> str:
    """What a command says of the sweep, in one line."""
    return " ".join(in_process.lab(project.root, command, "designs/sweep.yaml").stdout.split())


def test_what_a_sweep_chooses_by_is_told_before(project: Trivial) -> None:
    told = said(project, "check")
    assert "by train.val_f1_macro, after train; what is answered is infer.f1_macro of the best" in told
    assert "3 arms × 2 seeds = 6; then 2 or more of arms that go on" in told
    told = said(project, "plan")
    assert "6 runs in 1 wave, 0 done; they end with train, and the best go on when all are over" in told
    written(project, type="quant", hypothesis=GRID["hypothesis"] | {"metric": "quant.f1_macro"}, seeds=[0])
    told = said(project, "check")
    assert "it chooses by quant.f1_macro, on the test split" in told and "type: quant" in told
    trivial.carry_out(project, "sweep")
    assert "chosen on the test split" in " ".join(judge(studies.read(project.project(), "sweep")).reasons)
    written(
        project, type="quant", hypothesis=GRID["hypothesis"] | {"metric": "quant.f1_macro"}, seeds=[0], sweep=STOPPED
    )
    assert "halving belongs to a search by the twin" in said(project, "check")


def test_arms_that_the_hypothesis_names_go_on_with_the_best(project: Trivial) -> None:
    claim = GRID["hypothesis"] | {"arm": "lr=0.2", "versus": "lr=0.1"}
    written(project, hypothesis=claim, sweep={"strategy": "grid", "parameters": {"lr": [0.1, 0.2, 0.3, -1.0]}})
    trivial.carry_out(project, "sweep")
    study = studies.read(project.project(), "sweep")
    assert study.finalists == ["lr=0.1", "lr=0.2", "lr=0.3"], "what failed does not"
    assert [(each.arm, each.claimed) for each in judge(study).comparisons] == [("lr=0.2", True), ("lr=0.3", False)]


def test_a_bayesian_search_goes_on_where_it_was(project: Trivial) -> None:
    ranges = {"lr": {"low": 0.1, "high": 1.0}}
    written(project, seeds=[0], sweep={"strategy": "bayesian", "max_runs": 3, "parallel": 2, "parameters": ranges})
    numbers = []
    for _ in range(3):  # as lab queue does, by hand
        runs = planned(project).runs
        numbers.append([(run.target, run.wave) for run in runs])
        for run in runs:
            if project.project().answer(run.params, run.target) is None:
                trivial.experiment(project, run)
    train, infer = ("train", 0), ("infer", 1)
    assert numbers[:2] == [[train] * 2, [train] * 3] and sorted(numbers[2]) == [infer, train, train]
    study = studies.read(project.project(), "sweep")
    assert len(study.finalists) == 1 and not planned(project).is_open
    assert study.values(study.finalists[0], "infer.f1_macro")[0] == max(
        replicate.value("train.val_f1_macro") for replicate in study.replicates
    )


def test_runs_from_before_there_was_a_twin_are_read_as_they_were(project: Trivial) -> None:
    lab = project.root / "lab.yaml"
    text = lab.read_text()
    content = yaml.safe_load(text)
    for entry in content["metrics"].values():
        entry.pop("twin", None)
    lab.write_text(yaml.safe_dump(content))
    project.commit("as it was")
    trivial.carry_out(project, "sweep")
    lab.write_text(text)
    project.commit("twins")
    study = studies.read(project.project(), "sweep")
    assert study.finalists is None and len(judge(study).arms) == 3
    assert all(each.record.reaches("infer") for each in study.replicates)


def test_what_cant_win_is_stopped_and_is_no_arm(project: Trivial) -> None:
    rates = [round(0.1 * i, 1) for i in range(1, 10)]
    sweep = {"parameters": {"lr": rates}, "halving": 2}
    written(project, seeds=[0], base=["training.max_epochs=9"], sweep=sweep)
    rungs = []
    while open_runs := [run for run in planned(project).runs if not answers(project, run)]:
        rungs.append([run.params["training"]["stop_after"] for run in open_runs])
        for run in open_runs:
            trivial.experiment(project, run)
    assert rungs == [[2] * 9, [4] * 4, [None] * 2, [None]], "after 2 and 4 of 9 epochs a half goes on; one to the end"
    study = studies.read(project.project(), "sweep")
    assert (study.finalists, list(study.searched)) == (["lr=0.9"], ["lr=0.8", "lr=0.9"])
    assert [each.arm for each in study.replicates if each.stopped] == [f"lr={rate}" for rate in rates[:-2]]
    assert [comparison.arm for comparison in judge(study).comparisons] == ["lr=0.9"]
    assert not any(each.superseded for each in study.replicates), "a rung is no reroll of the one before"
    assert answer(study, judge(study)).sentence.startswith("Of 9 settings (7 were stopped early) lr=0.9 was chosen by")
    assert all(each.finished and each.stated for each in study.replicates)


def answers(project: Trivial, run: Any) -> bool:
    """Whether a record answers a run."""
    return project.project().answer(run.params, run.target) is not None


@given(st.integers(1, 200), st.integers(1, 100), st.integers(2, 4), st.integers(1, 4))
def test_halving_saves_epochs_and_leaves_enough(arms: int, epochs: int, factor: int, finalists: int) -> None:
    sweep = {"parameters": {"lr": [0.1, 0.2]}, "halving": factor, "finalists": finalists}
    design = design_file.parse(GRID | {"name": "sweep", "sweep": sweep}, contracts.VISION)
    rungs = search.rungs(design, arms, epochs)
    budgets, left = [0, *(after for after, _ in rungs), epochs], [arms, *(kept for _, kept in rungs)]
    assert budgets == sorted(set(budgets)) and left == sorted(left, reverse=True)
    assert min(left) >= min(finalists, arms)
    spent = sum(count * (after - before) for count, before, after in zip(left, budgets[:-1], budgets[1:], strict=True))
    assert spent <= arms * epochs
    if arms >= 4 * finalists and epochs >= 8 and factor != 3:
        assert spent <= arms * epochs / 2, "half is saved at the least"
    assert all(4 * after >= epochs - 3 for after, _ in rungs), "a quarter is left to each"
    assert all(after >= 2 for after, _ in rungs)


@given(st.lists(st.none() | st.sampled_from([0.1, 0.2, 0.3]), min_size=4, max_size=4), st.integers(1, 5), st.booleans())
def test_the_best_go_on_and_never_what_failed(values: list[float | None], count: int, is_claimed: bool) -> None:
    claim = {"arm": "lr=0.4", "versus": "lr=0.1"} if is_claimed else {}
    sweep = {"parameters": {"lr": [0.1, 0.2, 0.3, 0.4]}}
    content = GRID | {"name": "sweep", "hypothesis": GRID["hypothesis"] | claim, "sweep": sweep}
    names = [f"lr=0.{i}" for i in range(1, 5)]
    measured = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    chosen = search.best(design_file.parse(content, contracts.VISION), contracts.VISION, names, values, count)
    assert set(chosen) <= set(measured) and len(chosen) >= min(count, len(measured))
    named = {*claim.values()}
    others = [measured[name] for name in measured if name not in chosen]
    best = sorted(measured.values(), reverse=True)[:count]
    assert all(measured[name] in best for name in set(chosen) - named)
    assert not others or max(others) <= min(best)
    assert set(measured) & named <= set(chosen)


def test_what_a_person_edits_meanwhile_changes_no_run(project: Trivial) -> None:
    """What was planned when lab run began is what goes on: of another choice of a group, too, which is read later."""
    known = project.project()
    planner = studies.planner(known, project.root / "designs" / "sweep.yaml")
    before = planner.plan()
    with planner.at(str(known.head)) as fixed:
        for file in (project.root / "conf").rglob("*.yaml"):
            file.write_text(file.read_text().replace("batch_size: 64", "batch_size: 32") + "\nadded_meanwhile: 1\n")
        assert [run.params for run in fixed.plan().runs] == [run.params for run in before.runs]
        edited = studies.planner(project.project(), project.root / "designs" / "sweep.yaml").plan()
        assert all("added_meanwhile" in run.params for run in edited.runs)
    assert not any("added_meanwhile" in run.params for run in before.runs)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"seeds": {"from": 3, "to": 6}}, "choose before, with a list of seeds"),
        ({"sweep": {"method": "factorial"}}, "the best combination is to be run again"),
        ({"type": "quant"}, "models that exist (type: quant)"),
    ],
)
def test_a_sweep_that_compares_all_its_arms_says_that_it_chooses_on_the_test_split(
    more: dict[str, Any], why: str
) -> None:
    sweep = {"parameters": {"lr": [0.1, 0.2], "training.ema": [True, False]}} | more.pop("sweep", {})
    claim = {"claim": "One is better", "metric": f"{'quant' if more.get('type') else 'infer'}.f1_macro"}
    claim |= {"versus": "lr=0.1,ema=true"} if "seeds" in more else {}
    content = {"kind": "sweep", "type": "train", "name": "all", "title": "Which?", "seeds": [0, 1], "sweep": sweep}
    design = design_file.parse(content | more | {"hypothesis": claim}, VISION)
    [check] = preflight.chosen_by(design, Plan(design, "", []), VISION, "classification")
    assert not check.ok and not check.blocks and why in check.message
    made = Study(design, VISION, "", "", "", [])
    assert search.chosen_on_test(design, VISION, claim["metric"]) and any(reasons.chosen_on_test(made))
