"""The files that candidates are timed by: the dense LiteRT file reshaped, in milliseconds, else a conversion each."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

import converters
from converters.artifact import Artifact, sha256
from converters.options import Options
from edgeprune.graph import Coupling, prune
from edgeprune.pipeline.job import Job
from profilers.host.litert_reshape import NotReshapable, Reshaper


class CandidateFiles:
    """Writes files of given widths in the format of `dense`, the float32 file, by `options`.

    Latency depends on shapes, not on values: a float32 LiteRT file is reshaped. Where that is not possible, a candidate
    is built and converted; `reason` says why, or is None.
    """

    def __init__(self, job: Job, coupling: Coupling, dense: Artifact, options: Options) -> None:
        self._job, self._coupling, self._dense, self._options = job, coupling, dense, options
        self._reshaper: Reshaper | None = None
        self.reason: str | None = None
        if dense.format != "litert" or options.quantize != "none":
            kind = dense.format if options.quantize == "none" else options.quantize
            self.reason = f"{kind} files are not reshaped"
            return
        parameters = {name: tensor.detach().numpy() for name, tensor in job.model.named_parameters()}
        weights = {layer.name: parameters[layer.weight] for layer in coupling.layers if layer.weight in parameters}
        try:
            self._reshaper = Reshaper(dense.path.read_bytes(), weights)
        except NotReshapable as error:
            self._give_up(error)

    def make(self, counts: Mapping[str, int], kept: dict[str, Tensor], path: Path) -> Artifact:
        """The file of the network that keeps `kept`, `counts` units of each group, at `path`."""
        if self._reshaper is not None:
            layers, widths = self._coupling.layers, dict(counts)
            outputs = {layer.name: self._coupling.channels(layer, widths)[1] for layer in layers}
            try:
                path.write_bytes(self._reshaper.file(outputs))
                size = path.stat().st_size
                return replace(self._dense, path=path, sha256=sha256(path), size_bytes=size)
            except NotReshapable as error:
                self._give_up(error)
        pruned, _ = prune(self._job.model, self._coupling, kept)
        return converters.convert(pruned, self._job.example_inputs, self._dense.format, path, self._options)

    def _give_up(self, error: NotReshapable) -> None:
        self._reshaper, self.reason = None, str(error)
        self._job.progress.note(f"candidates are converted one by one: {error}")
