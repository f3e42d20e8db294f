"""A lab on this machine: a Ray head, and hosts with an adb server of their own and emulated phones that have joined."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from tests.phone import Phone

ROOT = Path(__file__).parents[3]
START_S = 180.0


class Host:
    """A machine with phones: `edgeprune farm join` in a process of its own."""

    def __init__(self, folder: Path, address: str, phones: Sequence[Phone]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        folder.mkdir()
        self.env = {
            **os.environ,
            "ANDROID_ADB_SERVER_PORT": port,
            "HOME": str(folder),
            "ADB_LOCAL_TRANSPORT_MAX_PORT": "1",
            "EDGEPRUNE_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(ROOT),
        }
        self.log = folder / "join.log"
        self.adb("start-server")
        for phone in phones:
            self.adb("connect", phone.address)
            self.adb("-s", phone.address, "wait-for-device")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "edgeprune", "farm", "join", address],
                env=self.env, stdout=log, stderr=subprocess.STDOUT, cwd=folder, start_new_session=True,
            )  # fmt: skip

    def adb(self, *words: str) -> str:
        """This host's adb."""
        return subprocess.run(
            ["adb", *words], env=self.env, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def said(self) -> str:
        """What `farm join` printed."""
        return self.log.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until it has printed a text so many times."""
        wait_until(lambda: self.said().count(text) >= times, lambda: f"no {text!r} in {self.said()}")

    def nodes(self) -> list[int]:
        """The processes of its Ray nodes, each the leader of a group."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def die(self) -> None:
        """As a machine that loses its power: nothing says goodbye."""
        for pid in [self.process.pid, *self.nodes()]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End what is left."""
        if self.process.poll() is None:
            self.die()
        subprocess.run(["adb", "kill-server"], env=self.env, capture_output=True, check=False)


def wait_until(done: Callable[[], bool], why: Callable[[], str], seconds: float = START_S) -> None:
    """Look every 0.1 s. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, why()
        time.sleep(0.1)


@contextlib.contextmanager
def head() -> Iterator[str]:
    """The address of a cluster without phones; this process may work with it."""
    patient = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "180", "PYTHONPATH": str(ROOT)}
    with mock.patch.dict(os.environ, patient):  # Ray reads it when it is imported
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            yield cluster.address
        finally:
            cluster.shutdown()
