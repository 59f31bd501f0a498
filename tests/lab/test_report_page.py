"""A report's page in a real browser: it answers the pointer, sorts and filters, and can be read by everyone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
import studies

from lab.analysis.verdict import judge
from lab.report import figures, html, report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at a page with (apt install chromium)"),
]
# What a person does, and what there is to be seen then; the page's policy knows it by its hash, as our own script.
DRIVER = """
const seen = { refused: [], told: "", sorted: [], filtered: 0, faint: [], wide: 0, tip: "" };
document.addEventListener("securitypolicyviolation", (event) => seen.refused.push(event.blockedURI));
const light = (rgb) => {
  const [r, g, b] = rgb.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const colour = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const value = colour(getComputedStyle(element).backgroundColor);
    if (value.length === 3 || value[3] > 0) return value.slice(0, 3);
  }
  return [255, 255, 255];
};
const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
const drag = (scale, from, to) => {
  const { left, width, top, height } = scale.getBoundingClientRect();
  scale.setPointerCapture = () => {};
  const at = (share) => ({ bubbles: true, clientX: left + width / 2, clientY: top + share * height });
  for (const [kind, share] of [["pointerdown", from], ["pointermove", to], ["pointerup", to]])
    scale.dispatchEvent(new PointerEvent(kind, at(share)));
};
const brush = () => {
  const scales = [...document.querySelectorAll(".scale")];
  const passing = () => document.querySelector(".passing").textContent;
  const gone = () => document.querySelectorAll("[data-thread].out").length;
  seen.scales = scales.length;
  seen.brushed = [[passing(), gone()]];
  for (const [from, to] of [[0, 0.35], [0.5, 0.5]]) {
    drag(scales[scales.length - 1], from, to);
    seen.brushed.push([passing(), gone()]);
  }
};
setTimeout(() => {
  if (document.querySelector(".scale")) brush();
  const mark = document.querySelector("[data-tells]");
  mark.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 50, clientY: 50 }));
  seen.told = mark.dataset.tells;
  const tip = document.getElementById("tells");
  seen.tip = tip.hidden ? "" : tip.textContent;
  const table = document.querySelector("table");
  if (!document.querySelector("input.filter")) {
    document.body.dataset.seen = JSON.stringify(seen);
    return;
  }
  const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[2].textContent);
  for (const times of [1, 2]) {
    table.querySelectorAll("th button")[2].click();
    seen.sorted.push(cells());
  }
  const filter = document.querySelector("input.filter");
  filter.value = "cutout";
  filter.dispatchEvent(new Event("input"));
  seen.filtered = [...filter.nextElementSibling.tBodies[0].rows].filter((row) => !row.hidden).length;
  for (const element of document.querySelectorAll("body *")) {
    const isDrawn = element.namespaceURI.endsWith("svg");
    if (!own(element) || element.closest("script, details:not([open]) > :not(summary)")) continue;
    const style = getComputedStyle(element);
    const ink = colour(isDrawn ? style.fill : style.color).slice(0, 3);
    if (isDrawn && ["0,0,0", "253,253,253"].includes(ink.join())) continue;
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) seen.faint.push(element.tagName + " " + element.textContent.slice(0, 30));
  }
  seen.wide = document.documentElement.scrollWidth - innerWidth;
  seen.paper = getComputedStyle(document.body).backgroundColor;
  seen.texts = [...document.querySelectorAll("svg text")].map((text) => text.textContent).join("|");
  const sheet = [...document.styleSheets].flatMap((each) => [...each.cssRules]);
  for (const rule of sheet) if (rule.conditionText === "print") rule.media.mediaText = "all"; // as on paper
  const shown = (element) => element.checkVisibility({ contentVisibilityAuto: true });
  const rows = [...document.querySelectorAll("tbody tr")];
  seen.unseen = rows.filter((row) => !shown(row)).length;
  const count = (which, what) => [...document.querySelectorAll(which)].filter(what).length;
  seen.cut = count("table, .scroll, pre", (each) => each.scrollWidth > each.clientWidth + 1);
  seen.split = count(".scroll, tr", (each) => getComputedStyle(each).breakInside !== "avoid");
  document.body.dataset.seen = JSON.stringify(seen);
}, 100);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with the driver in it."""
    return written(tmp_path_factory.mktemp("page"), "augmentation")


def written(folder: Path, design: str) -> Path:
    study = studies.made(design)
    found = judge(study)
    drawn = figures.pictures(study, found)
    path = folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html, "SCRIPT", html.SCRIPT + DRIVER)
        path.write_text(report.page(study, report.markdown(study, found, drawn), drawn))
    assert len(path.read_bytes()) < 3_000_000
    return path


def asked(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What Chromium says to a page, with a profile in `folder`."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    return subprocess.run([*command, *options, page.as_uri()], capture_output=True, text=True, timeout=200)


def looked_at(page: Path, folder: Path, size: str, *options: str) -> dict[str, Any]:
    done = asked(page, folder, f"--window-size={size}", "--virtual-time-budget=5000", *options, "--dump-dom")
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&amp;", "&"))


def test_the_page_answers_the_pointer_sorts_and_filters(page: Path, tmp_path: Path) -> None:
    seen = looked_at(page, tmp_path, "1000,900")
    assert seen["refused"] == [] and seen["faint"] == [] and seen["wide"] <= 0
    assert seen["tip"] == seen["told"] and "seed 0: 0." in seen["told"]
    up, down = seen["sorted"]
    assert up == sorted(up) and down == up[::-1] and len(set(up)) == 4
    assert seen["filtered"] == 3, "the runs of one arm, of twelve"
    assert [seen[what] for what in ("unseen", "cut", "split")] == [0, 0, 0], "on paper: folded or filtered, scrolled"
    assert "cutout ★" in seen["texts"], "texts of a figure are texts"


def test_the_page_can_be_read_on_a_dark_phone(page: Path, tmp_path: Path) -> None:
    seen = looked_at(page, tmp_path, "500,900", "--blink-settings=preferredColorScheme=0")
    assert seen["paper"] == "rgb(21, 24, 28)", "it is dark"
    assert seen["faint"] == [] and seen["wide"] <= 0, "what is wide scrolls in its own place"


def test_the_page_is_printed_whole_and_light_from_a_dark_screen(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "report.pdf"
    options = ["--blink-settings=preferredColorScheme=0", "--no-pdf-header-footer", f"--print-to-pdf={printed}"]
    asked(page, tmp_path / "profile", *options)
    content = printed.read_bytes()
    drawn = [zlib.decompress(part) for part in re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)endstream", content, re.S)]
    pages = [part for part in drawn if b" Tf" in part and b" rg" in part]
    assert len(pages) == len(re.findall(rb"/Type\s*/Page\b", content)) > 2, "none is empty"
    inks = {tuple(map(float, ink.split()[:3])) for ink in re.findall(rb"[\d. ]+ rg", b"".join(pages))}
    assert (0.1333, 0.1333, 0.1333) in inks, "the ink of light pages"
    assert not inks & {(0.0824, 0.0941, 0.1098), (0.8902, 0.898, 0.9098)}, "neither the dark paper nor its ink"


def test_settings_are_picked_out_along_a_scale(tmp_path: Path) -> None:
    seen = looked_at(written(tmp_path, "random"), tmp_path, "1000,900")
    assert seen["refused"] == []
    assert seen["scales"] == 4, "three parameters, and what came out"
    whole, best, lifted = seen["brushed"]
    assert whole == lifted == ["Drag along a scale to keep the lines that pass there.", 0]
    told, gone = best
    assert 0 < gone < 8 and told.startswith(f"{8 - gone} of 8 pass there")


def test_what_is_written_on_a_colour_can_be_read() -> None:
    import matplotlib

    from lab.report.figures.drawing import on, relative_luminance

    for name in ("cividis", "Blues", "Oranges"):
        for share in range(101):
            colour = matplotlib.colormaps[name](share / 100)
            ink = relative_luminance(matplotlib.colors.to_rgb(on(matplotlib.colormaps[name], share / 100)))
            bright, dark = sorted((relative_luminance(colour[:3]), ink), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (name, share)
