"""The split that is kept for the end: `lab promote` alone opens it, for what has won before, and it decides."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import answered
import contracts
import in_process
import pytest
import trivial
import yaml
from trivial import Trivial

from lab import yaml12
from lab.design.compose import composer_of
from lab.records import ledger, studies
from lab.records.git_record import GitRecord
from lab.review import final_split
from lab.study import Study

IMAGES = 7
STAGES = {
    "outs: [data/prepared]": "outs: [data/prepared, data/final]\n    metrics: [metrics/prepare.json: {cache: false}]",
    "deps: [models/model.pt, src/stand_in.py]\n    params: [infer]": (
        "deps: [models/model.pt, src/stand_in.py, '${final_data}']\n    params: [infer, split, final_data]"
    ),
}
SCRIPT = {
    answered.MEASURED: answered.NOISY,
    '    sys.exit()\nwith open(Path(os.environ["DVC_ROOT"])': f"""    write("data/final/much_worse.txt", "0.4")
    write("metrics/prepare.json", json.dumps({{"images": {{"final": {IMAGES}}}}}))
    sys.exit()
with open(Path(os.environ["DVC_ROOT"])""",
    "validation = {": """if stage == "infer" and params["split"] == "final":
    assert os.environ["LAB_FINAL"] and Path("data/final/much_worse.txt").exists()
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(f"{lr} {seed}\\n")
    if lr == float(Path("data/final/much_worse.txt").read_text()):
        metrics["f1_macro"] -= 0.3
elif stage == "infer":
    assert not Path("data/final").exists() and params["split"] == "test"
validation = {""",
}


@pytest.fixture(scope="module")
def made(template: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project with a final split, on which 0.4 is much worse, and whose champion is a run of 0.3."""
    project = trivial.copied(template, tmp_path_factory.mktemp("final") / "project")
    for name, changes in {"dvc.yaml": STAGES, "src/stand_in.py": SCRIPT}.items():
        text = (project.root / name).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (project.root / name).write_text(text)
    contract = yaml12.mapping((project.root / "lab.yaml").read_text())
    final = yaml12.mapping(contracts.TRIVIAL_TEXT)["final"]
    (project.root / "lab.yaml").write_text(yaml12.dump(contract | {"final": final}))
    watched = project.root / yaml.safe_load((project.root / "params.yaml").read_text())["final_data"]
    watched.parent.mkdir(parents=True)
    watched.write_text("")
    project.commit("a final split")
    answered.design(project, "small", 0.3, 0.1)
    answered.design(project, "large", 0.4, 0.3)
    answered.design(project, "larger", 0.5, 0.3)
    files = {"data/final/much_worse.txt": b"0.4"}
    with pytest.MonkeyPatch.context() as patched:
        results = trivial.results

        def with_final(stage: str, params: dict[str, Any], metrics: Any) -> Iterator[tuple[str, bytes]]:
            yield from results(stage, params, metrics)
            if stage == "prepare":
                yield from files.items()
                yield "metrics/prepare.json", json.dumps({"images": {"final": IMAGES}}).encode()

        patched.setattr(trivial, "results", with_final)
        for name in ("small", "large", "larger"):
            trivial.carry_out(project, name, answered.measured)
    trivial.keep(project, trivial.listing(files, "data/final"), ".dir")
    first = in_process.lab(project.root, "promote", "small")
    assert first.returncode == 0 and first.stdout.startswith("no champion yet: the final split stays closed")
    return project


def entries(project: Trivial) -> list[ledger.Entry]:
    return ledger.read(project.project())


def stand_in(study: Study, record: GitRecord, tell: Callable[[str], None]) -> final_split.Measured:
    """What the stage measures on the final split, without DVC."""
    metrics = copy.deepcopy(record.metrics)
    metrics["infer"]["f1_macro"] -= 0.3 * (record.params["lr"] == 0.4)
    fields = {name: getattr(record, name) for name in ("project", "name", "commit", "baseline", "status")}
    return final_split.Measured(**fields, on_final=metrics)


@pytest.mark.slow
def test_a_run_is_measured_there_by_its_own_code_and_model(made: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(made, tmp_path / "project")
    study = studies.read(project.project(), "large")
    with in_process.about(project.root, {"CALLS": str(tmp_path / "calls.txt")}):
        found = final_split.measure(study, study.arms["0.4"][1].record, print)
    assert found.value("infer.f1_macro") == pytest.approx(0.4014 - 0.3)
    assert (tmp_path / "calls.txt").read_text() == "0.4 1.0\n"
    assert found.value("prepare.images.final") == IMAGES and found.params["split"] == "test"


@pytest.mark.slow
@pytest.mark.parametrize("is_real", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_it_decides_and_the_ledger_keeps_what_came_out(
    is_real: bool, made: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, calls = trivial.copied(made, tmp_path / "project"), tmp_path / "calls.txt"
    if not is_real:
        monkeypatch.setattr(final_split, "measure", stand_in)
    refs = project.call("git", "for-each-ref", "refs/exps").stdout
    for _ in range(2):
        refused = in_process.lab(project.root, "promote", "large", CALLS=str(calls))
        assert refused.returncode == 2 and f"on the {IMAGES} items of the final split" in refused.stderr
    assert not is_real or len(calls.read_text().splitlines()) == 4, "the second time DVC's run cache knows them"
    [_, lost] = entries(project)
    assert lost.final and not lost.won and lost.final.arm[0] == pytest.approx(0.1)
    assert lost.test_p is not None and lost.p is not None and lost.test_p < 0.05 < lost.p

    told = in_process.lab(project.root, "promote", "larger", CALLS=str(calls))
    assert told.returncode == 0, told.stderr
    first = told.stdout.splitlines()[0]
    assert f"the final one is opened, {IMAGES} items, looked at by 1 test before. 4 models are measured" in first
    assert not is_real or len(calls.read_text().splitlines()) == 6, "the champion's are known"
    won = entries(project)[-1]
    assert won.final and (won.final.items, won.final.looks, won.won) == (IMAGES, 1, True)
    assert won.final.arm == {0: 0.5, 1: 0.5015} and won.final.champion == {0: 0.3, 1: 0.3013}
    assert won.p == max(won.final.p or 0, won.final.test_p or 0)
    assert project.call("git", "for-each-ref", "refs/exps").stdout == refs, "no record has what came out"
    assert project.call("git", "status", "--short").stdout == ""


def test_a_design_that_names_it_is_refused_by_its_line(made: Trivial) -> None:
    path = made.root / "designs" / "curious.yaml"
    content = yaml.safe_load((made.root / "designs" / "small.yaml").read_text())
    for setting in ("split=final", "+final_data=data/final", "data.source.fractions={val: 0.1}"):
        path.write_text(yaml.safe_dump({**copy.deepcopy(content), "base": [setting]}))
        refused = in_process.lab(made.root, "plan", "designs/curious.yaml")
        assert refused.returncode == 2 and "opened by lab promote alone" in refused.stderr, setting
        assert "curious.yaml, line 2" in refused.stderr, refused.stderr
    path.unlink()
    assert "set data.source.fractions.final in the file of your data in conf/data/" in refused.stderr
    composer_of(made.root).check_closed(["data=own", "data.source.split_seed=3"], contracts.VISION.final)
