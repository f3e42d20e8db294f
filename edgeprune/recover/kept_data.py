"""Data pruning with distillation: fine-tuning on a kept fraction of the images (arXiv 2403.07854; methods.md 5)."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from edgeprune.errors import UsageError
from edgeprune.recover.difficulty import SCORES, difficulty
from edgeprune.recover.finetune import FinetuneResult
from edgeprune.recover.work import Length, Work
from edgeprune.sources.batches import Loader
from edgeprune.sources.data import is_loader, labels_of
from edgeprune.sources.subset import keep


@dataclass(frozen=True)
class KeptData:
    """`fraction` of the training images, chosen by `by`: random, el2n, grand or forgetting (the hardest stay).

    `stratified`: each class keeps its fraction; `floor`: and at least so many images. `nets` fresh networks are trained
    for `score_epochs` to score images (the papers take 10 nets and 10 to 20 epochs). `equal`: the training has as many
    "epochs" over fewer images, or as many "iterations" as it would have with all of them.
    """

    fraction: float = 0.5
    by: str = "random"
    stratified: bool = True
    floor: int = 10
    nets: int = 10
    score_epochs: int = 10
    equal: Literal["epochs", "iterations"] = "epochs"

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise UsageError(f"a kept fraction of {self.fraction:g}", "give a number in (0, 1]; 0.5 keeps half")
        if self.by not in SCORES:
            raise UsageError(f"unknown score {self.by!r} of images", f"use {', '.join(SCORES)}")
        if self.equal not in ("epochs", "iterations"):
            raise UsageError(f"equal: {self.equal!r}", "use epochs or iterations")
        if self.floor < 0 or self.nets < 1 or self.score_epochs < 1:
            raise UsageError(
                f"floor {self.floor}, nets {self.nets}, score_epochs {self.score_epochs}",
                "floor is 0 or more, the others 1 or more",
            )

    @property
    def needs_classes(self) -> bool:
        """Class labels are needed, which is told before any work."""
        return True

    def check(self, length: Length) -> None:
        """Any length of training will do."""

    def __call__(self, work: Work, network: nn.Module) -> FinetuneResult:
        """Train `network` in place on the kept images. Raises UsageError without labels of classes."""
        train = work.data.train
        labels = None if is_loader(train) else labels_of(train)
        if labels is None:
            raise UsageError("data pruning needs the class of every training image", "give datasets with class labels")
        scores = None
        if self.by != "random":
            scores = difficulty(
                self.by, work.dense, train, epochs=self.score_epochs, nets=self.nets, seed=work.seed, note=work.note
            )
            scores = work.engine.same({"scores": scores})["scores"]
        kept = keep(labels, self.fraction, scores, seed=work.seed, floor=self.floor, stratified=self.stratified)
        work.note(f"{len(kept)} of {len(labels)} training images kept, chosen by {self.by}")
        work.reestimate(network)
        loader = Loader(
            subset(train, kept), work.batch_size, shuffle=True, augmentation=work.data.augmentation, drop_last=True,
            seed=work.seed,
        )  # fmt: skip
        epochs = work.training.epochs
        if self.equal == "iterations":
            epochs = round(epochs / self.fraction)
        outcome = work.finetune(network, train_loader=loader, epochs=epochs)
        facts = {"images_kept": len(kept), "images": len(labels), "chosen_by": self.by, "trained_epochs": epochs}
        return replace(outcome, facts={**outcome.facts, **facts})


def subset(dataset: Any, indices: torch.Tensor) -> Any:
    """The items of a dataset at the indices."""
    if isinstance(dataset, TensorDataset):
        return TensorDataset(*(tensor[indices] for tensor in dataset.tensors))
    return Subset(dataset, indices.tolist())
