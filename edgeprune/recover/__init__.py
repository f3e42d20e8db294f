"""How accuracy is won back after surgery: a registry of recoveries by name."""

from collections.abc import Callable
from typing import Any

from edgeprune.recover.bias import BiasCompensation
from edgeprune.recover.closed_form import ClosedForm
from edgeprune.recover.from_scratch import Scratch
from edgeprune.recover.kept_data import KeptData
from edgeprune.recover.perp import Perp
from edgeprune.recover.plain import Finetune

# A recovery is a frozen dataclass (its fields are its settings) with `check(length)`, which raises UsageError before
# any work, and `__call__(work, network)`, which trains the slim network in place and returns a FinetuneResult.
RECOVERIES: dict[str, Callable[..., Any]] = {
    "finetune": Finetune,
    "closed-form": ClosedForm,
    "perp": Perp,
    "bias": BiasCompensation,
    "kept-data": KeptData,
    "scratch": Scratch,
}

__all__ = ["RECOVERIES"]
