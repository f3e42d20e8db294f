"""Flower's simulation engine as the carrier: every client is a node of its own, on Ray's workers.

Flower takes protobuf 6, which other parts here do not: `make federated` makes an environment of its own for it. Its
simulation runs in a thread whose server app hands on what is asked of it. Masks and candidates that a client remembers
lie in its node's state. Telemetry of Flower and Ray is off.
"""

import importlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from edgeprune.errors import EnvironmentProblem
from edgeprune.schedule.federated.client import Client, Forgotten
from edgeprune.schedule.federated.message import Message

_TIMEOUT = 600.0  # seconds that a round waits for its replies
_STORE = 512 * 2**20  # bytes of Ray's object store
_STARTS = 3
_HELLO = "hello"
Note = Callable[[str], None]


def installed() -> bool:
    """Whether Flower and its simulation engine are there."""
    return find_spec("flwr") is not None and find_spec("ray") is not None


def check_installed() -> None:
    """Raise EnvironmentProblem where Flower is missing."""
    if not installed():
        raise EnvironmentProblem(
            "Flower (flwr) is not installed here.",
            "Run `make federated`, then .venv-federated/bin/python -m edgeprune ..., or set carrier: in-turn. In an "
            'environment of your own: pip install "edgeprune[federated]".',
        )


class FlowerClients:
    """A carrier: `ask` waits for the thread that runs the simulation."""

    def __init__(self, clients: Sequence[int]) -> None:
        self.clients = tuple(clients)
        self.asked: queue.Queue[Mapping[int, Message] | None] = queue.Queue()
        self.answered: queue.Queue[dict[int, Message] | BaseException] = queue.Queue()

    def ask(self, messages: Mapping[int, Message]) -> dict[int, Message]:
        """Replies by client. Raises EnvironmentProblem if the engine has ended."""
        self.asked.put(messages)
        found = self.answered.get()
        if isinstance(found, BaseException):
            self.answered.put(found)
            raise EnvironmentProblem(
                f"Flower's simulation engine ended: {type(found).__name__}: {found}",
                "Set carrier: in-turn in the recipe's schedule to work without it.",
            ) from found
        return found


@contextmanager
def flower_clients(sites: Sequence[Client], note: Note = lambda _: None) -> Iterator[FlowerClients]:
    """The clients as nodes of a simulation, until the block ends. Raises EnvironmentProblem where Flower is missing."""
    check_installed()
    os.environ["FLWR_TELEMETRY_ENABLED"] = os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray hides no GPU, and says nothing of it
    import ray

    own = not ray.is_initialized()
    if own:
        _start_ray()
    carrier = FlowerClients([site.number for site in sites])
    thread = threading.Thread(target=_simulate, args=(sites, carrier, note), name="flower", daemon=True)
    try:
        with _by_value(sites):
            thread.start()
            yield carrier
    finally:
        carrier.asked.put(None)
        thread.join(timeout=60)
        if own:
            ray.shutdown()


def _start_ray() -> None:
    """Ray on this machine alone, with as many workers as this process may use cores. Raises EnvironmentProblem."""
    import ray

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path = os.pathsep.join(entry for entry in sys.path if entry)
    for attempt in range(1, _STARTS + 1):  # it gives itself 30 seconds, which a busy machine does not always grant
        try:
            ray.init(
                address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False,
                logging_level=logging.ERROR, object_store_memory=_STORE, runtime_env={"env_vars": {"PYTHONPATH": path}},
            )  # fmt: skip
            return
        except Exception as error:
            ray.shutdown()
            if attempt == _STARTS:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise EnvironmentProblem(
                    f"Ray, on which Flower's simulation runs, does not start: {reason}",
                    "Try again when the machine is less busy, or set carrier: in-turn in the recipe's schedule.",
                ) from error


@contextmanager
def _by_value(sites: Sequence[Client]) -> Iterator[None]:
    """The user's own modules are not importable in the workers: what they define is sent along."""
    from ray import cloudpickle

    names = {type(thing).__module__ for site in sites[:1] for thing in (site.network, site.task, site.images)}
    names |= {type(module).__module__ for module in sites[0].network.modules()}
    modules = [sys.modules[name] for name in names if name.startswith("edgeprune_user_")]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)  # type: ignore[no-untyped-call]


