"""What a measurement is: raw samples, the statistics of them, who measured and under which conditions."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

Kind = Literal["measured", "emulated"]


@dataclass(frozen=True)
class Device:
    """Who measured. `affinity` lists the cores asked for and `affinity_seen` those the kernel granted.

    `libc` is "glibc" where a phone ran the libraries of a Linux wheel and not Android's own; `serial_sha256` the first
    16 hex digits of the hash of a phone's serial number.
    """

    name: str
    soc: str
    os: str
    cores: int
    runtime: str
    runtime_version: str
    threads: int
    affinity: tuple[int, ...] = ()
    affinity_seen: tuple[int, ...] = ()
    delegate: str = "xnnpack"
    memory_mib: float | None = None
    libc: str = ""
    serial_sha256: str = ""


@dataclass(frozen=True)
class Latency:
    """Statistics of latency samples, ms. `ci95` is the 95 % confidence interval of the median (order statistics).

    `p90_ci95` is that of the 90th percentile; None in measurements older than it.
    """

    median: float
    p10: float
    p90: float
    minimum: float
    ci95: tuple[float, float]
    n: int
    p90_ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class Measurement:
    """One artifact measured in one fresh process.

    Units: `samples_ms`, `load_ms`, `first_ms` in ms, `peak_memory_mib` in MiB (growth of the peak resident set of that
    process above its level before the model was loaded). `flags` says in words what makes the numbers doubtful
    ("unstable: IQR is 14 % of the median"). `kind` is "emulated" for an emulated phone: never shown as a phone's.
    `name` is that of the file, for people: what was measured is the file with this hash.
    """

    artifact_sha256: str
    latency: Latency
    samples_ms: tuple[float, ...]
    load_ms: float
    first_ms: float
    peak_memory_mib: float | None
    device: Device
    conditions_before: dict[str, Any] = field(default_factory=dict)
    conditions_after: dict[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    kind: Kind = "measured"
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_json`, also after a trip through JSON text."""
        latency, device = dict(values["latency"]), dict(values["device"])
        latency["ci95"] = tuple(latency["ci95"])
        if latency.get("p90_ci95") is not None:
            latency["p90_ci95"] = tuple(latency["p90_ci95"])
        device["affinity"], device["affinity_seen"] = tuple(device["affinity"]), tuple(device["affinity_seen"])
        parts = {
            "latency": Latency(**latency),
            "device": Device(**device),
            "samples_ms": tuple(values["samples_ms"]),
            "flags": tuple(values["flags"]),
        }
        return cls(**{**values, **parts})


@dataclass(frozen=True)
class Window:
    """Some seconds of back-to-back runs, `after_s` seconds after the first: median and 90th percentile in ms."""

    after_s: float
    median: float
    p90: float
    n: int
    battery_c: float | None = None
    thermal_status: int | None = None


@dataclass(frozen=True)
class Ratio:
    """A paired comparison: median over rounds of latency(candidate) / latency(reference), with its 95 % interval."""

    median: float
    ci95: tuple[float, float]
    rounds: tuple[float, ...]
