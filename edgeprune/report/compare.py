"""`edgeprune compare` on the terminal: one line a network; 80 columns wide at most."""

from math import degrees

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.diagnose.comparison import Comparison
from edgeprune.report import facts, text
from edgeprune.result import Network, Result


def render(found: Comparison) -> RenderableType:
    """What the runs reached, and how their networks take corrupted images."""
    first = next(iter(found.runs.values()))
    metric = facts.metric_name(first.primary_metric)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", max_width=24, overflow="fold")
    for column in (metric, "latency", "memory", "file", "MACs"):
        table.add_column(column, justify="right")
    for name, result in found.runs.items():
        table.add_row(Text(f"{name}, dense", style="dim"), *_cells(result, result.dense))
        table.add_row(Text(f"{name}, pruned"), *_cells(result, result.pruned))
    parts: list[RenderableType] = [Text(f"{first.data.name}, {found.split}", style="bold"), table]
    parts += [Text(f"{name}: {facts.evidence(result)}") for name, result in found.runs.items()]
    if found.note:
        return Group(*parts, Text(found.note, style="yellow"))
    return Group(*parts, Text(), Text(_seen(found), style="bold"), _robustness(found))


def _cells(result: Result, network: Network) -> tuple[str, ...]:
    return (
        facts.metric_text(result.primary_metric, facts.primary(result, network)),
        text.milliseconds(network.latency_ms.median if network.latency_ms else None),
        text.mebibytes(network.peak_memory_mib),
        text.size(network.size_bytes),
        text.count(network.macs),
    )


def _seen(found: Comparison) -> str:
    return f"Corrupted {found.split} images ({len(found.targets)}), float32 in torch"


def _robustness(found: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("network", max_width=24, overflow="fold")
    for column in ("clean", "corrupted", "norm", "own angle", "margin"):
        table.add_column(column, justify="right")
    for name, answer in found.answers.items():
        means = answer.to_json()["geometry"] or {}
        angle = f"{degrees(means['own_angle']):.1f}°" if means else "n/a"
        numbers = [text.significant(means[key]) if means else "n/a" for key in ("norm", "logit_margin")]
        table.add_row(
            Text(name), text.percent(answer.accuracy), text.percent(answer.robustness), numbers[0], angle, numbers[1]
        )
    return table
