"""The mirror beside `lab run`: how it is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.tracking import background


@pytest.mark.parametrize("before", [None, "elsewhere"])
def test_it_finds_lab_in_an_environment_that_does_not_know_it(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made before lab was told to it: the project is not installed."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if before:
        monkeypatch.setenv("PYTHONPATH", before)
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(background.subprocess, "Popen", lambda command, **options: started.append(options))
    assert background.start(tmp_path).complaint() == ""
    source, *others = started[0]["env"]["PYTHONPATH"].split(os.pathsep)
    assert Path(source, "lab", "tracking", "background.py").is_file()
    assert others == ([before] if before else [])


def test_nothing_is_started_for_no_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tracking.yaml").write_text("backends: []\n")
    monkeypatch.setattr(background.subprocess, "Popen", lambda *_, **__: pytest.fail("a process"))
    assert background.start(tmp_path).complaint() == ""


def test_a_report_is_sent_where_runs_were_shown_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(background.subprocess, "Popen", lambda command, **options: started.append(command))
    assert background.send(tmp_path, ["rates"]).log is None and started == []
    (tmp_path / ".dvc" / "tmp" / "lab" / "mirror.lock").touch()
    assert background.send(tmp_path, ["rates"]).log != background.start(tmp_path).log, "lab run tells of its own alone"
    assert started[0][1:] == ["-m", "lab", "mirror", "rates"]


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel shares CPUs out by processes")
def test_it_gives_way_to_what_runs_in_other_sessions() -> None:
    """A nice value alone is one within a session, and the mirror has its own: it would take as much as a training."""
    told = "from pathlib import Path; print(os.nice(0), Path('/proc/self/autogroup').read_text())"
    script = f"import os; from lab.tracking import background; background.give_way(); {told}"
    done = subprocess.run(
        [sys.executable, "-c", script], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == done.stdout.split()[-1] == str(background.LOW)
