"""`--quantize`: what it means for each format, and the images that int8 is calibrated on."""

from converters.options import Options
from edgeprune.pipeline.job import Job
from edgeprune.sources.samples import Inputs, calibration_inputs

CALIBRATION_IMAGES = 256
CANDIDATE_IMAGES = 32  # a candidate is timed, not shipped: its scales have to be there, not exact

_WEIGHT_BYTES = {"none": 4.0, "fp16": 2.0, "int8": 1.0}


def calibration(job: Job, count: int = CALIBRATION_IMAGES) -> list[Inputs]:
    """Training images (or those of `--calibration`), each with batch size 1; none where the run needs none."""
    if job.config.quantize != "int8":
        return []
    return calibration_inputs(job.calibration or job.data, count, job.config.seed)


def options(job: Job, inputs: list[Inputs]) -> Options:
    """How the run's files are made: calibrated on `inputs` where that takes any."""
    return Options(quantize=job.config.quantize, calibration=inputs if job.config.quantize == "int8" else ())


def file_shrinkage(job: Job) -> float:
    """How many bytes of a float32 file stand for one of the run's file, as far as weights go.

    The cost models of file size and memory count float32: a limit is multiplied by this before it is given to them.
    ExecuTorch keeps the weights of a float16 file in float32.
    """
    if job.config.quantize == "fp16" and job.config.runtime == "executorch" and job.config.target != "ios":
        return 1.0
    return _WEIGHT_BYTES["none"] / _WEIGHT_BYTES[job.config.quantize]


def memory_shrinkage(job: Job) -> float:
    """The same for memory, activations included: runtimes compute float16 files in float32."""
    return 4.0 if job.config.quantize == "int8" else 1.0
