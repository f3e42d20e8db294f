"""`result.json`: the schema of what a run found. Documented in docs/result-schema.md, versioned by `schema_version`.

Fractions (accuracy, ratios) are in [0, 1]. A number that was not measured is null, never a proxy.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

SCHEMA_VERSION = "1.3"


class Schema(BaseModel):
    """Unknown fields are refused: a file of another version is not read by half."""

    model_config = ConfigDict(extra="forbid")


class LatencyStats(Schema):
    """Latency of one file in one fresh process, ms."""

    median: float
    p10: float
    p90: float
    n: int
    ci95: tuple[float, float]
    p90_ci95: tuple[float, float] | None = None


class Network(Schema):
    """The dense or the pruned network: what it knows, what it costs. Accuracy is on `Data.final_split`."""

    accuracy: float | None
    balanced_accuracy: float | None
    macro_f1: float | None
    per_class_recall: list[float | None] | None
    metrics: dict[str, float]
    val_metrics: dict[str, float]
    macs: int
    params: int
    size_bytes: int
    latency_ms: LatencyStats | None
    peak_memory_mib: float | None
    confusion: list[list[int]] | None = None


class DataInfo(Schema):
    """The data of the run; `final_split` is the split the final figures come from ("test", read once, or "val")."""

    name: str
    sizes: dict[str, int]
    class_names: list[str] | None
    input_shape: list[int]
    mean: list[float] | None
    std: list[float] | None
    long_tail: float | None
    final_split: str


class Requirement(Schema):
    """One limit of the budget: asked, resolved, reached. `source` tells how `achieved` was got.

    `ratio` is achieved / dense; for latency it is the paired A-B-B-A ratio, with its 95 % interval. `used` is the share
    of the limit that decides `met`: for latency at the upper end of the interval.
    """

    kind: Literal["latency", "memory", "file_size", "macs", "class_recall"]
    asked: str
    limit: float
    achieved: float | None
    unit: str
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    used: float | None
    source: Literal["measured", "emulated", "counted", "evaluated", "not measured"]
    met: bool | None
    note: str
    device: str | None = None


class BudgetOutcome(Schema):
    """All limits of the run."""

    text: str
    requirements: list[Requirement]


class GroupNote(Schema):
    """A channel group that was pruned, left alone (frozen) or given another width than asked (clamped), and why."""

    name: str
    dense: int
    kept: int
    reason: str


class Groups(Schema):
    """What happened to every channel group."""

    pruned: list[GroupNote]
    frozen: list[GroupNote]
    clamped: list[GroupNote]


class ParityResult(Schema):
    """A file's outputs against torch on real inputs. `max_rel_error` = max error / max |out|."""

    max_rel_error: float
    inputs: int
    compared: Literal["outputs", "interpreted", "weights"]
    agreement: float | None = None
    snr_db: float | None = None


class ArtifactResult(Schema):
    """A file that was written, relative to the run directory."""

    network: Literal["dense", "pruned"]
    format: str
    path: str
    sha256: str
    size_bytes: int
    precision: str
    parity: ParityResult
    delegated_share: float | None
    transposes: int | None
    versions: dict[str, str]


class Twin(Schema):
    """One network in two number formats, both files of the run's runtime: float32 and the one the run ships.

    Metrics and latency of the shipped file are its own, run in that runtime; null where it cannot run here.
    """

    precision: str
    float_latency_ms: LatencyStats | None
    latency_ms: LatencyStats | None
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    float_size_bytes: int
    size_bytes: int
    float_val_metrics: dict[str, float]
    val_metrics: dict[str, float] | None
    float_metrics: dict[str, float] = {}
    metrics: dict[str, float] | None = None


class Quantization(Schema):
    """What the number format of `--quantize` costs and gains against float32; `note` says it in words."""

    quantize: Literal["fp16", "int8"]
    calibration_images: int | None
    dense: Twin
    pruned: Twin | None
    note: str


class SearchRound(Schema):
    """One candidate of the closed loop: what the cost model predicted and what the clock said."""

    predicted_ms: float | None
    measured_ms: float | None
    measured_ratio: float | None
    macs: int
    loss: float | None
    widths: dict[str, int]


class LayerCost(Schema):
    """One layer's time in the dense network and in the chosen one, both predicted by the cost model, ms."""

    name: str
    op: str
    dense_channels: tuple[int, int]
    channels: tuple[int, int]
    dense_ms: float
    predicted_ms: float


class SearchSummary(Schema):
    """The search for the widths."""

    allocate: str
    score: str
    multiple: int
    rounds: list[SearchRound]
    candidates_measured: int
    seconds: float
    floor_ms: float | None
    floor_kind: Literal["measured", "predicted"] | None = None
    reason: str
    layers: list[LayerCost] = []


class Processes(Schema):
    """Who trained: `devices` processes on each of `nodes` machines."""

    devices: int = 1
    nodes: int = 1
    world_size: int = 1
    accelerator: str
    precision: Literal["32", "bf16", "16"] = "32"
    restarts: int = 0


class Recovery(Schema):
    """How accuracy was won back: val's primary metric at each step (`epochs` holds one entry an epoch)."""

    schedule: str
    epochs: list[dict[str, float]]
    before: dict[str, float]
    after_bn: dict[str, float]
    after: dict[str, float]
    seconds: float
    facts: dict[str, Any] = {}
    processes: Processes | None = None


class Control(Schema):
    """The same widths, trained another way: `metrics` are those of the final split."""

    name: str
    epochs: int
    val_metrics: dict[str, float]
    metrics: dict[str, float]
    seconds: float
    processes: Processes | None = None


class Result(Schema):
    """One run of `edgeprune optimize`."""

    schema_version: str = SCHEMA_VERSION
    edgeprune_version: str
    command: str
    started: str
    seconds: float
    seed: int
    recipe: str
    model: str
    primary_metric: str
    data: DataInfo
    target: str
    runtime: str
    threads: int
    budget: BudgetOutcome
    met: bool
    outcome: str
    dense: Network
    pruned: Network
    widths: dict[str, dict[str, int]]
    groups: Groups
    proof: dict[str, float | None]
    artifacts: list[ArtifactResult]
    search: SearchSummary
    recovery: Recovery | None
    warnings: list[str]
    versions: dict[str, str]
    device: dict[str, Any]
    conditions: dict[str, Any]
    quantization: Quantization | None = None
    controls: list[Control] = []

    _module: Any = PrivateAttr(default=None)
    _path: Path | None = PrivateAttr(default=None)

    def with_network(self, module: Any, path: Path) -> "Result":
        """This result, knowing its network and its run directory."""
        self._module, self._path = module, path
        return self

    @property
    def module(self) -> Any:
        """The pruned network (torch.nn.Module, eval mode); None for a result read from a file: see `edgeprune.load`."""
        return self._module

    @property
    def path(self) -> Path | None:
        """The run directory; None for a result read from a file."""
        return self._path

    def __str__(self) -> str:
        """The table that the command line shows."""
        from edgeprune.report.terminal import as_text

        return as_text(self)
