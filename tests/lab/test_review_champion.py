"""The champion: only a model that beats it takes its place, and each refusal shows the number against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import answered
import in_process
import numpy as np
import pandas as pd
import pytest
import scorers
import studies
import tracked
import trivial
import yaml
from trivial import Trivial

from lab.analysis import gate as pure
from lab.analysis import online
from lab.analysis.verdict import judge
from lab.design.blocks import Guardrail
from lab.records import champion as champions
from lab.records.commit import Brief, Commit
from lab.records.git_record import GitRecord
from lab.records.studies import read
from lab.review import branch, gate, promote
from lab.study import Examples
from lab.tracking.mlflow import registry
from lab.tracking.mlflow.model_refs import find

pytestmark = pytest.mark.slow  # experiments take seconds

LEDGER = "models/champion/ledger.yaml"
FILES = [f"models/champion/{name}" for name in ("README.md", "champion.dvc", "champion.yaml", "ledger.yaml")]


@pytest.fixture
def project(answers: Trivial, tmp_path: Path) -> Trivial:
    """A copy in which both designs have run, and nothing is the champion yet."""
    return trivial.copied(answers, tmp_path / "project")


class OtherCode(Commit):
    """A commit with other code."""

    def code(self, params: dict[str, Any], stage: str) -> str:
        return "01dc0de"

    @property
    def brief(self) -> Brief:  # type: ignore[override]
        return super().brief._replace(code={})


class Elsewhere(GitRecord):
    """A record of other code, on other data."""

    data = "0ther"  # type: ignore[assignment]

    @property
    def content(self) -> Commit:
        return OtherCode(self.project, self.commit)


class OnOtherData(GitRecord):
    """A record of the same code on other data."""

    data = "0ther"  # type: ignore[assignment]


class AtAnotherSite(GitRecord):
    """A record of the same model, on the test images of another site."""

    effective = {}  # type: ignore[assignment]

    @property
    def params(self) -> dict[str, Any]:
        own = super().params
        return {**own, "infer": {**own["infer"], "site": "B"}}


def objections(
    project: Trivial, name: str, arm: str, kind: type = GitRecord, guardrails: Sequence[Any] = (), **changes: Any
) -> str:
    """What the gate says of a design's arm, its records of another `kind`, against the changed champion."""
    study = read(project.project(), name)
    hypothesis = study.design.hypothesis.model_copy(update={"guardrails": list(guardrails)})
    fields = [field.name for field in dataclasses.fields(GitRecord)]
    replicates = [
        dataclasses.replace(each, record=kind(**{field: getattr(each.record, field) for field in fields}))
        for each in study.replicates
        if each.record
    ]
    design = study.design.model_copy(update={"hypothesis": hypothesis})
    study = dataclasses.replace(study, design=design, replicates=replicates)
    champion = champions.current(study.project).model_copy(update=changes)
    return "\n".join(gate.objections(study, judge(study), study.arms[arm][0], champion))


def said(project: Trivial) -> dict:
    return yaml.safe_load((project.root / "models/champion/champion.yaml").read_text())


def weights(project: Trivial) -> str:
    (file,) = (project.root / "models/champion/checkpoints").glob("champion.*")  # .pt or .ckpt: as the task has it
    return file.read_text()


