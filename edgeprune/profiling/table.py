"""What `edgeprune profile` shows on the terminal. Times of an emulated phone are called so in every row."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.profiling.official import Told
from edgeprune.profiling.profile import Row
from edgeprune.profiling.sustained import Sustained
from edgeprune.report import text

FEWEST_PAIRS = 6  # fewer have no 95 % interval of a median


def render(rows: Sequence[Row]) -> RenderableType:
    """One block a target, one line a file and thread count; then what makes the numbers doubtful."""
    parts: list[RenderableType] = []
    for target in dict.fromkeys(row.target for row in rows):
        mine = [row for row in rows if row.target == target]
        parts += [_heading(target, mine), _table(mine), *_verdicts(mine), *_doubts(mine)]
    return Group(*parts)


def _heading(target: str, rows: Sequence[Row]) -> Text:
    """The target, and every runtime that ran on it."""
    devices = [row.measurement.device for row in rows]
    runtimes = dict.fromkeys(
        f"{d.runtime} {d.runtime_version}, {d.delegate}" + (f", runtime={d.libc}" if d.libc else "") for d in devices
    )
    head = Text.assemble((target, "bold"), f": {devices[0].soc}, {devices[0].os}, {'; '.join(runtimes)}")
    if rows[0].measurement.kind == "emulated":
        head.append("\nEmulated: these are not a phone's numbers.", style="yellow")
    return head


def _table(rows: Sequence[Row]) -> Table:
    emulated = any(row.measurement.kind == "emulated" for row in rows)
    mark = "\n(emulated)" if emulated else ""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    for column in ("threads", f"median\nms{mark}", "± 95 %", "p90\nms", "load\nms", "first\nms", f"memory\nMiB{mark}"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        found, latency = row.measurement, row.measurement.latency
        half = (latency.ci95[1] - latency.ci95[0]) / 2 / latency.median
        table.add_row(
            Text(row.file),
            str(row.threads),
            text.significant(latency.median),
            f"{half:.1%}",
            text.significant(latency.p90),
            text.significant(found.load_ms),
            text.significant(found.first_ms),
            "" if found.peak_memory_mib is None else text.significant(found.peak_memory_mib),
        )
    return table


def _verdicts(rows: Sequence[Row]) -> list[Text]:
    found = []
    for row in rows:
        if row.ratio is None:
            continue
        low, high = row.ratio.ci95
        first = next(other.file for other in rows if other.threads == row.threads)
        if len(row.ratio.rounds) < FEWEST_PAIRS:
            few = f"from {len(row.ratio.rounds)} pairs of turns: too few for a 95 % interval"
            found.append(
                Text(f"{row.file}, {row.threads} thread(s): {row.ratio.median:.3f} of {first}'s latency, {few}")
            )
            continue
        verdict = "no measurable difference"
        if row.measurement.kind == "measured" and (high < 1 or low > 1):
            verdict = f"{1 / row.ratio.median:.2f} times faster" if high < 1 else f"{row.ratio.median:.2f} times slower"
        elif high < 1 or low > 1:
            verdict = "a difference that holds on the emulated phone only"
        shown = f"{row.ratio.median:.3f} of {first}'s latency (95 %: {low:.3f} to {high:.3f}): {verdict}"
        found.append(Text(f"{row.file}, {row.threads} thread(s): {shown}"))
    return found


def _doubts(rows: Sequence[Row]) -> list[Text]:
    return [
        Text(f"{row.file}, {row.threads} thread(s): {flag}", style="yellow")
        for row in rows
        for flag in row.measurement.flags
    ]


def render_told(told: Told) -> RenderableType:
    """What an official program told: no samples, so neither interval nor percentiles of ours."""
    found = told.summary
    mark = " (emulated)" if told.kind == "emulated" else ""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    rows = {
        f"mean{mark}": f"{text.milliseconds(found.mean)} over {found.n} runs",
        "least, most": f"{text.milliseconds(found.minimum)}, {text.milliseconds(found.maximum)}",
        **{f"{name}, as it printed": text.milliseconds(value) for name, value in found.quantiles.items()},
        "load": text.milliseconds(found.load_ms),
        "first": text.milliseconds(found.first_ms),
        "memory": text.mebibytes(found.memory_mib),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    parts: list[RenderableType] = [Text(f"{told.file} on {told.target}, {found.program}", style="bold"), table]
    if found.ops:
        ops = Table("operation", "kind", box=box.SIMPLE_HEAD, pad_edge=False)
        ops.add_column(f"mean{mark}", justify="right")
        for op in found.ops:
            ops.add_row(Text(op.name, overflow="ellipsis"), op.op, text.milliseconds(op.ms))
        parts.append(ops)
    return Group(*parts)


def render_sustained(found: Sustained) -> RenderableType:
    """Latency over minutes."""
    mark = " (emulated)" if found.kind == "emulated" else ""
    table = Table(title=Text(f"{found.file} on {found.target}, {found.threads} thread(s)"), box=box.SIMPLE_HEAD)
    for column in ("after", f"median{mark}", f"p90{mark}", "battery", "thermal status"):
        table.add_column(column, justify="right")
    for window in found.windows:
        celsius = "" if window.battery_c is None else f"{window.battery_c:.1f} °C"
        thermal = "" if window.thermal_status is None else str(window.thermal_status)
        after, ms = text.duration(window.after_s), text.milliseconds
        table.add_row(after, ms(window.median), ms(window.p90), celsius, thermal)
    return Group(table, Text(found.verdict))
