"""Core ML on this Mac as a target."""

import platform

from edgeprune.errors import EnvironmentProblem
from edgeprune.targets.host import HostTarget
from profilers.apple.core_ml import core_ml
from profilers.protocol import FULL, Protocol


class MacTarget(HostTarget):
    """Measures Core ML packages with `profilers.host`: fresh processes, each with coremltools.

    Single layers are measured with LiteRT on this machine; candidates timed with Core ML correct what that predicts.
    Raises EnvironmentProblem off macOS, RuntimeNotInstalled without coremltools.
    """

    def __init__(self, protocol: Protocol = FULL) -> None:
        check_mac()
        super().__init__(threads=1, protocol=protocol)


def check_mac() -> None:
    """Raise EnvironmentProblem off macOS, RuntimeNotInstalled without coremltools."""
    if platform.system() != "Darwin":
        raise EnvironmentProblem(
            f"Core ML runs on macOS only, and this is {platform.system()}.",
            "Use --target ios --macs 50%: a Core ML package with a static report.",
        )
    core_ml()
