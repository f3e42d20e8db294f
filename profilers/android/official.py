"""Google's benchmark_model and ExecuTorch's executor_runner, read strictly. They tell no samples: no interval is made.

Formats: tflite/tools/benchmark (benchmark_tflite_model.cc, util/stats_calculator.cc), executorch's runners' log lines.
"""

import re
from dataclasses import dataclass, field

from profilers.errors import MeasurementError

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_COUNT = re.compile(r"count=(\d+)((?: (?:first|curr|min|max|avg|std|p5|median|p95)=\S+)+)")
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): {_NUMBER}"
)
_FOOTPRINT = re.compile(rf"(?:Memory|Peak memory) footprint[^:]*: init=\S+ overall={_NUMBER}")
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}")
_TOOK = re.compile(rf"(\d+) inference took {_NUMBER} ms, avg {_NUMBER} ms")
_EXECUTED = re.compile(rf"Model executed successfully (\d+) time\(s\) in {_NUMBER} ms")
_HEADING = "Operator-wise Profiling Info for Regular Benchmark Runs"


@dataclass(frozen=True)
class OpTime:
    """One operation of the graph, in running order: mean ms a run, and calls a run."""

    name: str
    op: str
    ms: float
    calls: int


@dataclass(frozen=True)
class Summary:
    """What an official program told about one file. None: it did not tell. Times in ms, memory in MiB.

    `quantiles` holds only what it printed itself.
    """

    program: str
    n: int
    mean: float
    minimum: float | None = None
    maximum: float | None = None
    deviation: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    memory_mib: float | None = None
    quantiles: dict[str, float] = field(default_factory=dict)
    ops: tuple[OpTime, ...] = ()


def parse_benchmark_model(text: str) -> Summary:
    """Read benchmark_model's output. Raises MeasurementError, naming the line that is missing or makes no sense."""
    lines = [(int(found[1]), _pairs(found[2])) for found in _COUNT.finditer(text)]
    timings = _TIMINGS.search(text)
    if len(lines) < 2:
        raise _unreadable("benchmark_model", f"{len(lines)} lines 'count=...' instead of 2", text)
    if timings is None:
        raise _unreadable("benchmark_model", "no line 'Inference timings in us'", text)
    n, runs = lines[1]
    init, first, _, mean = (float(value) / 1e3 for value in timings.groups())
    if not {"avg", "min", "max", "std"} <= set(runs):
        raise _unreadable("benchmark_model", "a line 'count=...' without avg, min, max, std", text)
    if n < 1 or min(runs["min"], mean, init) < 0 or not runs["min"] <= mean * 1e3 * 1.001 <= runs["max"] * 1.002:
        raise _unreadable("benchmark_model", f"times that cannot be: {runs}, mean {mean} ms", text)
    peak = _PEAK.search(text) or _FOOTPRINT.search(text)
    return Summary(
        "benchmark_model",
        n,
        mean,
        runs["min"] / 1e3,
        runs["max"] / 1e3,
        runs["std"] / 1e3,
        init,
        first,
        float(peak[1]) if peak and float(peak[1]) >= 0 else None,
        {name: runs[name] / 1e3 for name in ("p5", "median", "p95") if name in runs},
        _ops(text),
    )


def parse_executor_runner(text: str) -> Summary:
    """Read the line that executor_runner (or the QNN one) prints over all executions. Raises MeasurementError."""
    found = list(_TOOK.finditer(text))
    executed = _EXECUTED.search(text)
    if executed is not None and int(executed[1]) > 0 and float(executed[2]) > 0:
        return Summary("executor_runner", int(executed[1]), float(executed[2]) / int(executed[1]))
    if not found:
        raise _unreadable("executor_runner", "no line 'Model executed successfully ... time(s) in ... ms'", text)
    n, total, mean = int(found[-1][1]), float(found[-1][2]), float(found[-1][3])
    if n < 1 or mean <= 0 or abs(total / n - mean) > 0.01 * mean:
        raise _unreadable(
            "executor_runner", f"times that cannot be: {n} runs, {total} ms together, {mean} ms each", text
        )
    first = float(found[0][3]) if len(found) > 1 and found[0][1] == "1" else None
    return Summary("executor_runner", n, mean, first_ms=first)


def _pairs(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in text.split():
        name, value = pair.split("=")
        if re.fullmatch(_NUMBER, value) is None:
            raise MeasurementError(f"benchmark_model printed {pair!r}, which is no number", "measure again")
        found[name] = float(value)
    return found


def _ops(text: str) -> tuple[OpTime, ...]:
    """The table in running order of the runs that were timed, if profiling was on."""
    table = text.partition(_HEADING)[2].partition("[Name]")
    heading = table[0].rpartition("\n")[2] + table[1]
    columns = [name.strip() for name in re.findall(r"\[([^\]]+)\]", heading)]
    found = []
    for line in table[2].splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip("\t").split("\t")]
        if len(cells) != len(columns):
            break
        row = dict(zip(columns, cells, strict=True))
        found.append(OpTime(row["Name"], row["node type"], float(row["avg ms"]), int(row["times called"])))
    return tuple(found)


def _unreadable(program: str, what: str, text: str) -> MeasurementError:
    tail = "\n".join(text.strip().splitlines()[-8:])
    return MeasurementError(f"The output of {program} cannot be read: {what}. It ended with:\n{tail}",
                            "Use --runner native, or another build of the program.")  # fmt: skip
