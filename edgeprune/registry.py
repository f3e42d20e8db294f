"""From a choice on an axis (a name and settings) to the object that does it."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from edgeprune.errors import UsageError
from edgeprune.recipe import Choice
from edgeprune.sources.user_code import load_object


def make(choice: Choice, registry: Mapping[str, Callable[..., Any]]) -> Any:
    """The dataclass of that name (or file.py:NAME), made with the choice's settings.

    Raises UsageError for a setting that it does not have, and for a value that it refuses.
    """
    kind: Any = registry.get(choice.name) or load_object(choice.name)
    accepted = [field.name for field in fields(kind) if field.init]
    unknown = [key for key in choice.settings if key not in accepted]
    if unknown:
        has = f"it takes: {', '.join(accepted) or 'no settings'}"
        raise UsageError(f"{choice.name} has no setting {unknown[0]!r}", has)
    return kind(**choice.settings)
