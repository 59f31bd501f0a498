"""The champion: the model that a new result has to beat. Its files are DVC's, what is said of it is git's.

    models/champion/champion.yaml                which experiment, what it measured, on which data, since when and why
    models/champion/champion.dvc                 its files by their hashes, as its run left them in DVC's cache
    models/champion/checkpoints/champion.pt      its best epoch, for infer.model (.ckpt: classification)
    models/champion/openvino/                    the network as converted, where its run has one

A promotion is a commit, so that git has their history.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygit2
import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from lab.analysis import gate, per_image, verdict
from lab.analysis.estimates import arm_mean, measured
from lab.errors import UserError
from lab.records import commit as checkout
from lab.records import record as records
from lab.records import study
from lab.records.record import FINISHED, Record
from lab.records.study import Row, Study

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict

FOLDER = Path("models/champion")
SAID, TRACKED = (FOLDER / name for name in ("champion.yaml", "champion.dvc"))
WEIGHTS = {"detection": "checkpoints/champion.pt", "classification": "checkpoints/champion.ckpt"}
NETWORK = "openvino"
NAME = "champion"  # in a design, for infer.model


class Measured(BaseModel):
    """A metric of the champion's own run, and of its arm: the mean over seeds with its 95 % interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float | None
    mean: float
    low: float | None = None
    high: float | None = None
    seeds: int


class Forced(BaseModel):
    """Why it was promoted all the same, and against what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str
    objections: list[str]


class Champion(BaseModel):
    """What champion.yaml says. `revision` is the experiment's commit, `runs` those of its arm by seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str
    revision: str
    design: str
    arm: str
    seed: int
    why: str
    forced: Forced | None = None
    promoted: datetime
    replaces: str | None = Field(validation_alias=AliasChoices("replaces", "beats"))  # the latter until November 2026
    metrics: dict[str, Measured]
    baseline: str
    data: str | None
    code: str
    runs: dict[int, str]

    def params(self, root: Path) -> dict[str, Any]:
        """The composed config of its run; empty where this clone has not fetched it."""
        return checkout.commit(root, self.revision).params if self.revision in checkout.repository(root) else {}


def current(root: Path) -> Champion | None:
    """The champion as HEAD has it; None where there is none. Raises UserError for a file changed by hand."""
    head = study.planning.head(root)
    text = checkout.commit(root, head).text(str(SAID)) if head else ""
    return _parsed(text) if text else None


def model(root: Path) -> str:
    """The commit whose train stage made the champion's model. Raises UserError where there is none."""
    now = current(root)
    if now is None:
        raise UserError("there is no champion yet: lab promote DESIGN")
    measured_another = (now.params(root).get("infer") or {}).get("model")
    return str(measured_another or now.revision)


def _parsed(text: str) -> Champion:
    try:
        return Champion.model_validate(yaml.load(text, Loader=checkout.Yaml))  # noqa: S506, it is a safe loader
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(
            f"{SAID} is not as lab promote writes it: git log -p {SAID} shows who changed it\n{error}"
        ) from error


def candidate(root: Path, name: str) -> tuple[Study, Verdict, Row]:
    """The run to promote: of a design the winner's that is nearest to its mean; or the experiment of this name.

    Raises:
        UserError: neither, or nothing of it has finished.
    """
    named = [r for r in records.read(root) if r.status == FINISHED and name in (r.name, r.commit)]
    found = study.read(root, named[-1].experiment.get("design") or reused_by(root, named[-1]) if named else name)
    result = verdict.judge(found, per_image.read(found))
    if named:
        own = [row for row in found.rows if row.record and row.record.commit == named[-1].commit]
        if not own:
            raise UserError(
                f"{name} is not what answers {found.design.name} now: the design has run since, on {found.commit[:7]}"
            )
        return found, result, own[0]
    row = gate.typical(found, result.winner or result.best, result.metric)
    if row is None:
        raise UserError(f"no run of {found.design.name} has finished: lab run {found.path} first")
    return found, result, row


def reused_by(root: Path, record: Record) -> str:
    """The one design that a run answers which no design asked for. Raises UserError where there is none, or several."""
    answered = [s.design.name for s in study.read_all(root) if record in s.records]
    if len(answered) == 1:
        return answered[0]
    if answered:
        raise UserError(
            f"{record.name} answers {' and '.join(answered)}: promote the one whose rule it has to meet, by its name"
        )
    raise UserError(
        f"{record.name} answers no design, so that no rule says what it has to reach: promote a design's run"
    )


def promote(root: Path, name: str, reason: str = "") -> tuple[Champion, list[str]]:
    """Make a design's run the champion, in one commit. Returns it, and what `reason` overrode.

    Raises:
        UserError: the gate objects and no `reason` is given; the files are neither in DVC's cache nor on its remote.
    """
    on_branch(root)
    found, result, row = candidate(root, name)
    before = current(root)
    assert row.record is not None
    if before and before.revision == row.record.commit:
        raise UserError(f"{before.experiment} is the champion already, since {before.promoted:%Y-%m-%d}")
    said = gate.objections(found, result, row, before)
    if said and not reason:
        listed = "".join(f"\n  ✗ {each}" for each in said)
        raise UserError(
            f"{row.record.name} is not promoted (--force REASON does it all the same, and keeps the reason):{listed}"
        )
    champion = Champion(
        experiment=row.record.name,
        revision=row.record.commit,
        design=found.design.name,
        arm=row.arm,
        seed=row.seed,
        why="; ".join([result.outcome, *result.reasons]),
        forced=Forced(reason=reason, objections=said) if said else None,
        promoted=datetime.now(UTC).replace(microsecond=0),
        replaces=before.experiment if before else None,
        metrics=dict(_measured(found, row)),
        baseline=found.commit,
        data=row.record.data,
        code=row.record.code,
        runs={r.seed: r.record.commit for r in found.arms[row.arm] if r.record and r.status == FINISHED},
    )
    install(root, {SAID: _yaml(champion.model_dump(mode="json")), TRACKED: _yaml({"outs": files(row.record)})})
    commit(root, f"Champion: {champion.experiment}\n\n{champion.why}\n" + (f"Forced: {reason}\n" if said else ""))
    return champion, said


