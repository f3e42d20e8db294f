"""FedTiny as a schedule: coupled channels are chosen and trained by clients who keep their images (methods.md 11); and
its masked form, of single weights, as in the paper.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import Any

from torch import nn

from edgeprune.errors import UsageError
from edgeprune.recover.finetune import Epoch
from edgeprune.recover.work import Length, Start, Work
from edgeprune.schedule.federated.carriers import Carrier, InTurn
from edgeprune.schedule.federated.client import Client
from edgeprune.schedule.federated.flower import check_installed, flower_clients, installed
from edgeprune.schedule.federated.masking import Masking
from edgeprune.schedule.federated.pool import channel_pool, weight_pool
from edgeprune.schedule.federated.server import Server
from edgeprune.schedule.federated.settings import Federation
from edgeprune.schedule.federated.split import dirichlet_split
from edgeprune.schedule.masked_network import MaskedNetwork, Property, exact_total, silent
from edgeprune.schedule.masks import Alive
from edgeprune.score import score
from edgeprune.sources.data import is_loader, labels_of

_SCORES = ("l1", "l2", "bn-scale")  # a server without data can only look at weights


@dataclass(frozen=True)
class FedTiny(Federation):
    """Clients vote which channels stay, of the widths that the search found, train them, and exchange a few by the
    slopes of gates on masked channels. All of the recipe's epochs are federated: nothing is trained on all images.
    """

    needs_classes = True
    alone = True

    def check(self, length: Length) -> None:
        """Raise UsageError without any training, and where a mask would never change."""
        _check(self, length)

    def __call__(self, work: Work) -> Start:
        """Vote, train, remove what is masked."""
        masking = Masking(work.coupling, tuple(work.kept))
        scores = {name: score(name, work.dense, work.coupling, []) for name in _SCORES}
        pool = channel_pool(work.coupling, work.counts, scores, self.candidates, work.seed)
        network, server, history, facts = federated(self, work, masking, pool)
        strengths = masking.strengths(server.state, server.alive)
        ranks = {n: server.alive[n].double() * 2 + s / s.max().clamp_min(1e-30) for n, s in strengths.items()}
        slim, widths = work.remove(network, work.coupling.select(ranks, work.counts))
        return Start(slim, widths, history, facts)


@dataclass(frozen=True)
class MaskedFedTiny(Federation):
    """The paper's own: single weights, candidates that differ in the density of their layers."""

    density: float = 0.1
    needs_classes = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.density <= 1:
            raise UsageError(f"density {self.density:g}", "give a share in (0, 1], such as 10%")

    def check(self, length: Length) -> None:
        """Raise UsageError without any training, and where a mask would never change."""
        _check(self, length)

    def __call__(self, work: Work) -> MaskedNetwork:
        """Vote, train, and leave the masked weights at 0."""
        masking = Masking()
        masks = masking.masks(work.dense)
        pool = weight_pool(
            masking.strengths(work.dense.state_dict(), masks.alive), self.density, self.candidates, work.seed
        )
        network, server, history, facts = federated(self, work, masking, pool)
        constant = {round(value, 9) for value in server.densities}
        promised = (
            silent(network, server.alive),
            exact_total(server.alive, self.density),
            Property("adjustments keep the number of weights", len(constant) <= 1, f"{len(server.densities)} times"),
        )
        return MaskedNetwork(network, server.alive, history, promised, facts)


def federated(
    settings: Federation, work: Work, masking: Masking, pool: list[tuple[str, Alive]]
) -> tuple[nn.Module, Server, tuple[Epoch, ...], dict[str, Any]]:
    """The network that server and clients made, the server, one entry of history an epoch, and what happened."""
    sites = clients(settings, work, masking)
    rounds, epochs = settings.rounds(work.training.epochs), work.training.epochs
    network = copy.deepcopy(work.dense)
    history: list[Epoch] = []
    with carried(settings, sites, work.note) as (carrier, name):
        server = Server(work.dense, masking, carrier, settings, work.training.lr, work.seed, work.note)
        chosen = server.choose(pool)

        def after(number: int, loss: float) -> None:
            if work.on_step is not None:
                work.on_step(number, rounds, loss)
            while len(history) < epochs and number >= ceil((len(history) + 1) * rounds / epochs):
                metrics = work.task.evaluate(masked(network, server), work.val)
                history.append(Epoch(len(history) + 1, loss, metrics))
                if work.on_epoch is not None:
                    work.on_epoch(len(history), epochs, metrics, max(e.metrics[work.task.primary] for e in history))

        server.train(rounds, after)
    masked(network, server)
    while len(history) < epochs:  # the last rounds were lost
        history.append(Epoch(len(history) + 1, 0.0, work.task.evaluate(network, work.val)))
    facts = {
        "carrier": name, "rounds": rounds, "candidate": chosen, "votes": server.votes,
        "adjustments": len(server.densities), "images_of_clients": [len(site.indices) for site in sites],
        **server.ledger.facts(),
    }  # fmt: skip
    return network, server, tuple(history), facts


def masked(network: nn.Module, server: Server) -> nn.Module:
    """The network with the server's weights, under its masks, in eval mode."""
    network.load_state_dict(server.masked_state())
    if server.masking.coupling is not None:
        masks = server.masking.masks(network)
        masks.apply(server.alive)
    return network.eval()


def clients(settings: Federation, work: Work, masking: Masking) -> list[Client]:
    """The training images, shared out."""
    labels = None if is_loader(work.data.train) else labels_of(work.data.train)
    if labels is None:
        raise UsageError("fedtiny shares images out by class, and these have no class labels", "use another recipe")
    parts = dirichlet_split(labels, settings.clients, settings.concentration, work.seed)
    return [
        Client(number, work.dense, masking, work.data.train, part, work.task, work.batch_size, work.seed)
        for number, part in enumerate(parts)
    ]


@contextmanager
def carried(settings: Federation, sites: list[Client], note: Callable[[str], None]) -> Iterator[tuple[Carrier, str]]:
    """The carrier that was asked for, and its name."""
    if settings.carrier == "in-turn" or (settings.carrier == "auto" and not installed()):
        if settings.carrier == "auto":
            note("Flower is not installed here (`make federated`): the clients work in turn, in this process")
        yield InTurn(sites), "in turn, in one process"
        return
    with flower_clients(sites, note) as carrier:
        yield carrier, "Flower's simulation engine"


def _check(settings: Federation, length: Length) -> None:
    if settings.carrier == "flower":
        check_installed()
    if length.epochs < 1:
        raise UsageError("fedtiny trains at the clients, and there are 0 epochs", "give --epochs")
    last = int(settings.until * settings.rounds(length.epochs))
    if settings.every and last < settings.every:
        raise UsageError(
            f"masks change every {settings.every} rounds, and only in the first {last} of "
            f"{settings.rounds(length.epochs)}",
            "give more --epochs, or lower `every`",
        )
