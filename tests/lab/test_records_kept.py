"""What is kept on disk gives the answers that git gives, whatever happens to refs, designs, lab.yaml or the file."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pygit2
import pytest
import trivial
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from trivial import Trivial

from lab.cli import view
from lab.design import search
from lab.design.plan import run_key
from lab.git import Repository, experiment_ref
from lab.records import kept, studies
from lab.records import planned as records_planned
from lab.records.kept import Kept
from lab.records.project import Project
from lab.report import pages
from lab.review.push import pushed_together
from lab.tracking import mirror as mirrors
from lab.tracking.mirror import Mirror
from lab.tracking.sink import Report

DESIGN = {"kind": "sweep", "type": "train", "title": "Which rate?", "seeds": [0, 1]}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """A project with a design, two of whose runs have finished, and another design that nobody has run."""
    project = trivial.make(tmp_path_factory.mktemp("ran") / "project")
    write(project, "rates", [0.1, 0.5])
    write(project, "more", [0.1, 0.5])
    project.commit("designs")
    for seed in (0, 1):
        finish(project, "rates", 0.1, seed)
    return project


def write(project: Trivial, name: str, rates: list[float]) -> None:
    """A design of these learning rates."""
    content = DESIGN | {"sweep": {"strategy": "grid", "parameters": {"lr": rates}}}
    (project.root / "designs").mkdir(exist_ok=True)
    (project.root / "designs" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def finish(project: Trivial, design: str, lr: float, seed: int) -> str:
    """An experiment of a design's run, on HEAD. Returns its ref."""
    known = project.project()
    runs = studies.planner(known, project.root / "designs" / f"{design}.yaml").plan().runs
    run = next(run for run in runs if run.levels == {"lr": lr} and run.seed == seed)
    trivial.experiment(project, run)
    return f"refs/exps/{known.head[:2]}/{known.head[2:]}/{run.name}"


def answers(project: Project) -> Any:
    """All that is said of the records and of the designs."""
    records = [
        (each.name, each.commit, each.baseline, each.status, each.key, each.experiment, each.code, each.data)
        + (each.params, each.metrics, each.seconds, each.content.brief, each.content.measured)
        for each in project.records()
    ]
    rows = [
        (study.design.name, study.commit, study.digest)
        + tuple((each.arm, each.seed, each.status, each.name, each.reused, each.stated) for each in study.replicates)
        for study in (*studies.read_all(project), *studies.answered(project))
    ]
    overview = view.overview(project, view.statuses(project))
    return records, rows, [column._cells for column in getattr(overview, "columns", [])]


def uncached(project: Trivial) -> Any:
    """The same by a project that finds nothing kept and keeps nothing."""
    known = project.project()
    known.kept = Kept(project.root / "nowhere" / "at" / "all" / "here")  # type: ignore[misc]
    return answers(known)


def again(project: Trivial) -> Any:
    """The same by one that has what another process has left."""
    known = project.project()
    said = answers(known)
    known.save()
    return said


def files(project: Trivial) -> Iterator[Path]:
    """What is kept."""
    return (project.root / ".dvc" / "tmp" / "lab" / "kept").glob("*.sqlite")


# What happens to a project


def more(project: Trivial) -> None:
    finish(project, "rates", 0.5, 0)


def same_name_elsewhere(project: Trivial) -> None:
    """The names of finished runs are taken anew, on another baseline."""
    with (project.root / "note.txt").open("a") as note:
        note.write("new\n")
    project.commit("a change that no stage reads")
    finish(project, "rates", 0.1, 0)


def moved(project: Trivial) -> None:
    """The ref of one run names the commit of another."""
    git = pygit2.Repository(str(project.root))
    refs = [ref for ref in git.listall_references() if ref.startswith("refs/exps") and "celery" not in ref]
    if len(refs) > 1:
        git.references[refs[0]].set_target(git.references[refs[-1]].target)


def deleted(project: Trivial) -> None:
    git = pygit2.Repository(str(project.root))
    refs = [ref for ref in git.listall_references() if ref.startswith("refs/exps") and "celery" not in ref]
    for ref in refs[:1]:
        git.references.delete(ref)


def packed(project: Trivial) -> None:
    project.call("git", "pack-refs", "--all")


def edited(project: Trivial) -> None:
    write(project, "more", [0.1] if "0.5" in (project.root / "designs" / "more.yaml").read_text() else [0.1, 0.5])
    project.commit("a design with other rates")


def code_changed(project: Trivial) -> None:
    with (project.root / "src" / "stand_in.py").open("a") as script:
        script.write("# more\n")
    project.commit("other code")