def _simulate(sites: Sequence[Client], carrier: FlowerClients, note: Note) -> None:
    """Run the engine until `None` is asked. What goes wrong is answered to whoever asks next."""
    try:
        import ray
        from flwr.clientapp import ClientApp
        from flwr.serverapp import ServerApp
        from flwr.simulation import run_simulation

        logging.getLogger("flwr").setLevel(logging.ERROR)
        kept = ray.put({site.number: replace(site, memory={}) for site in sites})
        client_app, server_app = ClientApp(), ServerApp()
        client_app.train()(_Node(kept))
        failures: list[BaseException] = []

        def serve(grid: Any, _context: Any) -> None:
            try:
                _serve(grid, carrier, note)
            except BaseException as error:
                failures.append(error)
                raise

        server_app.main()(serve)
        run_simulation(
            server_app, client_app, len(sites),
            backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
        )  # fmt: skip
        if failures:
            raise failures[0]
        raise RuntimeError("it is over")
    except BaseException as error:
        carrier.answered.put(error)


class _Node:
    """What a node does with a message; it fetches the clients once into each worker."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def __call__(self, message: Any, context: Any) -> Any:
        from flwr.app import Message as Envelope

        number = int(context.node_config["partition-id"])
        if message.content["numbers"].get(_HELLO):
            return Envelope(content=to_records(Message("", {}, {_HELLO: number})), reply_to=message)
        client = replace(_fetched(self.kept)[number], memory={})
        if "memory" in context.state:
            client.memory.update({name: array.numpy() for name, array in context.state["memory"].items()})
        try:
            reply = client.answer(from_records(message.content))
        except Forgotten:
            reply = Message("forgotten")
        context.state["memory"] = to_records(Message("", client.memory))["arrays"]
        return Envelope(content=to_records(reply), reply_to=message)


_CACHE: dict[Any, dict[int, Client]] = {}


def _fetched(kept: Any) -> dict[int, Client]:
    import ray

    if kept not in _CACHE:
        _CACHE.clear()
        _CACHE[kept] = ray.get(kept)
    return _CACHE[kept]


def _serve(grid: Any, carrier: FlowerClients, note: Note) -> None:
    """In the server app: learn which node is which client, then hand on what is asked."""
    nodes = _nodes(grid, len(carrier.clients))
    while (messages := carrier.asked.get()) is not None:
        replies = _send(grid, {nodes[client]: message for client, message in messages.items()}, note)
        clients = {node: client for client, node in nodes.items()}
        carrier.answered.put({clients[node]: reply for node, reply in replies.items() if reply.kind != "forgotten"})


def _nodes(grid: Any, count: int) -> dict[int, int]:
    """Client -> node, when all nodes are there."""
    import time

    deadline = time.monotonic() + _TIMEOUT
    while len(nodes := list(grid.get_node_ids())) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(nodes)} of {count} nodes came")
        time.sleep(0.1)
    replies = _send(grid, dict.fromkeys(nodes, Message("", {}, {_HELLO: 1})), lambda _: None)
    found = {int(reply.numbers[_HELLO]): node for node, reply in replies.items()}
    if len(found) < count:
        raise RuntimeError(f"{len(found)} of {count} nodes answered")
    return found


def _send(grid: Any, messages: Mapping[int, Message], note: Note) -> dict[int, Message]:
    from flwr.app import Message as Envelope

    envelopes = [
        Envelope(content=to_records(message), dst_node_id=node, message_type="train")
        for node, message in messages.items()
    ]
    found = {}
    for reply in grid.send_and_receive(envelopes, timeout=_TIMEOUT):
        if reply.has_error():
            note(f"a client failed: {reply.error.reason}")
            continue
        found[reply.metadata.src_node_id] = from_records(reply.content)
    return found


def to_records(message: Message) -> Any:
    """As Flower's records: arrays in NumPy's format without pickle, numbers, and the kind."""
    records = importlib.import_module("flwr.app")
    return records.RecordDict(
        {
            "arrays": records.ArrayRecord({name: records.Array(array) for name, array in message.arrays.items()}),
            "numbers": records.MetricRecord({name: float(value) for name, value in message.numbers.items()}),
            "kind": records.ConfigRecord({"kind": message.kind}),
        }
    )


def from_records(content: Any) -> Message:
    """The message again."""
    arrays = {name: array.numpy() for name, array in content["arrays"].items()}
    return Message(str(content["kind"]["kind"]), arrays, dict(content["numbers"].items()))