def rollback(root: Path) -> Champion:
    """Make the champion before this one the champion again, in a new commit. Raises UserError where there was none."""
    on_branch(root)
    versions = _history(root)
    if not versions:
        raise UserError("there is no champion yet: lab promote DESIGN")
    now = versions.index(versions[-1])  # where a former rollback brought it back, what was before it counts
    if now == 0:
        raise UserError(f"{current(root).experiment} is the first champion: there is none to go back to")  # type: ignore[union-attr]
    said, tracked = versions[now - 1]
    install(root, {SAID: said, TRACKED: tracked})
    champion = _parsed(said)
    commit(root, f"Champion: back to {champion.experiment}\n")
    return champion


def _history(root: Path) -> list[tuple[str, str]]:
    """What champion.yaml and champion.dvc were in HEAD's history, the oldest first; the last is what they are."""
    head = study.planning.head(root)
    found: list[tuple[str, str]] = []
    if head is None:
        return found
    walker = checkout.repository(root).walk(head, pygit2.GIT_SORT_TOPOLOGICAL | pygit2.GIT_SORT_REVERSE)  # type: ignore[arg-type]
    walker.simplify_first_parent()
    for entry in walker:
        content = checkout.commit(root, str(entry.id))
        said = content.text(str(SAID))
        if said and (not found or found[-1][0] != said):
            found.append((said, content.text(str(TRACKED))))
    return found


def files(record: Record) -> list[dict[str, Any]]:
    """The outs of champion.dvc: what dvc.lock says of the run's model. Raises UserError where there is no one model."""
    made, infer = record.outputs, record.params.get("infer") or {}
    if infer.get("members"):
        raise UserError(f"{record.name} is an ensemble of {len(infer['members'])} models: one of them can be promoted")
    if infer.get("model"):  # the run has measured another one's model
        made = checkout.commit(record.root, _revision(record, str(infer["model"]))).outputs
    model = made.get("models/model.pt")
    if model is None:
        raise UserError(f"{record.name} has no models/model.pt in its dvc.lock: its train stage has not run")
    outs = [{**model, "path": WEIGHTS[record.params.get("task", "detection")]}]
    network = record.outputs.get("models/quant")
    if network and (record.params.get("quant") or {}).get("backend") == "openvino":
        outs.append({**network, "path": NETWORK})
    return [{key: out[key] for key in sorted(out)} for out in outs]


def _revision(record: Record, name: str) -> str:
    try:
        return str(checkout.repository(record.root).revparse_single(name).peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise UserError(
            f"{record.name} has measured the model {name}, not in this clone: git fetch origin 'refs/exps/*:refs/exps/*'"
        ) from error


def on_branch(root: Path) -> None:
    """Raises UserError where a commit would be on no branch."""
    if checkout.repository(root).head_is_detached:
        raise UserError(
            "git's HEAD is detached, so that the champion's commit would be lost: git switch to a branch first"
        )


def install(root: Path, texts: dict[Path, str]) -> None:
    """Write the champion's texts and bring its files, from DVC's cache or its remote. Raises UserError."""
    before = {path: (root / path).read_bytes() if (root / path).exists() else None for path in texts}
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    try:
        _bring(root)
    except UserError:
        for path, content in before.items():
            (root / path).unlink() if content is None else (root / path).write_bytes(content)
        if before[TRACKED] is None:
            shutil.rmtree(root / FOLDER)
        else:
            _bring(root)
        raise


def _bring(root: Path) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.repo.checkout import CheckoutError

    for name in (NETWORK, "checkpoints"):  # the former champion may have had one that this one hasn't
        shutil.rmtree(root / FOLDER / name, ignore_errors=True)
    try:
        with Repo(str(root)) as repo:
            try:
                repo.checkout([str(root / TRACKED)])
            except CheckoutError:  # not in the cache
                repo.pull([str(root / TRACKED)])
    except DvcException as error:
        raise UserError(f"the champion's files are neither in DVC's cache nor on its remote: {error}") from error


def commit(root: Path, message: str) -> None:
    """Commit the champion's texts, and nothing else that may be staged. Raises UserError."""
    paths = [str(path) for path in (SAID, TRACKED)]
    for command in (["add", "--force", *paths], ["commit", "--quiet", "--message", message, "--", *paths]):
        done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"git {command[0]} of {FOLDER} failed: {(done.stderr or done.stdout).strip()}")


def _measured(found: Study, row: Row) -> Any:
    """The design's metrics, of the run and of its arm."""
    for name in found.metrics:
        values = measured(found.arms[row.arm], name)
        if values:
            arm = arm_mean(found, name, values)
            yield name, Measured(value=values.get(row.seed), mean=arm.value, low=arm.low, high=arm.high, seeds=arm.n)


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