def contract_changed(project: Trivial) -> None:
    """The seed is called otherwise: other runs are alike."""
    path = project.root / "lab.yaml"
    text = path.read_text()
    path.write_text(text.replace("seeds: [seed]", "seeds: [lr]") if "seeds: [seed]" in text else text + "# more\n")
    project.commit("another contract")


def damaged(project: Trivial) -> None:
    for path in files(project):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :: 97] = b"\0" * len(content[len(content) // 2 :: 97])
        path.write_bytes(content)


def cut_off(project: Trivial) -> None:
    for path in files(project):
        path.write_bytes(path.read_bytes()[:5000])


def foreign(project: Trivial) -> None:
    """Somebody else's database in its place."""
    for path in list(files(project)):
        path.unlink()
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE kept (something TEXT)")


def wrong_rows(project: Trivial) -> None:
    """Values are changed by a fault that SQLite does not see."""
    for path in files(project):
        with suppressed(), sqlite3.connect(path) as file:
            file.execute("UPDATE kept SET value = replace(value, '0', '1')")


class suppressed:
    """A damaged file can't be written to."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, sqlite3.Error)


CHANGES = [more, same_name_elsewhere, moved, deleted, packed, edited, code_changed, contract_changed]
FAULTS = [damaged, cut_off, foreign, wrong_rows]


SEQUENCES = st.lists(st.sampled_from(CHANGES + FAULTS), min_size=2, max_size=4)
GENERATED: dict[str, Any] = {"suppress_health_check": list(HealthCheck)}


@settings(phases=[Phase.explicit], **GENERATED)
@example(changes=[more, damaged, same_name_elsewhere, edited, foreign])
@example(changes=[contract_changed, moved, cut_off, packed, deleted, code_changed, wrong_rows])
@given(changes=SEQUENCES)
def test_answers_are_those_of_git(ran: Trivial, tmp_path: Path, changes: list[Any]) -> None:
    compare(ran, tmp_path, changes)


@pytest.mark.nightly
@settings(max_examples=60, phases=[Phase.explicit, Phase.generate], **GENERATED)
@given(changes=SEQUENCES)
def test_answers_are_those_of_git_whatever_comes(ran: Trivial, tmp_path: Path, changes: list[Any]) -> None:
    compare(ran, tmp_path, changes)


def compare(ran: Trivial, tmp_path: Path, changes: list[Any]) -> None:
    """After each change the answers with what is kept, of a new process and of one that goes on, are those without."""
    shutil.rmtree(tmp_path / "project", ignore_errors=True)
    project = trivial.copied(ran, tmp_path / "project")
    watching = project.project()
    assert again(project) == uncached(project)
    for change in changes:
        change(project)
        expected = uncached(project)
        assert again(project) == expected
        assert again(project) == expected  # the file is whole again
        watching.look()
        if change is not contract_changed:  # a process keeps the contract that it began with
            assert answers(watching) == expected
        else:
            watching = project.project()


def test_a_commit_that_comes_later_is_read_then(ran: Trivial, tmp_path: Path) -> None:
    ran.call("git", "clone", "-q", "--no-local", str(ran.root), str(tmp_path / "clone"))
    clone = Trivial(tmp_path / "clone")
    commit = ran.project().records()[0].commit
    known = clone.project()
    assert known.commit(commit).params == {}
    assert known.commit(commit).brief.experiment == {}
    known.save()
    clone.call("git", "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    assert clone.project().commit(commit).brief == ran.project().commit(commit).brief
    assert clone.project().commit(commit).params["lr"] == 0.1


# How much is read


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls by which objects of git are read, from now on."""
    calls: list[str] = []
    for name in ("read", "_listing_of", "experiments"):
        whole = getattr(Repository, name)

        def noted(self: Repository, *arguments: Any, whole: Any = whole, name: str = name) -> Any:
            calls.append(name)
            return whole(self, *arguments)

        monkeypatch.setattr(Repository, name, noted)
    return calls


def test_a_second_reading_parses_no_record(ran: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    calls = counted(monkeypatch)
    again(project)
    assert calls.count("read") > 4
    known = project.project()
    calls.clear()
    said = [(record.key, record.experiment, record.data, record.content.measured) for record in known.records()]
    assert len(said) == 2
    assert set(calls) == {"experiments"}
    one, other = (record.content.brief for record in known.records())
    assert one.code is other.code and one.settings is other.settings  # of thousands they are held once
    known.save()


def test_the_params_of_a_plan_are_read_one_by_one(
    ran: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they are asked for; what is lost of them is planned anew, once for all."""
    project = trivial.copied(ran, tmp_path / "project")
    whole = {key: run.params for key, run in planned(project.project()).items()}
    again = planned(project.project())
    assert {key: run.params for key, run in again.items()} == whole and len(whole) == 4
    assert all(run.key == run_key(whole[key]) for key, run in again.items())
    [file] = (project.root / ".dvc" / "tmp" / "lab" / "kept").glob("*.sqlite")
    with sqlite3.connect(file) as opened:
        opened.execute("DELETE FROM kept WHERE part = 'planned params' AND key LIKE '%0'")
    calls, plan = list[int](), records_planned._plan
    monkeypatch.setattr(records_planned, "_plan", lambda *given: calls.append(1) or plan(*given))
    lossy = planned(project.project())
    assert calls == [] and {key: run.params for key, run in lossy.items()} == whole and len(calls) == 1


def planned(project: Project) -> dict[tuple[str, int], records_planned.Planned]:
    """The runs of the design `rates`, planned on HEAD."""
    text = (project.root / "designs" / "rates.yaml").read_text()
    place = (project, str(project.head), "rates", text, "designs/rates.yaml")
    found = records_planned.planned_at(*place, lambda name, seed: "", search.Choices())
    project.kept.save()
    return found


def test_a_look_with_nothing_new_reads_nothing(ran: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    monkeypatch.setattr("lab.records.looks.SETTLED", -1e9)  # all times are old enough to be told apart
    known = project.project()
    assert known.look()
    answers(known)
    calls = counted(monkeypatch)
    assert not known.look()
    assert not known.look()
    assert calls == []
    finish(project, "rates", 0.5, 0)
    calls.clear()
    assert known.look()
    assert len(known.records()) == 3


def test_a_change_within_the_clocks_tick_is_seen(ran: Trivial, tmp_path: Path) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    known = project.project()
    for rate, seed in ((0.5, 0), (0.5, 1)):
        before = len(known.records())
        finish(project, "rates", rate, seed)  # at once after it was looked at
        assert known.look()
        assert len(known.records()) == before + 1


def test_a_mirror_has_news_where_something_has_changed(
    ran: Trivial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trivial.copied(ran, tmp_path / "project")
    monkeypatch.setattr("lab.records.looks.SETTLED", -1e9)
    mirror = Mirror(project.project(), pages)
    assert mirror.has_news()
    mirror.once()
    assert not mirror.has_news()
    calls = counted(monkeypatch)
    assert not mirror.has_news()
    assert calls == []
    finish(project, "rates", 0.5, 0)
    assert mirror.has_news()
    assert not mirror.has_news()
    project.enqueue(project.run("queued", 0.7))
    assert mirror.has_news()
    (project.root / "new.txt").write_text("new")
    project.commit("another HEAD")
    assert mirror.has_news()


def test_a_watch_passes_where_there_are_news_and_once_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "POLL", 0.0)
    news = [True, False, True, False, False]
    done: list[int] = []

    class Watched:
        places = "nowhere"
        looked = -1

        def has_news(self) -> bool:
            self.looked += 1
            return news[self.looked]

        def once(self, names: Any) -> Report:
            done.append(self.looked)
            return Report()

    watched: Any = Watched()
    mirrors.watch(watched, (), print, lambda: watched.looked < len(news) - 2)
    assert done == [0, 2, 4]


# What is pushed


def pushed(root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> int:
    """So many refs pushed to another repository, and seen there. Returns the bytes of the longest command line."""
    root.mkdir()
    git = Repository.create(root)
    (root / "file").write_text("text")
    git.run("add", "-A")
    git.run("-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "start")
    commit = str(git.head)
    git.run("init", "-q", "--bare", str(root / "other"))
    git.run("remote", "add", "origin", str(root / "other"))
    longest = 0
    run = subprocess.run

    def noted(arguments: list[str], **more: Any) -> Any:
        nonlocal longest
        longest = max(longest, len(" ".join(arguments)))
        return run(arguments, **more)

    monkeypatch.setattr("lab.git.subprocess.run", noted)
    wanted = {experiment_ref(commit, f"{'a_long_name_' * 8}{i}"): commit for i in range(number)}
    assert pushed_together(git, wanted).returncode == 0
    there = git.run("ls-remote", "origin", "refs/exps/*").splitlines()
    assert dict(reversed(line.split("\t")) for line in there) == wanted
    assert git.run("for-each-ref", "refs/lab") == ""
    return longest


def test_the_refs_of_a_push_are_not_on_its_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pushed(tmp_path / "few", monkeypatch, 1) == pushed(tmp_path / "all", monkeypatch, 50) < 500


@pytest.mark.nightly
def test_more_refs_are_pushed_than_a_command_line_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed(tmp_path / "project", monkeypatch, 14_000)


# The file


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / ".dvc" / "tmp" / "lab" / "kept"
    one, other = Kept(folder, "contract"), Kept(folder, "contract")
    one.put("brief", "a", {"x": [1, None, "é"]})
    other.put("brief", "b", [0.1])
    one.save()
    other.save()
    third = Kept(folder, "contract")
    assert (third.get("brief", "a"), third.get("brief", "b")) == ({"x": [1, None, "é"]}, [0.1])
    assert Kept(folder, "another").get("brief", "a") is None


def test_a_locked_file_is_done_without_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PATIENCE", 0.05)
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / ".dvc" / "tmp" / "lab" / "kept"
    one = Kept(folder)
    one.put("brief", "a", 1)
    one.save()
    writer = sqlite3.connect(one.path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    other = Kept(folder)
    other.put("brief", "b", 2)
    other.save()
    writer.execute("COMMIT")
    assert Kept(folder).get("brief", "a") == 1


@given(
    there=st.sets(st.integers(0, 9)),
    expected=st.lists(st.integers(0, 9), unique=True),
    asked=st.lists(st.tuples(st.sampled_from(("one", "other")), st.integers(0, 9))),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_expected_is_what_is_there(
    there: set[int], expected: list[int], asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever keys are read together, asked for again or not at all, and whatever another process adds meanwhile."""
    monkeypatch.setattr(kept, "AT_ONCE", 3)
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / ".dvc").mkdir()
        folder = Path(root) / ".dvc" / "tmp" / "lab" / "kept"
        writing = Kept(folder)
        writing.put("one", "first", True)
        for key in there:
            writing.put("one", str(key), {"key": key})
        writing.save()
        reading = Kept(folder)
        reading.expect([str(key) for key in expected])
        for part, key in asked:
            assert reading.get(part, str(key)) == ({"key": key} if part == "one" and key in there else None)
        for key in range(10):
            writing.put("other", str(key), key)
        writing.save()
        assert [reading.get("other", str(key)) for key in range(10)] == [*range(10)]


def test_values_that_json_would_change_are_not_kept(tmp_path: Path) -> None:
    known = Kept(tmp_path / ".dvc" / "tmp" / "lab" / "kept")
    for value in ({1: "a"}, float("nan"), (1, 2), {"path": Path("a")}):
        known.put("part", "key", value)
        assert known.get("part", "key") is None


def test_its_size_and_its_versions_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LARGEST", 100_000)
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / ".dvc" / "tmp" / "lab" / "kept"
    for contract in map(str, range(6)):
        known = Kept(folder, contract)
        for i in range(30):
            known.put("part", f"{i}", "x" * 10_000)
            known.save()
        assert known.get("part", "29") == "x" * 10_000
        assert known.path.stat().st_size < 250_000
    assert len(list(folder.glob("*.sqlite"))) == kept.VERSIONS


def test_another_version_of_the_code_reads_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / ".dvc" / "tmp" / "lab" / "kept"
    one = Kept(folder)
    one.put("part", "key", 1)
    one.save()
    monkeypatch.setattr(kept, "version_of_code", lambda: "newer")
    assert Kept(folder).get("part", "key") is None


def test_refs_below_a_folder_are_found_loose_and_packed(tmp_path: Path) -> None:
    git = pygit2.init_repository(tmp_path)
    who = pygit2.Signature("a", "a@localhost")
    commit = git.create_commit("refs/heads/main", who, who, "", git.TreeBuilder().write(), [])
    for name in ("refs/lab/queue/a/1", "refs/lab/queued", "refs/exps/ab/1"):
        git.references.create(name, commit)
    subprocess.run(["git", "pack-refs", "--all"], cwd=tmp_path, check=True)
    git.references.create("refs/lab/queue/b/2", commit)
    (tmp_path / ".git" / "refs" / "lab" / "queue" / "b" / "3.lock").touch()
    (tmp_path / ".git" / "refs" / "lab" / "queue" / "b" / "half").write_text("12")
    found = Repository(tmp_path).refs("refs/lab/queue/")
    assert found == dict.fromkeys(["refs/lab/queue/a/1", "refs/lab/queue/b/2"], str(commit))
    assert Repository(tmp_path).refs("refs/other/") == {}
