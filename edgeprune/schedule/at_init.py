"""Pruning at initialisation: only the widths are inherited, training starts from fresh weights."""

from dataclasses import dataclass

from edgeprune.recover.scratch import reinitialise
from edgeprune.recover.work import Length, Start, Work


@dataclass(frozen=True)
class AtInit:
    """Surgery, then all weights drawn anew (PreCropping, step D)."""

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work) -> Start:
        """The slim network with fresh weights."""
        network = work.widths.apply(work.dense)
        untouched = reinitialise(network, work.seed)
        return Start(network, work.widths, facts={"not_drawn_anew": list(untouched)} if untouched else {})
