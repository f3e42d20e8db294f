"""The farm as the one who wants something measured sees it: which phones there are, and work for phones of a kind."""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from profilers.errors import ConnectionLost, DeviceError, FarmError, RuntimeNotInstalled
from profilers.farm.beside import How, Told
from profilers.farm.labels import FarmPhone, resource_of
from profilers.side_by_side import check

log = logging.getLogger("profilers.farm")
PORT = 6379
ATTEMPTS = 5  # after the first: as many phones or hosts may be lost under one piece of work
LOOK_S = 1.0
ALONE_S = 120.0  # so long without a phone of the kind is given up: one that was unplugged may come back
T = TypeVar("T")


def ray_library() -> Any:
    """Ray. Raises RuntimeNotInstalled."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing here calls home
    try:
        import ray
    except ImportError as error:
        raise RuntimeNotInstalled(
            "A farm of phones needs Ray, which is not installed.",
            'Install it with: pip install "edgeprune[distributed]"',
        ) from error
    return ray


def reachable(address: str) -> str:
    """HOST:PORT of the head of a cluster, with Ray's default port. Raises FarmError when nothing answers there."""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(PORT))
    cure = f"Start the head of the cluster with `ray start --head --port={PORT}`, and give HOST:{PORT} of that machine."
    if not host or not port.isdigit():
        raise FarmError(f"{address} is no address of a Ray cluster.", cure)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise FarmError(f"No Ray cluster answers at {address}: {error.strerror or error}.", cure) from error
    return f"{host}:{port}"


class Farm:
    """A connection to the cluster at `address`; close it. This machine has to be one of its nodes.

    Safe in threads. Raises FarmError, RuntimeNotInstalled.
    """

    def __init__(self, address: str) -> None:
        self._ray = ray_library()
        self.address = reachable(address)
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                self._ray.init(
                    address=self.address, log_to_driver=False, logging_level="ERROR", configure_logging=False
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise FarmError(
                    f"This machine cannot work with the Ray cluster at {self.address}: {error}",
                    f"Make it a node, with the same Ray and Python: ray start --address={self.address} --num-cpus=0",
                ) from error
            _keep_off_stdout()

    def close(self) -> None:
        """Leave the cluster. What was asked for and not waited for ends."""
        if self._own:
            self._ray.shutdown()

    def phones(self) -> list[FarmPhone]:
        """The phones that are there now, by model and serial number's hash."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        found = [FarmPhone.read(node.get("Labels") or {}, node["NodeManagerHostname"]) for node in nodes]
        return sorted((phone for phone in found if phone), key=lambda phone: (phone.model, phone.serial_sha256))

    def beside_a_phone(self) -> bool:
        """Whether this process depends on the Ray node of a phone: Ray attaches it to the head, else to any here."""
        own = self._ray.get_runtime_context().get_node_id()
        labels = next((node.get("Labels") or {} for node in self._ray.nodes() if node["NodeID"] == own), {})
        return FarmPhone.read(labels, "") is not None

    def free(self, kind: str) -> int:
        """Phones of a kind that do nothing now."""
        return int(self._ray.available_resources().get(resource_of(kind), 0))

    def send(self, content: Any) -> Any:
        """A thing that much work needs, put into the cluster once; give the answer in its place."""
        return self._ray.put(content)

    def ask(self, kind: str, work: Callable[..., Told[T]], how: How, *things: Any) -> Told[T]:
        """As `ask_all`, one piece of work."""
        return self.ask_all(kind, work, how, [things])[0]

    def ask_all(
        self,
        kind: str,
        work: Callable[..., Told[T]],
        how: How,
        each: Sequence[Sequence[Any]],
        on_done: Callable[[int], None] | None = None,
    ) -> list[Told[T]]:
        """`work(how, *things)` beside a phone of the kind for each `things`; the answers in order.

        Ray queues them, and repeats elsewhere what was on a phone or host that was lost. `on_done` hears how many are
        done. Raises what the work raises, DeviceError when no phone of the kind is left; the rest is not cancelled but
        ends with `close`: Ray 2.60 ends this whole process when a task is cancelled that has just failed.
        """
        task = self._ray.remote(work).options(
            num_cpus=0,
            resources={resource_of(kind): 1},
            max_retries=ATTEMPTS,
            retry_exceptions=[ConnectionLost],
        )
        asked = [task.remote(how, *things) for things in each]
        self._wait(asked, kind, on_done)
        return [self._answer(one) for one in asked]

    def _wait(self, asked: list[Any], kind: str, on_done: Callable[[int], None] | None) -> None:
        waiting, seen = asked, time.monotonic()
        while waiting:
            done, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_S)
            check()
            if done and on_done is not None:
                on_done(len(asked) - len(waiting))
            for one in done:
                self._answer(one)  # an error ends the rest
            if any(phone.kind == kind for phone in self.phones()):
                seen = time.monotonic()
            elif time.monotonic() - seen > ALONE_S:
                raise DeviceError(
                    f"The farm has had no such phone for {ALONE_S:.0f} s.",
                    "Attach one to a host that has joined; `edgeprune farm list` shows those that are there.",
                )

    def _answer(self, one: Any) -> Any:
        """What a task found. Raises what it raised, DeviceError if it was lost more often than it is repeated."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(one)
        except errors.RayTaskError as error:
            raise error.cause from None
        except errors.RayError as error:
            raise DeviceError(
                f"A piece of work was lost {ATTEMPTS + 1} times with its phone or host: {type(error).__name__}.",
                "See the hosts' `edgeprune farm join`, and run again with --resume.",
            ) from error


def _keep_off_stdout() -> None:
    """What Ray tells of nodes that end goes to the log. It would print it on stdout, which belongs to results.

    Ray has no setting for that: `log_to_driver` is about what workers print.
    """
    from ray._private import worker

    def say(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
        del ignore_prefix
        log.debug("%s", "\n".join(data["lines"]))

    worker.print_to_stdstream = say
