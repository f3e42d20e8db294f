"""Who carries the messages: a carrier asks clients and brings the replies that come. One in this process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edgeprune.schedule.federated.client import Client, Forgotten
from edgeprune.schedule.federated.message import Message


class Carrier(Protocol):
    """`clients`: their numbers. A client whose reply is missing is lost for this round, and no more is known of it."""

    clients: tuple[int, ...]

    def ask(self, messages: Mapping[int, Message]) -> dict[int, Message]:
        """Replies by client; a client that does not answer is not among them."""
        ...


class InTurn:
    """All clients in this process, one after the other. `loses(round, client, message)`: "request" or "reply" or ""."""

    def __init__(self, clients: Sequence[Client], loses: Callable[[int, int, Message], str] | None = None) -> None:
        self._clients = {client.number: client for client in clients}
        self.clients = tuple(self._clients)
        self._loses, self._asked = loses, 0

    def ask(self, messages: Mapping[int, Message]) -> dict[int, Message]:
        """Replies by client."""
        self._asked += 1
        found = {}
        for number, message in messages.items():
            fate = self._loses(self._asked, number, message) if self._loses is not None else ""
            if fate == "request":
                continue
            try:
                reply = self._clients[number].answer(message)
            except Forgotten:
                continue
            if fate != "reply":
                found[number] = reply
        return found
