"""The live page of `lab ui`: what `lab status --json` prints, for a browser that asks for it again and again.

Nothing is worked out where nobody looks, and little where nothing has changed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from lab.cli.output import Output, Overview, Refused, Stand
from lab.cli.standing import stand
from lab.design import search
from lab.design.expansion import is_bayesian
from lab.errors import UserError
from lab.execution import campaign
from lab.execution.forecast import Forecast, usual
from lab.execution.standings import standings
from lab.report import html
from lab.study import QUEUED, RUNNING

if TYPE_CHECKING:
    from lab.cli.output import Answer
    from lab.contract import Contract
    from lab.design.models import Design
    from lab.design.plan import Plan
    from lab.records.planning import Planner
    from lab.records.project import Project
    from lab.study import Replicate

HOST = "127.0.0.1"
LEAST = 1.0  # seconds that an answer holds, however many pages ask
SLOW = 30.0  # seconds that the number of workers holds: all processes are looked through for it, or a cluster is asked
BODY = """<main><h1>Runs as they go on</h1><p id="state" role="status">…</p><div id="designs"></div></main>
"""


@dataclass
class Known:
    """What is known of a design's runs, until something changes; while they go on, by what they are forecast."""

    design: Design
    contract: Contract
    replicates: list[Replicate]
    forecast: Forecast | None
    answer: Answer | None = None


class Live:
    """The state of a project's runs, for pages that ask again and again.

    Args:
        project: whose runs they are.
        read: how those of a design stand, by its name. Raises UserError.
        workers: how many are at work, by where.
    """

    def __init__(self, project: Project, read: Callable[[str], Known], workers: Callable[[], dict[str, int | None]]):
        self.project, self.read, self.workers = project, read, workers
        self.lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._told: dict[str, tuple[float, Output]] = {}  # when, and what
        self._at_work: tuple[float, dict[str, int | None]] = (0.0, {})

    def status(self, design: str = "") -> Output:
        """What `lab status --json` says of a design, or of all that have runs at work."""
        with self.lock:
            at, told = self._told.get(design, (0.0, None))
            if told is None or time.monotonic() - at > LEAST:
                try:
                    if self.project.look():
                        self._known.clear()
                    told = self._stand(design) if design else self._overview()
                except UserError as error:
                    told = Refused(exit_code=2, error=str(error))
                told.command = "status"
                self._told[design] = time.monotonic(), told
            return told

    def _overview(self) -> Overview:
        """The designs that have runs at work: what others have is in git, and not counted again and again."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for record in self.project.records():
            if record.status in (QUEUED, RUNNING) and (name := record.experiment.get("design")):
                counts[name][record.status] += 1
        if not self._at_work[1] or time.monotonic() - self._at_work[0] > SLOW:
            self._at_work = time.monotonic(), self.workers()
        return Overview(designs={name: dict(own) for name, own in counts.items()}, workers=self._at_work[1])

    def _stand(self, design: str) -> Stand:
        if design not in self._known:
            self._known[design] = self.read(design)
        known = self._known[design]
        return stand(known.design, known.contract, known.replicates, known.answer, known.forecast, time.time())


class Reading:
    """Reads how the runs of a design stand, with the answer once they are over.

    Args:
        project: whose designs they are.
        planner: makes what plans a design, by its name. Raises UserError.
        answered: the answer to a design whose runs are over.
    """

    def __init__(self, project: Project, planner: Callable[[str], Planner], answered: Callable[[str], Answer | None]):
        self.project, self.planner, self.answered = project, planner, answered
        self._answers: dict[str, tuple[list[str], Answer | None]] = {}  # with the commits of the runs that give it
        self._plans: dict[str, tuple[Planner, Plan, tuple[str | None, set[str] | None]]] = {}

    def __call__(self, name: str) -> Known:
        """Raises UserError."""
        planner, plan = self._plan(name)
        design, contract, project = planner.design, planner.contract, self.project
        replicates = standings(project, plan.runs)
        if any(replicate.active for replicate in replicates):
            earlier = usual(project.records(), contract, contract.types[design.type])
            return Known(design, contract, replicates, Forecast(contract, None, earlier))
        over = [replicate.record.commit for replicate in replicates if replicate.record]
        if self._answers.get(name, ([], None))[0] != over:  # it takes a second
            self._answers[name] = over, self.answered(name)
        return Known(design, contract, replicates, None, self._answers.get(name, ([], None))[1])

    def _plan(self, name: str) -> tuple[Planner, Plan]:
        """The plan as it stands: made anew for another HEAD and, where runs follow from others, once more are over."""
        own = self.project.by_design().get(name, [])
        over = {record.commit for record in own if record.status not in (QUEUED, RUNNING)}
        if name in self._plans:
            planner, plan, made_for = self._plans[name]
            if made_for in ((self.project.head, None), (self.project.head, over)):
                return planner, plan
        planner = self.planner(name)
        design, plan = planner.design, campaign.current(planner)
        follows = design.growth or is_bayesian(design) or search.metrics(design, planner.contract)
        self._plans[name] = planner, plan, (self.project.head, over if follows else None)
        return planner, plan


@contextmanager
def served(live: Live, port: int) -> Iterator[str]:
    """Serve the page beside what else is done, at this port or where it is taken at another; gives its link."""
    try:
        server = ThreadingHTTPServer((HOST, port), handler(live))
    except (OSError, OverflowError):  # taken, or beyond the last there is
        server = ThreadingHTTPServer((HOST, 0), handler(live))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def handler(live: Live) -> type[BaseHTTPRequestHandler]:
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
                found = live.status(parse_qs(asked.query).get("design", [""])[0])
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
