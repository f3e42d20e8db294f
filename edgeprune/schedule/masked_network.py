"""What a masked form makes: a network of the dense one's shape with weights that are 0, and what its paper promises."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from edgeprune.recover.finetune import Epoch
from edgeprune.recover.work import Length, Work
from edgeprune.schedule.masks import Alive
from edgeprune.score.group import parameters_of


@dataclass(frozen=True)
class Property:
    """Something that a method's paper promises of its masks: whether it holds here, and what was found."""

    what: str
    holds: bool
    found: str


@dataclass(frozen=True)
class MaskedNetwork:
    """`alive`: weight name -> bool mask; all other weights of these names are 0. `facts` (JSON): what was seen."""

    network: nn.Module
    alive: Alive
    history: tuple[Epoch, ...]
    properties: tuple[Property, ...]
    facts: dict[str, Any] = field(default_factory=dict)


class MaskedForm(Protocol):
    """A frozen dataclass: its fields are its settings."""

    def check(self, length: Length) -> None:
        """Raise UsageError for a training that it does not fit into."""
        ...

    def __call__(self, work: Work) -> MaskedNetwork:
        """Mask and train a copy of the dense network."""
        ...


def density(alive: Alive) -> float:
    """Share of the weights that are alive."""
    return total(alive) / sum(mask.numel() for mask in alive.values())


def total(alive: Alive) -> int:
    """Weights that are alive."""
    return sum(int(mask.sum()) for mask in alive.values())


def silent(network: nn.Module, alive: Alive) -> Property:
    """Whether every masked weight is 0 in the network."""
    parameters = parameters_of(network)
    acting = sum(int((parameters[name].detach().cpu()[~mask.cpu()] != 0).sum()) for name, mask in alive.items())
    return Property("masked weights are 0 after the training", acting == 0, f"{acting} are not")


def exact_total(alive: Alive, wanted: float) -> Property:
    """Whether the whole network has exactly the density that was asked for."""
    count, size = total(alive), sum(mask.numel() for mask in alive.values())
    return Property(
        f"density {wanted:g} of the whole network, to one weight", count == round(wanted * size), f"{count} of {size}"
    )


def exact_layers(alive: Alive, wanted: float) -> Property:
    """Whether every layer has exactly the density that was asked for."""
    wrong = [n for n, mask in alive.items() if int(mask.sum()) != mask.numel() - round((1 - wanted) * mask.numel())]
    return Property(f"density {wanted:g} of every layer, to one weight", not wrong, ", ".join(wrong) or "all layers")


def kept_minimum(alive: Alive, percent: float) -> Property:
    """Whether every layer keeps the minimum number of weights (or all, where it has fewer)."""
    least = int(sum(mask.numel() for mask in alive.values()) * percent / 100)
    smallest = min(int(mask.sum()) for mask in alive.values())
    return Property(
        f"every layer keeps {least} weights ({percent:g} % of all), or is dense",
        all(int(mask.sum()) >= min(least, mask.numel()) for mask in alive.values()),
        f"the fewest are {smallest}",
    )
