"""Errors of the converters that a user can act on: what happened, what was found, what to do."""


class ConverterError(Exception):
    """Base of all errors of this package.

    `message` says what happened and what was found; `cure` says what to do about it.
    """

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class ConversionError(ConverterError):
    """The network cannot be expressed in the format. `op` and `module_path` name the culprit where it is known."""

    def __init__(self, message: str, cure: str = "", *, op: str | None = None, module_path: str | None = None) -> None:
        super().__init__(message, cure)
        self.op = op
        self.module_path = module_path


class MissingExtra(ConverterError):
    """The libraries of a format are not installed."""


class WriteError(ConverterError):
    """The file cannot be written: no permission, no space, no such place. Nothing half-written is left behind."""


class InspectionError(ConverterError):
    """The file is not what its format says, or is damaged."""


class NotInterpreted(InspectionError):
    """A Core ML program holds what the reference interpreter does not know. The file may well be right."""
