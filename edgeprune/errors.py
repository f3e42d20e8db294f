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
