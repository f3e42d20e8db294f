"""From a choice on an axis (a name and settings) to the object that does it."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from edgeprune.errors import UsageError
from edgeprune.recipe import Choice
from edgeprune.sources.user_code import load_object


def make(choice: Choice, registry: Mapping[str, Callable[..., Any]]) -> Any:
    """The dataclass of that name (or file.py:NAME), made with the choice's settings.

    Raises UsageError for what is no dataclass, for a setting that it does not have or that is missing, and for a value
    that is of another type or that it refuses.
    """
    kind: Any = registry.get(choice.name) or load_object(choice.name)
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise UsageError(f"{choice.name} is not a dataclass", "its fields are its settings: see docs/add-a-method.md")
    own = {field.name: field for field in fields(kind) if field.init}
    has = f"it takes: {', '.join(own) or 'no settings'}"
    for key in choice.settings:
        if key not in own:
            raise UsageError(f"{choice.name} has no setting {key!r}", has)
    for key, field in own.items():
        if key not in choice.settings and field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{choice.name} needs the setting {key!r}", has)
    types = get_type_hints(kind)
    return kind(**{key: _read(choice.name, key, types[key], value) for key, value in choice.settings.items()})


def _read(name: str, key: str, kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise UsageError(
            f"{name}: {key} is {value!r}: {error.errors()[0]['msg']}", "correct it in the recipe"
        ) from error
