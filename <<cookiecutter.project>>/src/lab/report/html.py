"""A report as one HTML file: its figures inside, and no other file or server needed."""

from __future__ import annotations

import base64
import hashlib
import html as escaping
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 54rem; padding: 2.5rem 1.5rem 5rem; color: #222; background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .8rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid #ddd; }
p, ul { margin: .6rem 0; } li { margin: .2rem 0; }
li.task { list-style: none; margin-left: -1.3rem; }
img { display: block; max-width: 100%; margin: 1.6rem 0 .3rem; }
img + br { display: none; }
p.caption { margin: 0 0 1.6rem; color: #555; font-size: .9rem; }
code { font: .87em ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; background: #f4f4f4; \
padding: .1em .25em;
  border-radius: 3px; overflow-wrap: anywhere; }
pre { background: #f4f4f4; padding: .8rem 1rem; border-radius: 4px; overflow-x: auto; } pre code { padding: 0; }
/* A wide table breaks its cells into lines; one that is still too wide is scrolled. */
table { display: block; width: fit-content; max-width: 100%; overflow-x: auto; border-collapse: collapse;
  font-size: .83rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #e4e4e4; text-align: left; }
th.number, td.number { text-align: right; }
th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
summary { cursor: pointer; margin: 1rem 0; }
a { color: #0072b2; }
@media print { body { padding: 0; max-width: none; } h2, img { break-after: avoid; } }
"""


# What a report has of HTML, all of it its own: that of others is text.
FOLD = re.compile(
    r"<p>&lt;details&gt;&lt;summary&gt;(All \d+ runs)&lt;/summary&gt;</p>\n(.*?)<p>&lt;/details&gt;</p>", re.S
)


def html(text: str, title: str, folder: Path) -> str:
    """The page of a report's Markdown; `folder` is where its figures' paths start.

    Nothing in the text is taken for HTML, and the page's policy lets a browser run and fetch nothing.
    """
    from markdown_it import MarkdownIt

    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)  # what marks the blocks
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    body = FOLD.sub(r"<details><summary>\1</summary>\n\2</details>", body)
    body = re.sub(r'(?<=<img src=")([^":]+\.png)(?=")', lambda match: inlined(folder, match[1]), body)
    body = body.replace("<li>[x] ", '<li class="task">☑ ').replace("<li>[ ] ", '<li class="task">☐ ')
    body = re.sub(r"(<p><img [^>]*></p>\n)<p>", r'\1<p class="caption">', body)
    body = body.replace('style="text-align:right"', 'class="number"').replace(' style="text-align:left"', "")
    # The ends of an interval stay in one line.
    body = re.sub(r"(\[[^][<]*,|±) (?=[^][<]*\]?</td>)", r"\1&nbsp;", body)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f'<meta http-equiv="Content-Security-Policy" content="{policy()}">'
    head += f"<title>{escaping.escape(title)}</title>"
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n'


def policy(scripts: Sequence[str] = ()) -> str:
    """What a browser may do with the page: use our style, and run these scripts, each known by its hash; no more."""
    allowed = {"default-src": ["'none'"], "img-src": ["data:"], "style-src": [hashed(STYLE)]}
    allowed |= {"script-src": [*map(hashed, scripts)] or ["'none'"], "base-uri": ["'none'"], "form-action": ["'none'"]}
    return "; ".join(f"{kind} {' '.join(sources)}" for kind, sources in allowed.items())


def hashed(content: str) -> str:
    """The source that stands for an element with this content: https://www.w3.org/TR/CSP3/#grammardef-hash-source"""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def inlined(folder: Path, address: str) -> str:
    """A picture below `folder` as an address that holds it; of another place, or where there is none, its name."""
    path = (folder / unquote(escaping.unescape(address))).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return escaping.escape(path.name)
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
