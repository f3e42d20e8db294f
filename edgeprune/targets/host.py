"""This machine as a target."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version

import profilers.host as host
from converters.artifact import Artifact
from edgeprune.errors import EnvironmentProblem
from edgeprune.targets.kept import keep
from edgeprune.targets.target import Bench, OnProgress
from profilers import device
from profilers.host.layer_probe import LayerProber
from profilers.measurement import Kind, Measurement, Ratio, Window
from profilers.protocol import FULL, Protocol
from profilers.store import LayerCosts, Store


class HostTarget:
    """Measures with `profilers.host`."""

    name = "this machine"
    kind: Kind = "measured"
    trips = None
    width = 1
    notes = ()

    def __init__(self, threads: int, protocol: Protocol = FULL) -> None:
        self._threads, self._protocol = threads, protocol

    def fingerprint(self) -> str:
        """This machine's."""
        return device.fingerprint()

    def measure(
        self, artifacts: Mapping[str, Artifact], *, memory: bool = True, on_progress: OnProgress | None = None
    ) -> dict[str, Measurement]:
        """In fresh processes, interleaved."""
        measured = host.measure(
            dict(artifacts), threads=self._threads, protocol=self._protocol, memory=memory, on_progress=on_progress
        )
        kept = keep(self.fingerprint(), [(artifacts[name], found) for name, found in measured.items()])
        return dict(zip(measured, kept, strict=True))

    def compare(
        self, reference: Artifact, candidate: Artifact, *, on_progress: OnProgress | None = None
    ) -> tuple[Measurement, Measurement, Ratio]:
        """In fresh processes, interleaved."""
        one, other, ratio = host.compare(
            reference, candidate, threads=self._threads, protocol=self._protocol, on_progress=on_progress
        )
        one, other = keep(self.fingerprint(), [(reference, one), (candidate, other)])
        return one, other, ratio

    def sustain(self, artifact: Artifact, seconds: float) -> Iterator[Window]:
        """One process, windows of at most 5 s."""
        return host.sustain(artifact, seconds, threads=self._threads)

    def bench(self, reference: Artifact) -> AbstractContextManager[Bench]:
        """One process keeps the reference."""
        return host.HostBench(reference, threads=self._threads)

    def prober(self) -> LayerProber:
        """All layers in one process."""
        return LayerProber(threads=self._threads)

    def layer_costs(self, store: Store) -> LayerCosts:
        """By fingerprint and LiteRT's version. Raises EnvironmentProblem without LiteRT."""
        try:
            installed = version("ai-edge-litert")
        except PackageNotFoundError as error:
            raise EnvironmentProblem(
                "The cost table is measured with LiteRT, which is not installed.",
                'Install it with: pip install "edgeprune[litert]"',
            ) from error
        return store.layer_costs(self.fingerprint(), "litert", installed, self._threads)
