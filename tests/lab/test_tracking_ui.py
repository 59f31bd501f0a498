"""`lab ui`: MLflow's pages as a browser shows them, with the views that the mirror left there."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tracked
from PIL import Image
from tracked import send

from lab.tracking.conformance import one, question
from lab.tracking.mlflow import views

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.xdist_group("tracking_ui"),  # one server
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at MLflow's pages with (apt install chromium)"),
]
SERVE = """
import sys
from pathlib import Path
from lab.tracking.mlflow import ui
ui.serve(Path(sys.argv[1]), int(sys.argv[2]), lambda line: print(line, flush=True))
"""


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The link that `lab ui` prints, for a store with two designs."""
    root = tmp_path_factory.mktemp("project")
    (root / "conf").mkdir()
    (root / "conf" / "tracking.yaml").write_text("experiment: tests\n")
    store = tracked.store(root)
    figure = io.BytesIO()
    Image.new("RGB", (400, 300), (8, 48, 107)).save(figure, format="png")
    grid = question("grid", 4, 3)
    tags = grid.members[0].made.tags | {"machine.host": "here"}
    design = one(grid, artifacts={"plots/confusion.png": figure.getvalue()}, tags=tags)
    send(store, design, question("other", 1, 1), artifacts=root / "mlartifacts")
    port = tracked.free_port()
    process = tracked.script(SERVE, str(root), str(port), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http://127.0.0.1:"):
            break
    else:
        raise AssertionError("lab ui printed no link")
    yield line.strip()
    process.terminate()
    assert process.wait(60) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "the server has ended with it"


def browse(link: str, folder: Path, what: str) -> str:
    """Open a page and wait for its scripts; what Chromium prints."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    command += ["--window-size=1800,1000", "--virtual-time-budget=60000", what, link]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def page(link: str, folder: Path) -> str:
    """The text of a page."""
    content = browse(link, folder, "--dump-dom")
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", content, flags=re.DOTALL).split())


def screenshot(link: str, folder: Path) -> Image.Image:
    """What a person sees of a page."""
    browse(link, folder, f"--screenshot={folder / 'page.png'}")
    with Image.open(folder / "page.png") as image:
        return image.convert("RGB")


def view(link: str, name: str) -> str:
    """The link of another view."""
    return link.replace(views.key("designs"), views.key(name))


def test_designs_are_rows_with_their_runs_below_them(link: str, tmp_path: Path) -> None:
    text = page(link, tmp_path)
    assert "Model training" in text
    assert "7 matching runs" in text
    assert re.search(r"\bgrid\b.*\bother\b|\bother\b.*\bgrid\b", text)
    assert "grid-0" not in text, "children are folded under their design"
    assert "best.arm" in text


@pytest.mark.nightly
def test_a_designs_runs_with_the_best_first(link: str, tmp_path: Path) -> None:
    text = page(view(link, "grid.runs"), tmp_path)
    assert "4 matching runs" in text
    assert re.search("grid-3.*grid-2.*grid-1.*grid-0", text)
    assert "val/m0" in text


def test_means_over_the_seeds(link: str, tmp_path: Path) -> None:
    """In a table, the best first, and as bars and curves."""
    text = page(view(link, "grid.means") + "&compareRunsMode=CHART", tmp_path)
    assert re.search(r"Group: arm-1.*Group: arm-0", text), "m0 is i for run i"
    assert re.search(r"Decides\W.*\bval\W", text), "what decides comes before the curves"


def test_a_designs_page_leads_to_all_of_them(link: str, tmp_path: Path) -> None:
    client = tracked.sink(link.partition("/#/")[0]).client
    (run,) = client.search_runs(["1"], "tags.`design.id` = 'grid'")
    content = browse(link.replace("/runs?", f"/runs/{run.info.run_id}?"), tmp_path, "--dump-dom")
    for shown in ("grid.means", "grid.runs"):
        assert f"viewStateShareKey={views.key(shown)}" in content
    assert "Best: it" in content and "mirror." not in content, "what is for programs alone is not shown"


def test_an_experiments_page_with_its_figure(link: str, tmp_path: Path) -> None:
    client = tracked.sink(link.partition("/#/")[0]).client
    (run,) = client.search_runs(["1"], "tags.`dvc.exp.name` = 'grid-0'")
    place = link.replace("/runs?", f"/runs/{run.info.run_id}{{}}?")
    text = page(place.format(""), tmp_path)
    assert re.search(r"Parent run\W+grid\b", text)
    assert "arm-0" in text and "machine.host" not in text
    assert "val/m0" in text
    shown = screenshot(place.format("/artifacts/plots/confusion.png"), tmp_path)
    red, green, blue = np.moveaxis(np.asarray(shown), -1, 0)
    dark = (red < 20) & (green > 40) & (green < 60) & (blue > 90) & (blue < 120)
    assert dark.sum() > 20_000, "the figure"
