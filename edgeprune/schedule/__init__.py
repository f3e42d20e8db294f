"""When a network is pruned: before, during or after training. A registry of schedules by name."""

from collections.abc import Callable
from typing import Any

from edgeprune.schedule.at_init import AtInit
from edgeprune.schedule.fedtiny import FedTiny
from edgeprune.schedule.gradual import Gradual, GraNet
from edgeprune.schedule.mask_sparsity import MaskSparsity
from edgeprune.schedule.one_shot import OneShot
from edgeprune.schedule.sap import SAP

# A schedule is a frozen dataclass (its fields are its settings) with `check(length)`, which raises UsageError before
# any work, and `__call__(work)`, which makes the slim network: a Start.
SCHEDULES: dict[str, Callable[..., Any]] = {
    "one_shot": OneShot,
    "at_init": AtInit,
    "gradual": Gradual,
    "granet": GraNet,
    "sap": SAP,
    "mask-sparsity": MaskSparsity,
    "fedtiny": FedTiny,
}

__all__ = ["SCHEDULES"]
