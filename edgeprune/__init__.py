"""EdgePrune: a trained CNN and a latency budget in; the most accurate slimmer network measured to meet it out.

Names are loaded when they are first used: importing this package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprune.api import load, optimize, prune
    from edgeprune.config import Budget, Config
    from edgeprune.errors import EdgePruneError
    from edgeprune.graph import Widths
    from edgeprune.recipe import Recipe
    from edgeprune.result import Result
    from edgeprune.task import Task

_HOMES = {
    "Budget": "config",
    "Config": "config",
    "EdgePruneError": "errors",
    "Recipe": "recipe",
    "Result": "result",
    "Task": "task",
    "Widths": "graph",
    "load": "api",
    "optimize": "api",
    "prune": "api",
}

__all__ = [
    "Budget",
    "Config",
    "EdgePruneError",
    "Recipe",
    "Result",
    "Task",
    "Widths",
    "load",
    "optimize",
    "prune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeprune' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgeprune.{_HOMES[name]}"), name)
