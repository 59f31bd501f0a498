"""`lab ui`: MLflow's own pages on this machine, or the address of the server that is used."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from lab.errors import UserError
from lab.tracking import settings
from lab.tracking.mlflow import links, views
from lab.tracking.mlflow.errors import public

HOST = "127.0.0.1"
PATIENCE = 180.0  # seconds for a server to answer: it imports for long


def link(address: str, experiment: str) -> str:
    """The page of an experiment, designs as rows."""
    return f"{address.rstrip('/')}/{views.page(experiment, views.DESIGNS)}"


def serve(root: Path, port: int, say: Callable[[str], None], show: Callable[[str], object] | None = None) -> bool:
    """Serve the project's own runs until Ctrl-C; `show` is given the designs' page, once.

    Where another server has them, or none are mirrored yet, that is said, and False returned at once. Raises UserError.
    """
    settings.environment(root)
    if not settings.embedded(root):
        designs = links.designs(root)
        say(designs or f"the runs are at {public(settings.uri(root))}")
        if designs and show is not None:
            show(designs)
        return False
    if not settings.database(root).exists():
        say("nothing is mirrored yet, so there are no pages of MLflow: lab mirror --all, and lab ui anew")
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"port {port} is taken: lab ui --port {port + 1}") from error
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "-w", "1"]
    command += ["--backend-store-uri", settings.uri(root), "--artifacts-destination", str(root / "mlartifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = settings.folder(root) / "ui.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=root, env=environment, stdout=file, stderr=subprocess.STDOUT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it takes the server along, too
    try:
        say("starting MLflow's pages…")
        _wait(server, port, log)
        name = settings.read(root).experiment
        designs = link(f"http://{HOST}:{port}", _experiment(port, name))
        say(designs)
        if show is not None:
            show(designs)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()
    return True


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it answers. Raises UserError."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if server.poll() is not None:
            raise UserError(f"MLflow's server did not start; {log} says why")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise UserError(f"MLflow's server does not answer; {log} says why")


def _experiment(port: int, name: str) -> str:
    """The id of the project's experiment."""
    url = f"http://{HOST}:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name, safe='')}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(json.load(answer)["experiment"]["experiment_id"])
