"""PERP: after pruning only a small part of the network is trained (Zimmer et al.; methods.md section 9)."""

from dataclasses import dataclass, replace

from torch import nn

from edgeprune.errors import UsageError
from edgeprune.recover import low_rank
from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.ladder import RUNGS, climbed
from edgeprune.recover.layerwise import reconstruct_layers
from edgeprune.recover.work import Length, Work
from edgeprune.sources.batches import calibration_batches

_IMAGES, _BATCH = 128, 32  # the paper reconstructs on 128 sequences


@dataclass(frozen=True)
class Perp:
    """`rung`: statistics, norms, head, biases, lora or full; each trains what those before it train.

    `adapter` (lora, lora-prune, mask, scale), `rank` and `strength` (the paper's alpha) are those of the rung lora.
    `layerwise`: steps of layer-wise reconstruction of the rung's parameters on 128 training images, before training.
    """

    rung: str = "lora"
    adapter: str = "lora"
    rank: int = low_rank.RANK
    strength: float = low_rank.ALPHA
    layerwise: int = 0

    def __post_init__(self) -> None:
        if self.rung not in RUNGS:
            raise UsageError(f"unknown rung {self.rung!r} of the ladder", f"use {', '.join(RUNGS)}")
        if self.adapter not in low_rank.VARIANTS:
            raise UsageError(f"unknown adapter {self.adapter!r}", f"use {', '.join(low_rank.VARIANTS)}")
        if self.rank < 1 or self.layerwise < 0:
            raise UsageError(f"rank {self.rank}, layerwise {self.layerwise}", "rank is 1 or more, layerwise 0 or more")

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Train the rung of `network`, in place; a rung without parameters is not trained."""
        work.reestimate(network)
        inputs = [x for x, _ in calibration_batches(work.data, _IMAGES, _BATCH, work.seed)]
        with climbed(
            network, self.rung, inputs[0], variant=self.adapter, rank=self.rank, alpha=self.strength, seed=work.seed
        ) as rung:
            work.note(str(rung))
            if self.layerwise and rung.trained:
                repaired = reconstruct_layers(work.dense, network, work.widths, inputs, steps=self.layerwise)
                work.note(f"{sum(r.after < r.before for r in repaired)} of {len(repaired)} layers reconstructed better")
            outcome = work.finetune(network) if rung.trained else work.finetune(network, epochs=0)
        facts = {"rung": rung.name, "trained_parameters": rung.trained, "trained_share": rung.share}
        return replace(outcome, facts={**outcome.facts, **facts})
