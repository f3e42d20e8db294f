"""Converters: a torch module in, a file for phones out, and the proof that the file is that network.

Names are loaded when they are first used: importing this package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from converters.artifact import SUFFIXES, Artifact, Format, TensorSpec
    from converters.conversion import convert
    from converters.errors import ConversionError, ConverterError, InspectionError, MissingExtra, WriteError
    from converters.inspection import Inspection, check_smaller, inspect, same_layers_reduced
    from converters.options import Options
    from converters.parity import Parity

_HOMES = {
    "SUFFIXES": "artifact",
    "Artifact": "artifact",
    "ConversionError": "errors",
    "ConverterError": "errors",
    "Format": "artifact",
    "Inspection": "inspection",
    "InspectionError": "errors",
    "MissingExtra": "errors",
    "Options": "options",
    "Parity": "parity",
    "TensorSpec": "artifact",
    "WriteError": "errors",
    "check_smaller": "inspection",
    "convert": "conversion",
    "inspect": "inspection",
    "same_layers_reduced": "inspection",
}

__all__ = [
    "SUFFIXES",
    "Artifact",
    "ConversionError",
    "ConverterError",
    "Format",
    "Inspection",
    "InspectionError",
    "MissingExtra",
    "Options",
    "Parity",
    "TensorSpec",
    "WriteError",
    "check_smaller",
    "convert",
    "inspect",
    "same_layers_reduced",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'converters' has no attribute {name!r}")
    return getattr(importlib.import_module(f"converters.{_HOMES[name]}"), name)
