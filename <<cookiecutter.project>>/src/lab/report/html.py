"""A report as one HTML file: its figures inside, and no other file or server needed."""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

HERE = Path(__file__).parent
STYLE, SCRIPT = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
BADGE = re.compile(r"<p><strong>([A-Z]+)( \(exploratory\))?</strong>: ")


# What a report has of HTML, all of it its own: that of others is text.
FOLD = re.compile(
    r"<p>&lt;details&gt;&lt;summary&gt;(All \d+ runs)&lt;/summary&gt;</p>\n(.*?)<p>&lt;/details&gt;</p>", re.S
)


def html(
    text: str,
    title: str,
    folder: Path | None,
    drawings: Mapping[str, str] | None = None,
    images: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The page of a report's Markdown.

    Nothing in the text is taken for HTML, and the page's policy lets a browser fetch nothing, and run our script alone.

    Args:
        text: the Markdown.
        title: of the page.
        folder: where the figures' paths start; None where they are all given.
        drawings: elements that stand in place of the pictures, by their names.
        images: sources of pictures, by their names.
        links: addresses of what stands in cells of tables, by its text.
    """
    from markdown_it import MarkdownIt

    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)  # what marks the blocks
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = FOLD.sub(r"<details><summary>\1</summary>\n\2</details>", body)
    body = BADGE.sub(r'<p class="answer"><strong class="badge \1">\1\2</strong> ', body, count=1)
    body = body.replace("<li>[x] ", '<li class="task">☑ ').replace("<li>[ ] ", '<li class="task">☐ ')
    body = re.sub(r"(<p><img [^>]*></p>\n)<p>", r'\1<p class="caption">', body)
    body = body.replace('style="text-align:right"', 'class="number"').replace(' style="text-align:left"', "")
    # The ends of an interval stay in one line.
    body = re.sub(r"(\[[^][<]*,|±) (?=[^][<]*\]?</td>)", r"\1&nbsp;", body)
    body = re.sub(
        r'<p>(<img src="([^":]+\.png)"[^>]*>)</p>',
        lambda match: shown(match, folder, drawings or {}, images or {}),
        body,
    )
    for name, address in (links or {}).items():
        cell = rf"(?<=<td>){re.escape(escaping.escape(name))}(?=</td>| \(reused\)</td>)"
        body = re.sub(cell, lambda found, to=address: f'<a href="{escaping.escape(to)}">{found[0]}</a>', body)
    return page(title, f"<main>\n{body}</main>\n")


def page(title: str, body: str, script: str = "", asks: str = "'none'") -> str:
    """A page of our own style and script around a body that holds nothing of others but texts.

    A `script` stands in for the report's; `asks` is whom it may ask for more, as a source of the policy.
    """
    script = script or SCRIPT
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f'<meta http-equiv="Content-Security-Policy" content="{policy([script], asks)}">'
    head += f"<title>{escaping.escape(title)}</title>"
    start = f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n'
    return f"{start}{body}<script>{script}</script></body></html>\n"


def shown(match: re.Match[str], folder: Path | None, drawings: Mapping[str, str], images: Mapping[str, str]) -> str:
    """A figure: as it is drawn for pages, or its picture."""
    image, address = match.groups()
    name = Path(unquote(escaping.unescape(address))).stem
    if name in drawings:
        return f'<div class="scroll">{drawings[name]}</div>'
    return f"<p>{image.replace(address, images.get(name) or inlined(folder, address), 1)}</p>"


def policy(scripts: Sequence[str] = (), asks: str = "'none'") -> str:
    """What a browser may do with the page: use our style, run these scripts, each known by its hash, and ask for data
    where it is said; no more."""
    allowed = {"default-src": ["'none'"], "img-src": ["data:"], "style-src": [hashed(STYLE)]}
    allowed |= {"script-src": [*map(hashed, scripts)] or ["'none'"], "base-uri": ["'none'"], "form-action": ["'none'"]}
    allowed |= {"connect-src": [asks]}
    return "; ".join(f"{kind} {' '.join(sources)}" for kind, sources in allowed.items())


def hashed(content: str) -> str:
    """The source that stands for an element with this content: https://www.w3.org/TR/CSP3/#grammardef-hash-source"""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def inlined(folder: Path | None, address: str) -> str:
    """A picture below `folder` as an address that holds it; of another place, or where there is none, its name."""
    name = Path(unquote(escaping.unescape(address)))
    path = (folder / name).resolve() if folder else name
    if folder is None or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return escaping.escape(name.name)
    return source(path.read_bytes())


def source(png: bytes) -> str:
    """An address that holds a picture."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
