"""Writes into the generated project's README which of its packages ask more than to be named: run by `make licences`.

What each package says of itself is read from an environment in which the project's requirements are installed; MIT,
BSD, Apache, ISC, PSF and Zope's licences are not listed, nor is one of several that a user may choose between.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "<<cookiecutter.project>>"
README = PROJECT / "README.md"
BLOCK = re.compile(r"(?<=<!-- make licences: -->\n)(.*?)(?=<!-- end -->\n)", re.DOTALL)
AFFERO = "AGPL-3.0"
KINDS = {  # the first that a licence's words fit; None asks nothing
    AFFERO: "AGPL|Affero",
    "LGPL": "LGPL|Lesser General",
    None: r"(Apache|BSD|MIT)\S* OR | OR (Apache|BSD|MIT)",
    "EPL-2.0 or GPL-2.0": "EPL-2.0|EPL2|Eclipse",
    "GPL-2.0": "GPL|General Public",
    "MPL-2.0": "MPL|Mozilla",
    "NVIDIA's own": "NVIDIA.Proprietary",
    "": "MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zope|Unlicense|CC0",
}
UNSAID = {
    "cuda-toolkit": "NVIDIA Proprietary",
    "huey": "MIT",
    "skops": "MIT",
}  # by the LICENSE files of those that say none
NOTES = {"pygit2": "with an exception for programs that link it", "grandalf": "DVC's, which draws graphs by it"}
ASK = """
import importlib.metadata, json
def words(metadata):
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    return metadata.get("License-Expression") or " ".join([*classifiers, (metadata.get("License") or "")[:100]])
print(json.dumps({d.metadata["Name"]: words(d.metadata) for d in importlib.metadata.distributions()}))
"""


def pinned() -> tuple[set[str], set[str]]:
    """The packages of every project, and those that Ultralytics brings."""
    base, *blocks = (PROJECT / "requirements.txt").read_text().split("<%- if ")
    own = "".join(block for block in blocks if block.startswith("cookiecutter.ultralytics"))
    every, ultralytics = ({canonical(name) for name in re.findall(r"(?m)^([\w.-]+)==", t)} for t in (base, own))
    return every, ultralytics


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def kind(name: str, words: str) -> str:
    """What a licence is, of KINDS; empty where it asks nothing. Fails for one that fits none."""
    for found, pattern in KINDS.items():
        if re.search(pattern, UNSAID.get(name, words)):
            return found or ""
    raise SystemExit(f"{name}: which licence is {words!r}? Add it to KINDS or UNSAID of {Path(__file__).name}")


def table(python: Path) -> str:
    """The README's rows, from the packages installed in an environment."""
    said = subprocess.run([python, "-I", "-c", ASK], check=True, stdout=subprocess.PIPE, text=True).stdout
    words = {canonical(name): text for name, text in json.loads(said).items()}
    every, ultralytics = (names & words.keys() for names in pinned())
    lines = ["| licence | packages |\n|---|---|\n"]
    for found in filter(None, KINDS):
        for names, condition in ((ultralytics, 'cookiecutter.ultralytics == "yes"'), (every, "")):
            own = sorted(name for name in names if kind(name, words[name]) == found)
            if own:
                row = f"| {found} | {', '.join(map(shown, shortened(own)))} |"
                lines.append(f"<% if {condition} -%>\n{row}\n<% endif -%>\n" if condition else f"{row}\n")
    return "".join(lines)


def shortened(names: list[str]) -> list[str]:
    """NVIDIA's many packages as one."""
    many = any(name.startswith("nvidia-") for name in names)
    return [name for name in names if not name.startswith("nvidia-")] + ["nvidia-*"] * many


def shown(name: str) -> str:
    return f"`{name}`" + (f" ({NOTES[name]})" if name in NOTES else "")


def main() -> None:
    rows = table(Path(sys.argv[1]))
    README.write_text(BLOCK.sub(lambda _: rows, README.read_text(), count=1))


if __name__ == "__main__":
    main()
