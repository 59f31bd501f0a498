"""The review branch: a design's answer as one commit on its baseline, for others to check and to merge.

exp/<design> has what the winning run left in git (params.yaml, dvc.lock, metrics, curves and tables, as its experiment
has them) and the report with its figures. It is made of git's objects: the work tree and HEAD stay as they are. Made
again, it gets a commit more where something has changed, on top of whatever others have added to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.analysis.gate import typical
from lab.errors import UserError, nearest
from lab.report import report
from lab.review import evidence

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict
    from lab.git import Change, Repository
    from lab.records.project import Project
    from lab.study import Replicate, Study

PREFIX = "exp/"
REMOTE = "origin"
DVC_CONFIG = ".dvc/config"


@dataclass(frozen=True)
class Branch:
    """A review branch. `replicate` is the run applied, None for the report alone; `changed`: it has a new commit."""

    name: str
    commit: str
    replicate: Replicate | None
    changed: bool


def chosen(study: Study, verdict: Verdict, arm: str | None = None, best: bool = False) -> Replicate | None:
    """The run to apply: of the winner, of the arm that is named, or of the best one, whatever that is worth.

    Of an arm's seeds it is the one that is nearest to their mean. None where the verdict has no winner: the baseline
    stays as it is. A design without a reference has nothing to lose against, so that its best arm is applied.

    Raises:
        UserError: no such arm, or no run of it has finished.
    """
    if arm is not None and arm not in study.arms:
        raise UserError(
            f"{study.design.name} has no arm {arm}, only {', '.join(study.arms)}.{nearest(arm, study.arms)}"
        )
    alone = study.design.hypothesis is None
    name = arm or (verdict.best if best or alone else verdict.winner)
    replicate = typical(study, name, verdict.metric)
    if replicate is None and (arm or best):
        raise UserError(f"no run of {arm or study.design.name} has finished: lab run {study.path} first")
    return replicate


def make(study: Study, verdict: Verdict, replicate: Replicate | None) -> Branch:
    """Make the branch, or bring it up to date. Raises UserError, as for a branch that is checked out."""
    git = study.project.git
    name = PREFIX + study.design.name
    tip = newest(git, name)
    changes = {**_results(study, replicate, tip), **_report(study, verdict, tip)}
    start, parents = _start(git, name, tip, study, changes)
    tree = git.with_changes(start, changes)
    if tip and parents == [tip] and git.tree(tip) == tree:
        return Branch(name, tip, replicate, False)
    commit = git.create_commit(tree, parents, message(study, verdict, replicate))
    git.run("branch", "--force", name, commit)  # git's own refuses one that is checked out
    return Branch(name, commit, replicate, True)


def message(study: Study, verdict: Verdict, replicate: Replicate | None) -> str:
    """The commit's: the question, the verdict, and what it rests on."""
    record = replicate.record if replicate else None
    applied = f"{record.name} ({record.commit})" if record else "none, the baseline stays as it is"
    trailers = {"Design": study.design.name, "Baseline": study.commit, "Experiment": applied}
    outcome = f"{verdict.outcome}{' (exploratory)' if verdict.exploratory else ''}"
    return "\n".join(
        [
            study.design.title,
            "",
            outcome,
            *verdict.reasons,
            "",
            *(f"{key}: {value}" for key, value in trailers.items()),
            "",
        ]
    )


def left(project: Project, commit: str) -> list[str]:
    """The stages whose results on a review branch are not those of its params: the applied run ended before them."""
    content = project.commit(commit)
    return [stage for stage in content.locked if stage not in content.stages]


def unmade(project: Project, commit: str) -> str:
    """What to know before `dvc pull` on a review branch: of which stages it has no outputs; empty where of none.

    Neither the applied run nor the baseline has come to those. DVC fails of each, after it has brought all the others.
    """
    content = project.commit(commit)
    made = {name.partition("@")[0] for name in content.locked}
    without = [stage for stage in content.pipeline.stages if stage not in made and content.pipeline.cached(stage)]
    if not made or not without:
        return ""
    return (
        f"Nothing has come out of {' and '.join(without)}: dvc pull --allow-missing brings what there is; without that "
        "DVC ends in Checkout failed"
    )


def commands(project: Project, branch: Branch) -> list[str]:
    """How to push the branch and ask for a review, as GitHub and GitLab want it; by the address of the remote."""
    url = project.git.remote_url(REMOTE)
    into = project.git.branch or "main"
    lines = [f"lab review {branch.name.removeprefix(PREFIX)} --push"]
    if not url:
        return [f"git remote add {REMOTE} URL", *lines]
    host = url.partition("@")[2] or url
    if "gitlab" in host:
        options = f"-o merge_request.create -o merge_request.target={into}"
        lines.append(f"git push {options} {REMOTE} {branch.name}")
    elif "github" in host:
        lines.append(f"gh pr create --base {into} --head {branch.name} --fill")
    return lines


