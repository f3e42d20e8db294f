"""Channel coupling: trace a network, find its channel groups, remove channels, prove the result."""

from edgeprune.graph.coupling import ChannelGroup, Coupling, ParamSlice
from edgeprune.graph.errors import ProofError, SurgeryError, TraceError
from edgeprune.graph.groups import find_groups
from edgeprune.graph.layers import AxisPart, Layer
from edgeprune.graph.proof import Proof, prove, prune_proved
from edgeprune.graph.protect import Protection, protect
from edgeprune.graph.surgery import kept_units, prune
from edgeprune.graph.trace import Trace, switched, trace
from edgeprune.graph.widths import Widths

__all__ = [
    "AxisPart",
    "ChannelGroup",
    "Coupling",
    "Layer",
    "ParamSlice",
    "Proof",
    "ProofError",
    "Protection",
    "SurgeryError",
    "Trace",
    "TraceError",
    "Widths",
    "find_groups",
    "kept_units",
    "protect",
    "prove",
    "prune",
    "prune_proved",
    "switched",
    "trace",
]
