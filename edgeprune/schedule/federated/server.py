"""The server: it has no data. It takes the candidate that the clients' votes choose, trains it with them, and exchanges
a few masks by the slopes they send. A client that is lost costs its share of a round and nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeprune.errors import EnvironmentProblem
from edgeprune.recover.finetune import warmup_cosine
from edgeprune.schedule.federated.carriers import Carrier
from edgeprune.schedule.federated.masking import Masking, State
from edgeprune.schedule.federated.message import Message, named, pack, pack_masks, unpack
from edgeprune.schedule.federated.norms import Statistics, merge, norm_names
from edgeprune.schedule.federated.progressive import adjust, blocks, exchanged, fraction, gathered
from edgeprune.schedule.federated.settings import Federation
from edgeprune.schedule.masks import Alive

_PATIENCE = 3  # rounds in which nobody answers
Note = Callable[[str], None]


@dataclass
class Ledger:
    """What went over the wire, bytes by kind and direction, and who was asked and did not answer."""

    sent: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {"bytes_to_clients": dict(self.sent), "bytes_to_server": dict(self.received), "lost_replies": self.lost}


class Server:
    """`state`: the dense network's state dict; masked entries in it are what comes back with a mask."""

    def __init__(
        self, network: nn.Module, masking: Masking, carrier: Carrier, settings: Federation, lr: float, seed: int,
        note: Note = lambda _: None,
    ) -> None:  # fmt: skip
        self.state: State = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.masking, self.carrier, self.settings, self.note = masking, carrier, settings, note
        self.lr, self.draw = lr, np.random.default_rng(seed)
        self.norms = norm_names(network)
        self.alive: Alive = {}
        self.version = 0
        self.known: dict[int, int] = {}  # client -> version of the mask that it has confirmed
        self.ledger = Ledger()
        self.densities: list[float] = []
        self.votes: dict[str, float] = {}

    def choose(self, pool: Sequence[tuple[str, Alive]]) -> str:
        """The candidate of the lowest loss, by the votes of all clients that answer; its masks and statistics are the
        server's from then on.

        Adaptive batch-norm selection: each client sends statistics, never images; all get the merged ones back, and
        vote with them. Raises EnvironmentProblem if nobody answers.
        """
        if self.settings.selection == "none":
            self.set_masks(pool[0][1])
            return pool[0][0]
        found: dict[str, tuple[float, Alive, Statistics]] = {}
        for name, alive in pool:
            self.set_masks(alive)
            merged, second = self._votes() if self.settings.selection == "adaptive" else self._plain_votes()
            if second:
                images = sum(reply.numbers["images"] for reply in second.values())
                loss = sum(reply.numbers["loss"] * reply.numbers["images"] for reply in second.values()) / images
                found[name] = (loss, alive, merged)
                self.note(f"candidate {name}: loss {loss:.4f} by {len(second)} clients")
        if not found:
            raise EnvironmentProblem("No client answered for any candidate.", "Start the clients, then try again.")
        self.votes = {name: entry[0] for name, entry in found.items()}
        best = min(found, key=lambda name: found[name][0])
        _, alive, merged = found[best]
        self.set_masks(alive)
        for name, tensor in merged.items():
            self.state[name].copy_(tensor)
        return best

    def _votes(self) -> tuple[Statistics, dict[int, Message]]:
        """Everybody's statistics of the candidate, and the losses with them."""
        first = self._ask("statistics", self.carrier.clients, self._weights())
        if not first:
            return {}, {}
        weights = [reply.numbers["images"] for reply in first.values()]
        parts = [{n: torch.from_numpy(a.copy()) for n, a in r.part("norm").items()} for r in first.values()]
        merged = merge(parts, weights)
        norms = {name: tensor.float().numpy() for name, tensor in merged.items()}
        return merged, self._ask("loss", list(first), named("norm", norms))

    def _plain_votes(self) -> tuple[Statistics, dict[int, Message]]:
        """The losses of the candidate as the server sends it."""
        return {}, self._ask("loss", self.carrier.clients, self._weights())

    def set_masks(self, alive: Alive) -> None:
        """Masks that clients do not know yet. Single weights that go are forgotten."""
        self.alive = {name: mask.clone() for name, mask in alive.items()}
        self.version += 1

    def train(self, rounds: int, after: Callable[[int, float], None] = lambda *_: None) -> None:
        """Rounds of local training and averaging; `after(round, mean loss)`. Raises EnvironmentProblem."""
        own, silent = self.settings, 0
        last = max(1, int(own.until * rounds))
        order = blocks(list(self.alive), own.blocks)
        adjusted = 0
        for number in range(1, rounds + 1):
            chosen = sorted(self.draw.choice(self.carrier.clients, own.per_round, replace=False).tolist())
            counts: dict[str, int] = {}
            if own.every and number % own.every == 0 and number <= last:
                share = fraction(number, last, own.alpha)
                counts = {name: exchanged(self.alive[name], share) for name in order[adjusted % len(order)]}
                counts = {name: count for name, count in counts.items() if count}
                adjusted += 1
            lr = self.lr * warmup_cosine(number - 1, rounds)
            replies = self._ask("train", chosen, self._weights(counts), round=number, lr=lr, epochs=own.local_epochs)
            silent = 0 if replies else silent + 1
            if silent == _PATIENCE:
                raise EnvironmentProblem(
                    f"No client answered in {_PATIENCE} rounds (the last was {number} of {rounds}).",
                    "Start the clients, then try again.",
                )
            if replies:
                self._average(list(replies.values()))
                if counts:
                    self._adjust(list(replies.values()), counts)
                weight = [reply.numbers["images"] for reply in replies.values()]
                after(number, float(np.average([r.numbers["loss"] for r in replies.values()], weights=weight)))

    def masked_state(self) -> State:
        """The state dict with every masked single weight 0; of channels, what is stored is left in place."""
        if self.masking.coupling is not None:
            return dict(self.state)
        dead = self.masking.dead(self.alive, self.state)
        return {n: t.masked_fill(dead[n], 0) if n in dead else t for n, t in self.state.items()}

    def _weights(self, counts: dict[str, int] | None = None) -> dict[str, Any]:
        """Alive weights; where slopes are asked for, how many, and for channels the weights they would have."""
        state = self.state
        arrays = named("weights", pack(state, self.masking.dead(self.alive, state)))
        if counts:
            arrays |= named("grow", {name: np.array([count], dtype=np.int32) for name, count in counts.items()})
            if self.masking.coupling is not None:
                stored = self.masking.dead(self.alive, state, counts)
                arrays |= named("stored", {name: state[name][mask].float().numpy() for name, mask in stored.items()})
        return arrays

    def _ask(self, kind: str, clients: Sequence[int], arrays: dict[str, Any], **numbers: float) -> dict[int, Message]:
        """Everybody gets the same, and the masks only who has not confirmed them."""
        masks = named("mask", pack_masks(self.alive))
        messages = {}
        for client in clients:
            new = masks if self.known.get(client) != self.version else {}
            messages[client] = Message(kind, {**arrays, **new}, {"version": self.version, **numbers})
        self.ledger.sent[kind] = self.ledger.sent.get(kind, 0) + sum(message.bytes for message in messages.values())
        replies = {client: reply for client, reply in sorted(self.carrier.ask(messages).items()) if client in messages}
        for client in clients:
            if client in replies:
                self.known[client] = self.version
            else:
                self.known.pop(client, None)
        self.ledger.received[kind] = self.ledger.received.get(kind, 0) + sum(r.bytes for r in replies.values())
        self.ledger.lost += len(messages) - len(replies)
        return replies

    def _average(self, replies: Sequence[Message]) -> None:
        """Weights by number of images; variances of batch norms with the spread of the means."""
        weights = [reply.numbers["images"] for reply in replies]
        dead = self.masking.dead(self.alive, self.state)
        states = [unpack(reply.part("weights"), dead, self.state) for reply in replies]
        statistics = [f"{norm}.running_{kind}" for norm in self.norms for kind in ("mean", "var")]
        merged = merge([{name: state[name] for name in statistics} for state in states], weights)
        for name, tensor in self.state.items():
            if not tensor.is_floating_point():
                continue
            each = torch.stack([state[name].double() * weight for state, weight in zip(states, weights, strict=True)])
            mean: Tensor = merged[name] if name in merged else each.sum(0) / sum(weights)
            if name in dead:  # what is stored stays bit for bit
                mean = torch.where(dead[name], tensor.double(), mean)
            tensor.copy_(mean)

    def _adjust(self, replies: Sequence[Message], counts: dict[str, int]) -> None:
        sent = []
        for reply in replies:
            index, values = reply.part("index"), reply.part("slope")
            sent.append({name: (index[name], values[name]) for name in counts})
        slopes = gathered(sent, [reply.numbers["images"] for reply in replies], self.alive)
        alive = adjust(self.alive, self.masking.strengths(self.state, self.alive), slopes, counts)
        if self.masking.coupling is None:
            for name in counts:  # what goes is forgotten: it would come back as 0
                self.state[name].masked_fill_(~(alive[name] & self.alive[name]), 0)
        self.set_masks(alive)
        self.densities.append(
            sum(int(mask.sum()) for mask in alive.values()) / sum(mask.numel() for mask in alive.values())
        )
