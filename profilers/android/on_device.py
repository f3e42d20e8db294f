"""Does a file compute on the phone what it computes on this machine? One seeded input through both."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

from converters.artifact import Artifact
from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station
from profilers.android.turn import distrust
from profilers.errors import RuntimeNotInstalled
from profilers.runtimes import open_session, random_inputs

EXACT, ROUNDED = 1e-4, 0.05  # of the largest output: float32; formats in which the last bit may round otherwise


def difference(station: Station, artifact: Artifact) -> float | None:
    """Largest difference of an output over the largest output; None where the runner or this machine cannot tell.

    Raises DeviceError, MeasurementError.
    """
    runner = station.runner
    if not isinstance(runner, NativeRunner):
        return None
    try:
        with _runtimes_silent():
            session = open_session(artifact.path, artifact.format)
            inputs = random_inputs(session)
            expected = session.run(inputs)
    except RuntimeNotInstalled:
        return None
    with tempfile.TemporaryDirectory(prefix="edgeprune-outputs-") as made:
        folder = Path(made)
        files = [folder / f"in-{number}" for number in range(len(inputs))]
        for file, values in zip(files, inputs, strict=True):
            file.write_bytes(np.ascontiguousarray(values).tobytes())
        answers = station.again(lambda: runner.answer(artifact, files, folder))
        found = [np.frombuffer(a.read_bytes(), e.dtype) for a, e in zip(answers, expected, strict=True)]
    pairs = [
        (one.astype(np.float64), other.ravel().astype(np.float64)) for one, other in zip(found, expected, strict=True)
    ]
    if any(one.shape != other.shape or not np.isfinite(one).all() for one, other in pairs):
        raise distrust("outputs that are no numbers, or too few", artifact.path.name)
    largest = max(float(np.abs(other).max()) for _, other in pairs)
    return max(float(np.abs(one - other).max()) for one, other in pairs) / max(largest, 1e-12)


_SILENT = Lock()  # descriptor 2 is the whole process's


@contextmanager
def _runtimes_silent() -> Iterator[None]:
    """What the runtimes' own code writes to stderr goes nowhere."""
    with _SILENT, Path("/dev/null").open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def doubts(found: float | None, artifact: Artifact) -> tuple[str, ...]:
    """A flag in words if the outputs differ by more than rounding explains."""
    if found is None or found <= (EXACT if artifact.precision == "float32" else ROUNDED):
        return ()
    return (f"the phone computes something else than this machine: outputs differ by {found:.2%} of the largest",)
