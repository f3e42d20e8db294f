"""The files that candidates are timed by: the dense LiteRT file reshaped, in milliseconds, else a conversion each."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

import converters
from converters.artifact import Artifact, sha256
from converters.options import Options
from edgeprune.graph import Coupling, prune
from profilers.host.litert_reshape import NotReshapable, Reshaper


class CandidateFiles:
    """Writes files of given widths in the format of `dense`, the float32 file, by `options`.

    Latency depends on shapes, not on values: a float32 LiteRT file is reshaped. Where that is not possible, a candidate
    is built and converted, and `note` is told why.
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: tuple[Tensor, ...],
        coupling: Coupling,
        dense: Artifact,
        options: Options,
        note: Callable[[str], None],
    ) -> None:
        self._model, self._example, self._coupling = model, example_inputs, coupling
        self._dense, self._options, self._note = dense, options, note
        self._reshaper: Reshaper | None = None
        if dense.format != "litert" or options.quantize != "none":
            return
        parameters = {name: tensor.detach().numpy() for name, tensor in model.named_parameters()}
        weights = {layer.name: parameters[layer.weight] for layer in coupling.layers if layer.weight in parameters}
        try:
            self._reshaper = Reshaper(dense.path.read_bytes(), weights)
        except NotReshapable as error:
            self.distrust(str(error))

    @property
    def reshapes(self) -> bool:
        """Whether candidates are reshaped rather than converted."""
        return self._reshaper is not None

    def make(self, counts: Mapping[str, int], kept: Mapping[str, Tensor], path: Path) -> Artifact:
        """The file of the network that keeps `kept`, `counts` units of each group, at `path`."""
        if self._reshaper is not None:
            layers, widths = self._coupling.layers, dict(counts)
            outputs = {layer.name: self._coupling.channels(layer, widths)[1] for layer in layers}
            try:
                path.write_bytes(self._reshaper.file(outputs))
                return replace(self._dense, path=path, sha256=sha256(path), size_bytes=path.stat().st_size)
            except NotReshapable as error:
                self.distrust(str(error))
        pruned, _ = prune(self._model, self._coupling, dict(kept))
        return converters.convert(pruned, self._example, self._dense.format, path, self._options)

    def distrust(self, reason: str) -> None:
        """Convert every candidate from now on."""
        self._reshaper = None
        self._note(f"candidates are converted one by one: {reason}")