def newest(git: Repository, name: str) -> str | None:
    """The newest commit of the branch, here or as last fetched. Raises UserError where the two have parted."""
    here, there = git.ref(f"refs/heads/{name}"), git.ref(f"refs/remotes/{REMOTE}/{name}")
    if not here or not there:
        return here or there
    if git.is_ancestor(there, here):
        return here
    if git.is_ancestor(here, there):
        return there
    raise UserError(
        f"{name} here and on {REMOTE} have parted: git branch -m {name} my-{name.removeprefix(PREFIX)} keeps yours, "
        "and after that lab review builds on theirs"
    )


def _start(git: Repository, name: str, tip: str | None, study: Study, changes: Iterable[str]) -> tuple[str, list[str]]:
    """The tree to begin with and the commits to build on: the baseline's, the branch's, or both merged.

    A branch that was merged begins anew on the baseline. Raises UserError where the two differ in more than `changes`.
    """
    baseline = study.commit
    if tip is None or git.is_ancestor(tip, baseline):
        return git.tree(baseline), [baseline]
    if git.is_ancestor(baseline, tip):
        return git.tree(tip), [tip]
    tree, conflicts = git.merged(tip, baseline, changes)
    if tree is None:
        raise UserError(
            f"{name} and {baseline[:7]}, from which the design has run since, differ in {', '.join(conflicts)}: "
            f"git switch {name}, git merge {baseline[:7]}, and then lab review {study.design.name} again"
        )
    return tree, [tip, baseline]


def _results(study: Study, replicate: Replicate | None, tip: str | None) -> dict[str, Change]:
    """What the applied run left in git, in the baseline's place; the design, and DVC's settings of now.

    Nothing stays of another run that the branch, whose newest commit is `tip`, had before.
    """
    project = study.project
    source = replicate.record.commit if replicate else study.commit
    paths = dict.fromkeys(path for rev in (study.commit, source, tip) if rev for path in _written(project, rev))
    changes: dict[str, Change] = {path: (source, path) for path in paths}
    # Where the data lies is asked of now: a remote may have been named after the runs.
    changes[DVC_CONFIG] = (str(project.head), DVC_CONFIG)
    # The design as it is judged: changed since the runs, the report says that it is exploratory, here as there.
    changes[study.path] = study.text.encode()
    return changes


def _written(project: Project, rev: str) -> list[str]:
    """The paths that a run leaves in git: its params, its lock, and the outputs that the lock names."""
    stages = project.commit(rev).locked.values()
    return ["params.yaml", "dvc.lock", *(out["path"] for stage in stages for out in stage.get("outs", []))]


def _report(study: Study, verdict: Verdict, tip: str | None) -> dict[str, Change]:
    """The report with its figures and what the verdict rests on, in place of the one that the branch has."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _former(study, tip, place)
        path = report.write(study, verdict, place / report.FOLDER)
        beside = path.with_suffix("")
        files = {file: file for file in (path, *beside.iterdir()) if file.is_file()}
        files |= {beside / evidence.FOLDER / name: file for name, file in evidence.carried(study, verdict).items()}
        changes: dict[str, Change] = {str(report.FOLDER / path.stem): None}
        for target, file in files.items():
            changes[target.relative_to(place).as_posix()] = file.read_bytes()
    return changes


def _former(study: Study, tip: str | None, place: Path) -> None:
    """Lay the report that there is below `place`, since what a person wrote into it is kept.

    It is the branch's, and that of the work tree where nobody has written anything on the branch.
    """
    project, name = study.project, report.name(study)
    path = report.FOLDER / f"{name}.md"
    mine = (project.root / path).read_text(encoding="utf-8") if (project.root / path).exists() else ""
    text = project.git.text(tip, str(path)) if tip else ""
    if tip and text:
        project.git.extract(tip, [str(report.FOLDER / name)], place)
    for label, unwritten in {"analysis": report.ANALYSIS, "next": report.NEXT}.items():
        own = report.inside(mine, label)
        if own and report.inside(text, label) == unwritten:
            text = text.replace(report.block(label, unwritten), report.block(label, own))
    (place / path).parent.mkdir(parents=True, exist_ok=True)
    (place / path).write_text(text or mine, encoding="utf-8")
