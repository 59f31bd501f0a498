"""Makes the pictures of both READMEs and the sample report of docs/: the tutorial's commands, run for real.

Run by `make pictures`, with an environment of a project; needs uv and chromium. It takes some minutes.
"""

import html
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pyte
from PIL import Image

TEMPLATE = Path(__file__).parents[1]
PICTURES = TEMPLATE / "<<cookiecutter.project>>" / "docs" / "pictures"
SAMPLE = TEMPLATE / "docs"
COLUMNS, ROWS = 100, 24
WAIT, LAST = 1.2, 6.0  # seconds that a frame of the recording is shown, and its last one
MOST = 14  # frames
COLOURS = {"green": "#7ec699", "red": "#f08d8d", "cyan": "#7fd1d8", "blue": "#8ab4f8", "brown": "#e6c07b"}
COLOURS |= {"magenta": "#d7a6e8", "brightblack": "#8b949e", "default": "#e6edf3"}
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
WIDE, HIGH = 8.4, 19  # of a character, in pixels

Screen = tuple[tuple[tuple[str, str, bool], ...], ...]  # rows of (text, colour, bold)


def main() -> None:
    environment = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        project = bake(Path(name), environment)
        tutorial = (project / "docs" / "tutorial.md").read_text(encoding="utf-8")
        design = re.search(r"`(designs/\w+\.yaml)`\n```yaml\n(.*?)```", tutorial, re.DOTALL)
        assert design
        (project / design[1]).write_text(design[2], encoding="utf-8")
        question = Path(design[1]).stem
        shell(project, "git add --all && git commit --quiet --message question")
        frames = [*typed(project, f"lab check {question}"), *typed(project, f"lab run {question} -j 2")]
        PICTURES.mkdir(exist_ok=True)
        (PICTURES / "terminal.svg").write_text(cast(thinned(frames)), encoding="utf-8")
        shell(project, f"lab report {question}")
        (page,) = (project / "docs" / "04-report").glob("*.html")
        screenshot(page, PICTURES / "report.png")
        keep(page)


def bake(folder: Path, environment: Path) -> Path:
    answers = ("project=vision-lab", "task=classification", "author=Example")
    command = ("cookiecutter", "--no-input", "-o", folder, TEMPLATE, *answers)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "vision-lab" / ".venv").symlink_to(environment)
    return folder / "vision-lab"


def variables(project: Path) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
    path = f"{project / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | who | {"PATH": path, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}


IDENTITY = {"NAME": "You", "EMAIL": "you@example.org"}


def shell(project: Path, command: str) -> None:
    subprocess.run(command, shell=True, cwd=project, env=variables(project), check=True)


# The recording


