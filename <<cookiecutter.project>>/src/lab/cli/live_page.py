"""The live page of `lab ui`, for browsers on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from lab.report import html

if TYPE_CHECKING:
    from lab.cli.output import Output

HOST = "127.0.0.1"
BODY = """<main><h1>Runs as they go on</h1><p id="state" role="status">…</p><div id="designs"></div></main>
"""


@contextmanager
def served(status: Callable[[str], Output], port: int) -> Iterator[str]:
    """Serve the page beside what else is done, at this port or where it is taken at another; gives its link.

    `status` is what is said of a design, or of all under the empty name.
    """
    try:
        server = ThreadingHTTPServer((HOST, port), handler(status))
    except (OSError, OverflowError):  # taken, or beyond the last there is
        server = ThreadingHTTPServer((HOST, 0), handler(status))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def handler(status: Callable[[str], Output]) -> type[BaseHTTPRequestHandler]:
    """What answers a browser: with the page, and with status.json."""
    script = (Path(html.__file__).parent / "live.js").read_text(encoding="utf-8")
    page = html.page("Runs as they go on", BODY, script, "'self'").encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            name = self.headers.get("Host", "").partition(":")[0]
            if name not in (HOST, "localhost"):  # a page of somewhere else, under a name that leads here
                self.send_error(HTTPStatus.FORBIDDEN)
            elif asked.path == "/":
                self._send(page, "text/html; charset=utf-8")
            elif asked.path == "/status.json":
                found = status(parse_qs(asked.query).get("design", [""])[0])
                self._send(found.model_dump_json().encode(), "application/json")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _send(self, content: bytes, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            for key, value in {
                "Content-Type": kind,
                "Content-Length": str(len(content)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: it would be a line every two seconds."""

    return Handler