def lab(project: Trivial, *arguments: str) -> str:
    """What `lab` prints, in this process."""
    done = in_process.lab(project.root, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refusal(project: Trivial, *arguments: str, lost: bool = False) -> str:
    """The message of a promotion that is refused, and leaves all as it was, but for the ledger of a `lost` test."""
    before = project.call("git", "rev-parse", "HEAD").stdout, project.call("git", "status", "--short").stdout
    done = in_process.lab(project.root, "promote", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
    if lost:
        assert project.call("git", "show", "--format=", "--name-only", "HEAD").stdout.split() == [LEDGER]
    now = "HEAD~1" if lost else "HEAD"
    assert (project.call("git", "rev-parse", now).stdout, project.call("git", "status", "--short").stdout) == before
    return done.stderr


def test_a_supported_design_makes_the_first_champion(project: Trivial) -> None:
    (project.root / "notes.txt").write_text("staged, and none of the champion's business")
    project.call("git", "add", "notes.txt")
    told = lab(project, "promote", "designs/small.yaml")
    assert "infer.f1_macro: 0.5; over 2 seeds 0.5008" in told
    assert project.call("git", "show", "--format=%P", "--name-only", "HEAD").stdout.split()[1:] == FILES
    assert project.call("git", "status", "--short").stdout == "A  notes.txt\n"
    content = said(project)
    record = project.records()[content["experiment"]]
    assert (content["revision"], content["design"], content["arm"]) == (record.commit, "small", "0.5")
    assert content["data"] == record.data and content["runs"][str(content["seed"])] == record.commit
    assert content["metrics"]["infer.f1_macro"]["low"] < 0.5008 < content["metrics"]["infer.f1_macro"]["high"]
    assert "SUPPORTED" in content["why"] and content["forced"] is None
    assert weights(project) == f"0.5 {content['seed']}"
    text = (project.root / FILES[0]).read_text()
    _, head, body = text.split("---\n", 2)
    (index,) = yaml.safe_load(head)["model-index"]  # as Hugging Face's hub reads it
    assert index["name"] == content["experiment"] and "0.5008" in body and "SUPPORTED" in body
    values = {each["metrics"][0]["type"]: each["metrics"][0]["value"] for each in index["results"]}
    assert values == {name: measured["value"] for name, measured in content["metrics"].items()}
    assert all(each["dataset"]["revision"] == content["data"] for each in index["results"])


def test_a_colleague_gets_its_files_from_the_remote(project: Trivial, tmp_path: Path) -> None:
    project.call("dvc", "remote", "add", "--force", "--default", "shared", str(tmp_path / "data"))
    project.commit("a remote")
    lab(project, "promote", "small")
    project.call("dvc", "push", "models/champion/champion.dvc")
    project.call("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = Trivial(tmp_path / "clone")
    clone.call("dvc", "pull", "models/champion/champion.dvc")
    assert weights(clone) == weights(project)


def test_only_what_beats_it_takes_its_place(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    names = {(r.experiment["arm"], r.experiment["seed"]): r.name for r in project.records().values() if r.experiment}
    worse = refusal(project, names["0.1", 0], lost=True)
    assert "not shown to beat the champion" in worse and "0.1 − champion in infer.f1_macro: -0.400 [" in worse
    hidden = refusal(project, "large", lost=True)
    assert "a regression hidden by the mean: infer.classes.cat v1.2.f1 -0.102" in hidden
    assert "0.8 − champion in infer.f1_macro: +0.3" in hidden and "dog" not in hidden
    assert "is the champion already" in refusal(project, said(project)["experiment"])
    assert refusal(project, "large") == hidden, "the same test once more is no other"
    first, *tests = yaml.safe_load((project.root / LEDGER).read_text())
    assert (first["design"], first["against"], first["p"]) == ("small", None, None)
    assert [(each["design"], each["arm"], each["against"]) for each in tests] == [
        ("small", "0.1", first["experiment"]),
        ("large", "0.8", first["experiment"]),
    ]
    assert tests[0]["p"] > 0.9 and tests[0]["chosen_from"] == 3 and tests[0]["seeds"] == 2
    assert tests[0]["level"] == pytest.approx(online.level([]), rel=1e-4)
    assert tests[1]["level"] == pytest.approx(online.level([False]), rel=1e-4) and tests[1]["looks"] == 2


def test_a_run_that_no_design_asked_for_is_promoted_by_the_one_that_it_answers(project: Trivial) -> None:
    project.call("dvc", "exp", "run", "--temp", "-n", "plain", "-S", "lr=0.55", "infer")
    assert "plain answers no design" in refusal(project, "plain")
    answered.design(project, "after", 0.55, 0.1)
    told = lab(project, "run", "after", "--force")
    assert "reused" in told and "4 finished" in told
    refused = refusal(project, "plain")
    assert "exploratory: the design as it reads was committed after runs that decide: what was known before" in refused
    line = next(line for line in lab(project, "status").splitlines() if "after" in line)
    assert line.split() == ["after", "4"], "three of the four are others'"
    assert "plain is the champion" in lab(project, "promote", "plain", "--force", "the first one")
    assert (said(project)["design"], said(project)["seed"]) == ("after", 0)


def test_a_forced_one_says_why_and_the_former_comes_back(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    first = said(project)
    told = lab(project, "promote", "large", "--force", "cats are rare here")
    assert "overridden: a regression hidden by the mean" in told and f"before it was {first['experiment']}" in told
    second = said(project)
    assert second["forced"]["reason"] == "cats are rare here" and "cat v1.2.f1" in second["forced"]["objections"][0]
    assert second["replaces"] == first["experiment"] and weights(project).startswith("0.8 ")
    path = project.root / "models/champion/champion.yaml"
    earlier = path.read_text().replace("replaces: ", "beats: ")
    assert champions.parsed(earlier).replaces == first["experiment"], "as it was called before"
    lab(project, "promote", "--rollback")
    assert said(project) == first and weights(project).startswith("0.5 ")
    assert project.call("git", "log", "-3", "--format=%s").stdout.splitlines() == [
        f"Champion: back to {first['experiment']}",
        f"Champion: {second['experiment']}",
        f"Champion: {first['experiment']}",
    ]
    assert project.call("git", "status", "--short").stdout == ""
    assert "is the first champion" in refusal(project, "--rollback")


def test_a_stale_baseline_is_refused(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    data = said(project)["data"]
    found = objections(project, "large", "0.8", OnOtherData)
    assert f"stale baseline: the champion was measured on the data {data[:7]}, these runs on 0ther" in found
    found = objections(project, "large", "0.8", Elsewhere, data="0ther")
    assert "stale baseline: the champion was made by the code" in found and "these runs by 01dc0de" in found
    absent = {"revision": "0" * 40, "runs": {0: "0" * 40, 1: "1" * 40}}
    assert "2 of the champion's 2 runs are not in this clone" in objections(project, "large", "0.8", **absent)
    project.call("git", "checkout", "-q", "-b", "elsewhere", "HEAD~3")
    (project.root / "README.md").write_text("another way")
    project.commit("elsewhere")
    message = refusal(project, "large")
    assert "stale baseline" in message and "has 2 commits that HEAD lacks, and HEAD has 1 others" in message


def test_the_champion_counts_as_it_was_run_again(project: Trivial) -> None:
    """What was measured of its config by the same code on the same data counts, whatever design has asked for it."""
    promote.promote(project.project(), "small")
    again = objections(project, "large", "0.8", runs={})
    assert "stale" not in again and "0.8 − champion in infer.f1_macro: +0.3" in again


@pytest.mark.parametrize(
    ("metric", "values", "seed", "expected"),
    [
        ("f1_macro", [0.80, 0.81, 0.80, 0.81, 0.90], 4, "0.9 in infer.f1_macro, where its other 4 have 0.805"),
        ("f1_macro", [0.80, 0.81, 0.80, 0.81, 0.90], 1, ""),
        ("f1_macro", [0.80, 0.81, 0.80, 0.99], 3, "and 0.81 at best (Grubbs' test"),
        ("f1_macro", [0.80, 0.80, 0.801, 0.802, 0.803, 0.804, 0.805, 0.806], 7, ""),  # one of eight is the best
        ("f1_macro", [0.80, 0.81, 0.83], 2, ""),
        ("loss", [0.80, 0.81, 0.80, 0.81, 0.70], 4, "0.7 in infer.loss, where its other 4 have 0.805"),
        ("loss", [0.80, 0.81, 0.80, 0.81, 0.90], 4, ""),
        (
            "f1_macro",
            [0.80, 0.81],
            1,
            "can't be told of two: 0.5 with seed 1 has 0.81 in infer.f1_macro, with seed 0 0.8",
        ),
        ("f1_macro", [0.80, 0.81], 0, ""),
        ("f1_macro", [0.80], 0, "0.5 has one seed, 0, with 0.8"),
    ],
)
def test_a_lucky_seed_is_refused(metric: str, values: list[float], seed: int, expected: str) -> None:
    def metrics(arm: str, seed: int) -> dict:
        return {"infer": {metric: values[seed] if arm == "0.5" else 0.5}}

    direction = "minimize" if metric == "loss" else "maximize"
    hypothesis = studies.hypothesis(f"infer.{metric}", arm=0.5, versus=0.1, direction=direction)
    design = studies.comparison("lr", [0.1, 0.5], hypothesis=hypothesis, seeds=[*range(len(values))])
    found = studies.made("made", metrics, design)
    said = list(pure.lucky(found, judge(found), found.arms["0.5"][seed]))
    assert expected in said[0] if expected else said == []


def duel(values: dict[str, list[float]], champion: list[float], level: float, **claim: Any) -> pure.Duel:
    """The best arm of a study against a champion with these values."""

    def metrics(arm: str, seed: int) -> dict:
        return {"infer": {"f1_macro": values[arm][seed]}}

    hypothesis = studies.hypothesis("infer.f1_macro", versus="0.1", **claim)
    design = studies.comparison("lr", [float(arm) for arm in values], hypothesis=hypothesis, seeds=[0, 1, 2, 3, 4])
    found = studies.made("made", metrics, design)
    champions = {
        seed: studies.MadeUp("c", "c", "b", "finished", {"metrics": {"infer": {"f1_macro": value}}})
        for seed, value in enumerate(champion)
    }
    judged = judge(found)
    arm = pure.typical(found, judged.winner or judged.best, judged.metric).arm
    return pure.challenge(found, judged, found.arms[arm], champions, level)


CHAMPION = [0.90, 0.91, 0.89, 0.90, 0.91]
BETTER = [0.905, 0.921, 0.899, 0.913, 0.913]  # by 0.0082 on the mean: p = 0.008, one-sided


def test_an_arm_that_was_chosen_from_several_has_to_show_more() -> None:
    others = {"0.1": [0.80] * 5, "0.2": [0.81, 0.8, 0.82, 0.8, 0.81], "0.3": [0.8, 0.82, 0.81, 0.8, 0.8]}
    alone = duel(others | {"0.9": BETTER}, CHAMPION, 0.025, arm="0.9")
    chosen = duel(others | {"0.9": BETTER}, CHAMPION, 0.025)
    assert (alone.chosen_from, chosen.chosen_from) == (1, 3)
    assert chosen.p == pytest.approx(3 * alone.p) and alone.p < 0.01
    assert alone.won and not duel(others | {"0.9": BETTER}, CHAMPION, alone.p / 2, arm="0.9").won
    assert "times the 3 arms that it was chosen from" in " ".join(chosen.verdict.reasons)


def test_each_lost_test_lowers_what_the_next_may_spend_and_a_won_one_raises_it() -> None:
    assert online.level([]) == pytest.approx(0.025 / 2.6124, rel=1e-3)
    lost = [online.level([False] * n) for n in range(30)]
    assert lost == sorted(lost, reverse=True) and sum(lost) < 0.025
    assert online.level([False, True]) > lost[2] and online.level([True]) > lost[1]
    assert all(online.level([True] * n) <= 0.05 for n in range(30))


def test_what_failed_with_a_seed_is_no_champion() -> None:
    def metrics(arm: str, seed: int) -> dict | None:
        return None if (arm, seed) == ("0.5", 2) else {"infer": {"f1_macro": 0.9 if arm == "0.5" else 0.5}}

    hypothesis = studies.hypothesis("infer.f1_macro", arm=0.5, versus=0.1)
    made = studies.made("made", metrics, studies.comparison("lr", [0.1, 0.5], hypothesis=hypothesis))
    told = list(pure.crashed(made, "0.5"))
    assert told == ["1 of the 3 runs of 0.5 failed: lab run designs/made.yaml tries them again"]
    assert not list(pure.crashed(made, "0.1"))


def test_what_makes_models_worse_has_no_winner(project: Trivial) -> None:
    answered.design(project, "worse", 0.1, 0.5, direction="minimize")  # all of its runs are there
    assert "worse is SUPPORTED, and no arm of it has won" in refusal(project, "worse")
    promote.promote(project.project(), "small")
    names = {(r.experiment["arm"], r.experiment["seed"]): r.name for r in project.records().values() if r.experiment}
    found = read(project.project(), "worse")
    said = "".join(gate.objections(found, judge(found), found.arms["0.1"][0], champions.current(found.project)))
    assert "not shown to beat the champion" in said and "0.1 − champion in infer.f1_macro: -0.4" in said
    assert branch.chosen(found, judge(found)) is None
    assert branch.chosen(found, judge(found), best=True).record.name == names["0.5", 0]


def test_other_test_items_are_refused(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    found = objections(project, "large", "0.8", AtAnotherSite)
    assert "measured on other test items: these runs on those of site B, the champion on those of site A" in found


def test_a_broken_guardrail_is_refused(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    rail = Guardrail(metric="infer.classes.cat v1.2.f1", max_decrease=0.05)
    found = objections(project, "large", "0.8", guardrails=[rail])
    assert "not shown to beat the champion" in found and "but a guardrail is broken" in found
    assert "the guardrail max_decrease 0.05 is broken: 0.8 − champion in infer.classes.cat v1.2.f1: -0.102 [" in found


def test_what_a_later_stage_measures_is_asked_of_the_champion_as_well(project: Trivial) -> None:
    promote.promote(project.project(), "small")
    answered.design(project, "late", 0.9, 0.8, type="quant", metric="quant.f1_macro")
    trivial.carry_out(project, "late", answered.measured)
    told = refusal(project, "late")
    assert "the champion's runs ended before the stage quant" in told and "the settings of its arm 0.5 (small)" in told
    answered.design(project, "both", 0.9, 0.5, type="quant", metric="quant.f1_macro")
    trivial.carry_out(project, "both", answered.measured)
    assert "0.9 − champion in quant.f1_macro: +0.4" in refusal(project, "both", lost=True)  # and the cats suffer


def test_a_class_that_got_worse_is_found_in_the_images() -> None:
    """With two seeds and ten classes no test over seeds finds it."""
    generator = np.random.default_rng(0)
    labels = np.repeat([str(c) for c in range(10)], 30)

    def frame(arm: str, seed: int) -> pd.DataFrame:
        wrong = generator.random(300) < (0.25 if arm == pure.NAME else 0.05)
        if arm == "new":
            wrong |= (labels == "3") & (np.arange(300) % 30 < 18)
        predicted = np.where(wrong, np.roll(labels, 30), labels)
        paths = [f"{i}.png" for i in range(300)]
        content = {"path": paths, "site": "A", "actual": labels, "predicted": predicted, "correct": ~wrong}
        return pd.DataFrame(content)

    seen = {(arm, seed): frame(arm, seed) for arm in (pure.NAME, "new") for seed in (0, 1)}

    def metrics(arm: str, seed: int) -> dict:
        def value(name: str) -> float:
            return float(scorers.scorer(seen[arm, seed], f"infer.{name}")(np.ones((300, 1)))[0])

        classes = {str(c): {"f1": value(f"classes.{c}.f1")} for c in range(10)}
        return {"infer": {"f1_macro": value("f1_macro"), "images": 300, "classes": classes}}

    hypothesis = studies.hypothesis(arm="new", versus=pure.NAME)
    pairs = studies.made(
        "made", metrics, studies.comparison("a", [pure.NAME, "new"], hypothesis=hypothesis, seeds=[0, 1])
    )
    examples = scorers.examples(seen)
    told = "".join(pure.hidden(pairs, "new", judge(pairs, examples), examples))
    assert told.count("hidden by the mean") == 1 and "infer.classes.3.f1 -0.26" in told
    assert "".join(pure.hidden(pairs, "new", judge(pairs), Examples())) == ""


def test_a_part_of_the_items_that_got_worse_is_found() -> None:
    """By a column that the contract says divides them."""
    generator = np.random.default_rng(0)
    sites = np.where(np.arange(300) < 60, "B", "A")

    def frame(arm: str) -> pd.DataFrame:
        rates = {"A": 0.02, "B": 0.6} if arm == "new" else {"A": 0.25, "B": 0.1}
        wrong = generator.random(300) < np.array([rates[site] for site in sites])
        labels = np.array(["cat", "dog"])[np.arange(300) % 2]
        predicted = np.where(wrong, "none", labels)
        paths = [f"{i}.png" for i in range(300)]
        content = {"path": paths, "site": sites, "actual": labels, "predicted": predicted, "correct": ~wrong}
        return pd.DataFrame(content)

    frames = {(arm, 0): frame(arm) for arm in (pure.NAME, "new")}

    def metrics(arm: str, seed: int) -> dict:
        return {"infer": {"accuracy": float(frames[arm, seed]["correct"].mean()), "images": 300}}

    hypothesis = studies.hypothesis("infer.accuracy", arm="new", versus=pure.NAME)
    design = studies.comparison("a", [pure.NAME, "new"], "infer", hypothesis=hypothesis, seeds=[0])
    pairs, examples = studies.made("made", metrics, design), scorers.examples(frames)
    [told] = pure.hidden(pairs, "new", judge(pairs, examples), examples)
    assert "a regression hidden by the mean: infer.accuracy of site B -0.483 [" in told and "after Holm over 2" in told


def test_what_has_no_files_is_refused_and_leaves_nothing(project: Trivial) -> None:
    project.call("rm", "-rf", ".dvc/cache")
    message = refusal(project, "small")
    assert "neither in DVC's cache nor on its remote" in message
    assert not (project.root / "models/champion").exists()


def test_a_commit_that_no_branch_would_have_is_refused(project: Trivial) -> None:
    project.call("git", "switch", "-q", "--detach")
    assert "HEAD is detached" in refusal(project, "small") and "HEAD is detached" in refusal(project, "--rollback")


def test_names_are_told(project: Trivial) -> None:
    assert "Did you mean 'small'?" in refusal(project, "smal")
    assert "expected a design or an experiment" in refusal(project, "small", "--rollback")
    assert "there is no champion yet" in refusal(project, "--rollback")


def test_a_design_that_shows_nothing_makes_no_champion(project: Trivial) -> None:
    answered.design(project, "same", 0.1, 0.5)  # the other way round; all of its runs are there
    message = refusal(project, "same")
    assert "same is REFUTED, and no arm of it has won: 0.1 − 0.5 in infer.f1_macro: -0.4" in message


def test_mlflow_knows_it_by_its_alias(project: Trivial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each champion is a version once, and what a design calls models:/name@champion is its experiment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it: it ends with the test
    (project.root / "conf" / "tracking.yaml").write_text("experiment: trivial\nbackends: [mlflow]\n")
    first, _ = promote.promote(project.project(), "small")
    assert registry.register(project.project()) == ""  # nothing is mirrored here
    client = tracked.sink(f"sqlite:///{project.root / 'mlflow.db'}").client
    client.search_experiments()
    assert registry.register(project.project()).endswith("models:/trivial@champion is version 1")
    second, _ = promote.promote(project.project(), "large", "cats are rare here")
    assert registry.register(project.project()).endswith("is version 2")
    assert find(project.root, "models:/trivial@champion") == second.revision
    promote.rollback(project.project())
    assert registry.register(project.project()).endswith("is version 1")
    assert find(project.root, "models:/trivial@champion") == first.revision
    assert len(client.search_model_versions("name = 'trivial'")) == 2
    assert not (project.root / "mlruns").exists()
