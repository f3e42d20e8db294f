"""One-shot pruning: the pruned network starts from the trained weights it inherited."""

from dataclasses import dataclass

from edgeprune.recover.work import Length, Start, Work


@dataclass(frozen=True)
class OneShot:
    """Surgery on the trained network, nothing else."""

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work) -> Start:
        """The slim network with inherited weights."""
        return Start(work.widths.apply(work.dense), work.widths)
