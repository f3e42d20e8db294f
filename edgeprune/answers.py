"""What commands other than `optimize` print as JSON: plans, pruned networks, cost tables, fronts of several runs."""

from pathlib import Path
from typing import Any, Literal

from edgeprune.result import SCHEMA_VERSION, Groups, Schema


class PlanLayer(Schema):
    """One layer of the dense network and its predicted share of the latency, ms."""

    name: str
    op: str
    c_in: int
    c_out: int
    predicted_ms: float


class Plan(Schema):
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


class DryRun(Schema):
    """What `optimize --dry-run` prints: what the run would do. Nothing was trained, measured or written.

    `images`: of each split that there is, None for a DataLoader. `targets`: the machines that were found, in words.
    `latencies`: the budgets of a front's runs (several `--latency`). `done`: finished stages that --resume would not
    repeat.
    """

    schema_version: str = SCHEMA_VERSION
    model: str
    macs: int
    params: int
    groups: int
    data: str
    input_shape: list[int]
    classes: int
    images: dict[str, int | None]
    targets: list[str]
    budget: str
    latencies: list[str]
    recipe: str
    stages: list[str]
    output: str
    done: list[str]
    seed: int


class PruneResult(Schema):
    """What `edgeprune prune` prints: no accuracy, no latency, for nothing is trained or measured."""

    schema_version: str = SCHEMA_VERSION
    model: str
    widths: dict[str, dict[str, int]]
    groups: Groups
    macs: dict[str, int]
    params: dict[str, int]
    proof: dict[str, float | None]


class MaskedProperty(Schema):
    """Something that a method's paper promises of its masks, and whether it holds in this network."""

    what: str
    holds: bool
    found: str


class MaskedResult(Schema):
    """What `optimize --masked` prints and writes to masked.json: a network of the dense one's shape, with zeros in it.

    No latency and no file size: nothing gets faster, and no budget is checked. `weights` and `layers` count those of
    convolutions and linear layers. `facts` are what the method saw on its way.
    """

    schema_version: str = SCHEMA_VERSION
    recipe: str
    form: str
    settings: dict[str, Any]
    model: str
    data: str
    seed: int
    weights: dict[str, int]
    density: float
    layers: dict[str, dict[str, int]]
    properties: list[MaskedProperty]
    facts: dict[str, Any]
    epochs: int
    primary_metric: str
    dense: dict[str, float]
    masked: dict[str, float]
    split: str
    seconds: float
    notes: list[str]


class TableLayer(Schema):
    """One layer of a cost table: `ms[i][j]` is its time with `ins[i]` channels in and `outs[j]` out."""

    name: str
    op: str
    c_in: int
    c_out: int
    ins: list[int]
    outs: list[int]
    ms: list[list[float]]


class TableResult(Schema):
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


class TableCheck(Schema):
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


class FrontPoint(Schema):
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


class Front(Schema):
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

    def delivered(self) -> list[Path]:
        """The runs that answer the question: all of them, or the chosen one where `max_drop` was asked."""
        asked = self.max_drop is None
        return [Path(point.path) for point in self.points if point.path and (asked or point.asked == self.chosen)]

    @property
    def met(self) -> bool:
        """True when every budget was met; with `max_drop`, when a point is within it."""
        if self.max_drop is not None:
            return self.chosen is not None
        return all(point.met for point in self.points)
