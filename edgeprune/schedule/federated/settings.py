"""The settings of a federation: how many clients, how unlike their data, and how often masks change."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from edgeprune.errors import UsageError


@dataclass(frozen=True)
class Federation:
    """In the authors' code: 100 clients, 10 a round, 5 local epochs, 500 rounds, an adjustment every 10 of the first
    300 rounds. Here fewer of each, since trainings are shorter; concentration 0.5, alpha 0.2 as there.

    `blocks`: parts into which the layers are divided, from the last to the first; one is adjusted at a time.
    `candidates`: how many there are to vote on. `selection`: adaptive (votes with everybody's batch-norm statistics),
    vanilla (with the server's own: the paper's comparison), or none (the server takes the first).
    `carrier`: "flower", "in-turn" (this process), or "auto": Flower where it is installed.
    """

    clients: int = 10
    per_round: int = 5
    local_epochs: int = 1
    concentration: float = 0.5
    candidates: int = 6
    selection: Literal["adaptive", "vanilla", "none"] = "adaptive"
    every: int = 2
    until: float = 0.6
    alpha: float = 0.2
    blocks: int = 5
    carrier: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.per_round <= self.clients or self.local_epochs < 1 or self.candidates < 1:
            raise UsageError(
                f"clients {self.clients}, per_round {self.per_round}, local_epochs {self.local_epochs}, "
                f"candidates {self.candidates}",
                "1 <= per_round <= clients; local_epochs and candidates are 1 or more",
            )
        if self.every < 0 or not 0 < self.until <= 1 or not 0 <= self.alpha <= 1 or self.blocks < 1:
            raise UsageError(
                f"every {self.every}, until {self.until:g}, alpha {self.alpha:g}, blocks {self.blocks}",
                "every >= 0 (0: masks never change); 0 < until <= 1; 0 <= alpha <= 1; blocks >= 1",
            )
        if self.concentration <= 0 or self.carrier not in ("auto", "flower", "in-turn"):
            raise UsageError(
                f"concentration {self.concentration:g}, carrier {self.carrier!r}",
                "concentration is positive; carrier is auto, flower or in-turn",
            )

    def rounds(self, epochs: int) -> int:
        """As many as pass that often over all clients' images."""
        return ceil(epochs * self.clients / (self.per_round * self.local_epochs))
