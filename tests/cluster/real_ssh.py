"""A real sshd on this machine, for tests: bound to 127.0.0.1, with keys of its own. It needs root and Debian's
package openssh-server.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from real_slurm import free_ports

SSHD = "/usr/sbin/sshd"
SEPARATION = Path("/run/sshd")  # sshd asks for it, and Debian makes it when the service starts
CONFIG = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/person.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""


class Sshd:
    """The server, with its files in `folder`: `key` opens it."""

    def __init__(self, folder: Path):
        self.folder, self.key = folder, folder / "person"
        (self.port,) = free_ports(1)

    @staticmethod
    def missing() -> str:
        """Why there can't be one here; empty where there can."""
        return "" if shutil.which(SSHD) and os.geteuid() == 0 else "no openssh-server, or not root"

    def begin(self) -> None:
        """Start it, and wait until it listens."""
        for name in ("host", "person"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(command, check=True)
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        SEPARATION.mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            command = [SSHD, "-D", "-e", "-f", str(self.folder / "config")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    @property
    def command(self) -> str:
        """How git reaches it, for GIT_SSH_COMMAND."""
        options = {"IdentitiesOnly": "yes", "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null"}
        return f"ssh -q -i {self.key} " + " ".join(f"-o {name}={value}" for name, value in options.items())

    def url(self, path: Path) -> str:
        """Where a folder of this machine is for others."""
        return f"ssh://127.0.0.1:{self.port}{path}"

    def end(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait()