def typed(project: Path, command: str) -> Iterator[Screen]:
    """The screens that a person sees who types the command, about two a second; the last is the finished one."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {command}\r\n".encode())
    yield shown(screen)
    parent, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, shell=True, cwd=project, env=variables(project), stdin=child, stdout=child, stderr=child
    )
    os.close(child)
    last = time.monotonic()
    while True:
        readable = select.select([parent], [], [], 0.2)[0]
        try:
            content = os.read(parent, 65536) if readable else b""
        except OSError:  # the other end is closed
            break
        stream.feed(content)
        if time.monotonic() - last > 0.5:
            last = time.monotonic()
            yield shown(screen)
    if process.wait():
        raise SystemExit(f"{command} ended with exit code {process.returncode}")
    yield shown(screen)


def shown(screen: pyte.Screen) -> Screen:
    rows = []
    for y in range(ROWS):
        cells = [screen.buffer[y][x] for x in range(COLUMNS)]
        runs: list[tuple[str, str, bool]] = []
        for cell in cells:
            style = (cell.fg if cell.fg in COLOURS else "default", cell.bold)
            if runs and runs[-1][1:] == style:
                runs[-1] = (runs[-1][0] + cell.data, *style)
            else:
                runs.append((cell.data, *style))
        rows.append(tuple(runs))
    return tuple(rows)


def thinned(frames: list[Screen]) -> list[Screen]:
    """At most MOST different screens, evenly drawn; the last of each command is among them."""
    different = [frame for before, frame in zip([None, *frames], frames, strict=False) if frame != before]
    first = different[0][0]
    ends = [n - 1 for n, frame in enumerate(different) if n and frame[0] != first and frame[0][0][0].startswith("$")]
    wanted = {0, *ends[:1], len(different) - 1}
    wanted |= {round(n * (len(different) - 1) / (MOST - 1)) for n in range(MOST)}
    return [different[n] for n in sorted(wanted)]


def cast(frames: list[Screen]) -> str:
    """The screens one after the other, in an SVG that moves without a script, or rests where no motion is wanted."""
    width, height = COLUMNS * WIDE + 24, ROWS * HIGH + 44
    whole = WAIT * (len(frames) - 1) + LAST
    style = [f"text {{ font: 14px {FONTS}; fill: {COLOURS['default']}; }}", ".b { font-weight: bold; }"]
    style += [f".{name} {{ fill: {colour}; }}" for name, colour in COLOURS.items()]
    style += ["g { visibility: hidden; }", f"#f{len(frames) - 1} {{ visibility: visible; }}"]
    groups, moving = [], []
    for number, frame in enumerate(frames):
        begin, end = 100 * WAIT * number / whole, 100 * WAIT * (number + 1) / whole
        if number == len(frames) - 1:
            end = 100
        moving.append(f"#f{number} {{ animation: f{number} {whole:.1f}s step-end infinite; }}")
        before = "0% { visibility: hidden; } " if number else ""
        after = f" {end:.2f}% {{ visibility: hidden; }}" if end < 100 else ""
        moving.append(f"@keyframes f{number} {{ {before}{begin:.2f}% {{ visibility: visible; }}{after} }}")
        groups.append(f'<g id="f{number}">{"".join(lines(frame))}</g>')
    style += ["@media (prefers-reduced-motion: no-preference) {", *moving, "}"]
    dots = "".join(f'<circle cx="{18 + 16 * n}" cy="15" r="5" fill="#484f58"/>' for n in range(3))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="lab checks a question, runs it, and answers">\n<style>{chr(10).join(style)}</style>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#161b22"/>{dots}\n{chr(10).join(groups)}\n</svg>\n'
    )


def lines(frame: Screen) -> Iterator[str]:
    for number, row in enumerate(frame):
        x = 0
        for text, colour, bold in row:
            if text.strip():
                start = x + len(text) - len(text.lstrip())
                said = text.strip()
                classes = " ".join(filter(None, ["" if colour == "default" else colour, "b" if bold else ""]))
                named = f' class="{classes}"' if classes else ""
                place = f'x="{12 + start * WIDE:.1f}" y="{48 + number * HIGH}" textLength="{len(said) * WIDE:.1f}"'
                yield f'<text xml:space="preserve" {place}{named}>{html.escape(said)}</text>'
            x += len(text)


# The report


def screenshot(page: Path, picture: Path) -> None:
    """The page down to its first figures, in two columns."""
    wide, high, gap = 900, 2500, 24
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=4000")
    command = ("chromium", *options, f"--window-size={wide},{high}", f"--screenshot={picture}", page.as_uri())
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(picture) as image:
        columns = [image.convert("RGB").crop((0, top, wide, top + high // 2)) for top in (0, high // 2)]
    both = Image.new("RGB", (2 * wide + gap, high // 2), "#d0d7de")
    for number, column in enumerate(columns):
        both.paste(column, (number * (wide + gap), 0))
    both.quantize(64).save(picture, optimize=True)


def keep(page: Path) -> None:
    """The report as a sample: its Markdown with figures, and its page."""
    SAMPLE.mkdir(exist_ok=True)
    shutil.rmtree(SAMPLE / "sample-report", ignore_errors=True)
    shutil.copytree(page.with_suffix(""), SAMPLE / "sample-report")
    text = page.with_suffix(".md").read_text(encoding="utf-8")
    (SAMPLE / "sample-report.md").write_text(text.replace(f"{page.stem}/", "sample-report/"), encoding="utf-8")
    shutil.copy(page, SAMPLE / "sample-report" / "report.html")


if __name__ == "__main__":
    main()
