"""Errors of the graph package that a user can act on."""

from edgeprune.errors import UsageError


class TraceError(UsageError):
    """The model cannot be exported, so it could not be deployed either: names the operation and the user's line."""


class SurgeryError(UsageError):
    """A set of kept channels does not give a network, or a widths file does not fit the model."""


class ProofError(UsageError):
    """No part of the requested surgery could be proved to compute what the masked dense network computes."""
