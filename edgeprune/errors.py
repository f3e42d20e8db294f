"""Errors a user can act on. Each says what happened, what was found and what to do, and carries its exit code.

Exit codes (docs/reference.md): 0 done, 1 our bug, 2 usage, 3 environment, 4 budget not met, 5 device, 6 parity failed.
"""


class EdgePruneError(Exception):
    """Base of all errors that a user can act on.

    `message` says what happened and what was found; `cure` says what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class UsageError(EdgePruneError):
    """The request cannot be understood or does not fit the model or the data (exit code 2)."""

    exit_code = 2


class EnvironmentProblem(EdgePruneError):
    """Something on this machine is missing, full or read-only (exit code 3)."""

    exit_code = 3


class BudgetNotMet(EdgePruneError):
    """No network that was found meets the budget (exit code 4)."""

    exit_code = 4


class DeviceError(EdgePruneError):
    """No phone, several phones and no choice, or a phone that went away (exit code 5)."""

    exit_code = 5


class ParityError(EdgePruneError):
    """A converted file does not compute what the model computes (exit code 6)."""

    exit_code = 6


# The other packages have errors of their own: (package, class name) -> exit code.
_FOREIGN = {
    ("converters", "ConversionError"): 2,
    ("converters", "InspectionError"): 2,
    ("converters", "MissingExtra"): 3,
    ("converters", "WriteError"): 3,
    ("profilers", "DeviceError"): 5,
    ("profilers", "FarmError"): 3,
    ("profilers", "MeasurementError"): 5,
    ("profilers", "RuntimeNotInstalled"): 3,
    ("profilers", "StoreError"): 3,
}


def explain(error: BaseException) -> EdgePruneError | None:
    """The error as one with message, cure and exit code; None if it is a bug of ours (exit code 1).

    Errors of `converters`, `profilers` and `edgeprune.graph` carry a message and a cure but know no exit codes; the
    nearest class that the table names decides, a graph error counts as usage.
    """
    if isinstance(error, EdgePruneError):
        return error
    if not hasattr(error, "message") or not hasattr(error, "cure"):
        return None
    for kind in type(error).__mro__:
        package = kind.__module__.split(".")[0]
        code = 2 if kind.__module__.startswith("edgeprune.graph") else _FOREIGN.get((package, kind.__name__))
        if code is not None:
            known = EdgePruneError(str(error.message), str(error.cure))
            known.exit_code = code
            return known
    return None
