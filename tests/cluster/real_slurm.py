"""A real Slurm on this machine, for tests: two nodes, bound to 127.0.0.1, with GPUs that are none.

It needs root and Debian's packages slurm-wlm and munge. All that it starts is ended by process id. A requeued job waits
for cred_expire, here ten seconds instead of two minutes (slurm.conf(5), AuthInfo).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

NODES = ("n1", "n2")
CONFIG = """ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdTimeout=10
KillWait=2
MinJobAge=2
MaxArraySize=5
GresTypes=gpu,shard
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
{nodes}PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """Slurm's daemons, with their files in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.own: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def missing() -> str:
        """Why there can't be one here; empty where there can."""
        tools = [
            tool for tool in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(tool, path=_path()) is None
        ]
        return f"no {', '.join(tools)}" if tools else "" if os.geteuid() == 0 else "not root"

    def begin(self) -> None:
        """Start all, and wait until both nodes take jobs."""
        munge = self.folder / "munge"
        for folder in (munge, self.folder / "state"):
            folder.mkdir(parents=True)
            folder.chmod(0o755)
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o400)
        port, *ports = free_ports(1 + len(NODES))
        nodes = "".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={own} CPUs=2 "
            f"RealMemory=4000 Gres=gpu:1,shard:2\n"
            for node, own in zip(NODES, ports, strict=True)
        )
        config = CONFIG.format(folder=self.folder, port=port, nodes=nodes)
        (self.folder / "slurm.conf").write_text(config)
        gres = "".join(
            f"NodeName={node} Name=gpu File=/dev/tty\nNodeName={node} Name=shard Count=2\n" for node in NODES
        )
        (self.folder / "gres.conf").write_text(gres)
        os.environ["SLURM_CONF"] = str(self.folder / "slurm.conf")
        options = {
            "socket": munge / "socket",
            "key-file": munge / "key",
            "pid-file": munge / "pid",
            "seed-file": munge / "seed",
            "log-file": munge / "log",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        self._start("munged", "--foreground", "--force", *flags)
        self._until((munge / "socket").exists)
        self.begin_controller()
        for node in NODES:
            self.begin_node(node)
        self._until(lambda: self.call("sinfo", "-h", "-N", "-t", "idle").count("\n") == len(NODES))

    def begin_controller(self, *options: str) -> None:
        """Start slurmctld; `-c` forgets all jobs."""
        self._start("slurmctld", "-D", *options)
        self._until(lambda: "is UP" in self.call("scontrol", "ping"))

    def begin_node(self, node: str) -> None:
        """Start the slurmd of a node."""
        self._start("slurmd", "-D", "-N", node, name=node)

    def kill(self, name: str) -> None:
        """Kill a daemon, as if its machine had gone: `slurmctld`, or a node by its name with its steps."""
        process = self.own.pop(name)
        process.kill()
        process.wait()

    def kill_jobs(self, node: str) -> None:
        """Kill what a node runs."""
        for process in self.processes():
            with suppress(psutil.Error):
                if process.environ().get("SLURMD_NODENAME", node) == node:
                    process.kill()

    def restore(self) -> None:
        """Bring back what was lost."""
        for node in NODES:
            if node not in self.own:
                self.begin_node(node)
        self._until(lambda: self.call("sinfo", "-h", "-N", "-t", "idle").count("\n") == len(NODES))

    def processes(self) -> list[psutil.Process]:
        """The processes of all jobs and what looks after them."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            with suppress(psutil.Error):
                if process.info["name"] == "slurmstepd":
                    found += [process, *process.children(recursive=True)]
        return found

    def call(self, *command: str) -> str:
        """What a command prints; nothing where it fails."""
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": _path()}).stdout

    def end(self) -> None:
        """End all."""
        self.call("scancel", "--signal=KILL", "--full", "--me")
        self.call("scancel", "--me")
        until = time.monotonic() + 10
        while self.call("squeue", "-h") and time.monotonic() < until:
            time.sleep(0.2)
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        for process in self.own.values():
            process.terminate()
        for process in self.own.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def _start(self, program: str, *options: str, name: str = "") -> None:
        log = (self.folder / f"{name or program}.out").open("ab")
        self.own[name or program] = subprocess.Popen(
            [program, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | {"PATH": _path()}
        )

    def _until(self, condition: object, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            assert time.monotonic() < until, f"Slurm did not start: {self.folder}"
            time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
