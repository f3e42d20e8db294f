"""`result.json`: the schema of what a run found. Documented in docs/result-schema.md, versioned by `schema_version`.

Fractions (accuracy, ratios) are in [0, 1]. A number that was not measured is null, never a proxy.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

SCHEMA_VERSION = "1.1"


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LatencyStats(_Schema):
    """Latency of one file in one fresh process, ms."""

    median: float
    p10: float
    p90: float
    n: int
    ci95: tuple[float, float]
    p90_ci95: tuple[float, float] | None = None


class Network(_Schema):
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


class DataInfo(_Schema):
    """The data of the run; `final_split` is the split the final figures come from ("test", read once, or "val")."""

    name: str
    sizes: dict[str, int]
    class_names: list[str] | None
    input_shape: list[int]
    mean: list[float] | None
    std: list[float] | None
    long_tail: float | None
    final_split: str


class Requirement(_Schema):
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


class BudgetOutcome(_Schema):
    """All limits of the run."""

    text: str
    requirements: list[Requirement]


class GroupNote(_Schema):
    """A channel group that was pruned, left alone (frozen) or given another width than asked (clamped), and why."""

    name: str
    dense: int
    kept: int
    reason: str


class Groups(_Schema):
    """What happened to every channel group."""

    pruned: list[GroupNote]
    frozen: list[GroupNote]
    clamped: list[GroupNote]


class ParityResult(_Schema):
    """A file's outputs against torch on real inputs. `max_rel_error` = max error / max |out|."""

    max_rel_error: float
    inputs: int
    compared: Literal["outputs", "interpreted", "weights"]
    agreement: float | None = None
    snr_db: float | None = None


class ArtifactResult(_Schema):
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


class Twin(_Schema):
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


class Quantization(_Schema):
    """What the number format of `--quantize` costs and gains against float32; `note` says it in words."""

    quantize: Literal["fp16", "int8"]
    calibration_images: int | None
    dense: Twin
    pruned: Twin | None
    note: str


class SearchRound(_Schema):
    """One candidate of the closed loop: what the cost model predicted and what the clock said."""

    predicted_ms: float | None
    measured_ms: float | None
    measured_ratio: float | None
    macs: int
    loss: float | None
    widths: dict[str, int]


class SearchSummary(_Schema):
    """The search for the widths."""

    allocate: str
    score: str
    multiple: int
    rounds: list[SearchRound]
    candidates_measured: int
    seconds: float
    floor_ms: float | None
    reason: str


class Recovery(_Schema):
    """How accuracy was won back: val's primary metric at each step (`epochs` holds one entry an epoch)."""

    schedule: str
    epochs: list[dict[str, float]]
    before: dict[str, float]
    after_bn: dict[str, float]
    after: dict[str, float]
    seconds: float
    facts: dict[str, Any] = {}


class PlanLayer(_Schema):
    """One layer of the dense network and its predicted share of the latency, ms."""

    name: str
    op: str
    c_in: int
    c_out: int
    predicted_ms: float


class Plan(_Schema):
    """What `optimize --plan` prints. `dense_ms` and `floor_ms` are measured, the layers' milliseconds predicted.

    `dense_ms` is the float32 network's, `quantized_ms` the dense one's in the number format `quantize`, and so is the
    floor.
    The floor is the network with every group at its narrowest width; `in_reach` compares it with the budget.
    """

    schema_version: str = SCHEMA_VERSION
    model: str
    runtime: str
    threads: int
    dense_ms: float
    floor_ms: float
    floor_share: float
    budget_ms: float | None
    in_reach: bool | None
    dense_macs: int
    floor_macs: int
    layers: list[PlanLayer]
    frozen: dict[str, str]
    notes: list[str]
    quantize: str = "none"
    quantized_ms: float | None = None
    kind: Literal["measured", "emulated"] = "measured"


class PruneResult(_Schema):
    """What `edgeprune prune` prints: no accuracy, no latency, for nothing is trained or measured."""

    schema_version: str = SCHEMA_VERSION
    model: str
    widths: dict[str, dict[str, int]]
    groups: Groups
    macs: dict[str, int]
    params: dict[str, int]
    proof: dict[str, float | None]


class TableLayer(_Schema):
    """One layer of a cost table: `ms[i][j]` is its time with `ins[i]` channels in and `outs[j]` out."""

    name: str
    op: str
    c_in: int
    c_out: int
    ins: list[int]
    outs: list[int]
    ms: list[list[float]]


class TableResult(_Schema):
    """What `edgeprune table build` and `show` print: the layers of a network on one target, measured one by one."""

    schema_version: str = SCHEMA_VERSION
    model: str
    target: str
    kind: Literal["measured", "emulated"]
    fingerprint: str
    runtime: str
    threads: int
    measured_now: int
    known_before: int
    layers: list[TableLayer]


class TableCheck(_Schema):
    """What `edgeprune table check` prints: shares of random networks predicted within 10 % and 5 % of the clock.

    `clock_within_...` is the same of the clock against itself, for files that were measured twice: it caps the rest.
    `pairs_ms` holds (predicted, measured) of each network.
    """

    schema_version: str = SCHEMA_VERSION
    model: str
    target: str
    kind: Literal["measured", "emulated"]
    runtime: str
    threads: int
    candidates: Literal["reshaped", "converted"]
    vectors: int
    within_10: float
    within_5: float
    repeated: int
    clock_within_10: float
    clock_within_5: float
    pairs_ms: list[tuple[float, float]]


class FrontPoint(_Schema):
    """One budget of a front and the run that answers it; `path` is None where no network can meet the budget.

    `ms` is the pruned file's median, `ratio` pruned / dense; `val_metric` and `metric` are the primary metric on val,
    to choose by, and on the final split. `drop`: points of it that were lost on val against dense.
    """

    asked: str
    met: bool
    outcome: str
    path: str | None
    ms: float | None = None
    ratio: float | None = None
    val_metric: float | None = None
    metric: float | None = None
    drop: float | None = None
    macs: int | None = None
    params: int | None = None


class Front(_Schema):
    """What `edgeprune optimize` prints for several latency budgets, in the order in which they were tried.

    `chosen` is the budget of the fastest point that lost at most `max_drop` points; both None where that was not asked.
    """

    schema_version: str = SCHEMA_VERSION
    model: str
    primary_metric: str
    kind: Literal["measured", "emulated"]
    dense_ms: float | None
    dense_metric: float | None
    dense_val_metric: float | None = None
    points: list[FrontPoint]
    max_drop: float | None = None
    chosen: str | None = None

    @property
    def met(self) -> bool:
        """True when every budget was met; with `max_drop`, when a point is within it."""
        if self.max_drop is not None:
            return self.chosen is not None
        return all(point.met for point in self.points)


class Control(_Schema):
    """The same widths, trained another way: `metrics` are those of the final split."""

    name: str
    epochs: int
    val_metrics: dict[str, float]
    metrics: dict[str, float]
    seconds: float


class Result(_Schema):
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
