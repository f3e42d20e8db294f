"""What `optimize --plan` shows on the terminal: the floor, the range in reach, where the milliseconds go."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.answers import Plan
from edgeprune.report import facts, text

_SHOWN = 12


def _quantized(plan: Plan) -> list[str | tuple[str, str]]:
    if plan.quantized_ms is None:
        return []
    share = f"{plan.quantized_ms / plan.dense_ms:.0%} of float32"
    return [("Dense ", "bold"), f"{text.milliseconds(plan.quantized_ms)} {plan.kind} as {plan.quantize}, {share}\n"]


def render_plan(plan: Plan) -> RenderableType:
    """The plan as a Rich renderable, 80 columns wide at most."""
    runtime = facts.RUNTIMES[plan.runtime]
    head = Text.assemble(
        ("Dense ", "bold"),
        f"{text.milliseconds(plan.dense_ms)} {plan.kind} ({runtime}, {plan.threads} thread(s)), ",
        f"{text.count(plan.dense_macs)} MACs\n",
        *_quantized(plan),
        ("Floor ", "bold"),
        f"{text.milliseconds(plan.floor_ms)} {plan.kind}, {plan.floor_share:.0%} of dense, ",
        f"{text.count(plan.floor_macs)} MACs: every group at its narrowest\n",
        ("Reach ", "bold"),
        f"any latency budget from {plan.floor_share:.0%} to 100%",
    )
    if plan.budget_ms is not None:
        verdict = ("in reach", "green") if plan.in_reach else ("below the floor", "red")
        head.append(f"; {text.milliseconds(plan.budget_ms)} is ").append(*verdict)
    table = Table(
        title="Where the milliseconds go (predicted)", box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left"
    )
    table.add_column("layer", overflow="ellipsis", no_wrap=True, max_width=34)
    for column in ("op", "in", "out", "ms", "share"):
        table.add_column(column, justify="left" if column == "op" else "right")
    total = sum(layer.predicted_ms for layer in plan.layers) or 1.0
    ranked = sorted(plan.layers, key=lambda layer: -layer.predicted_ms)
    for layer in ranked[:_SHOWN]:
        share = f"{layer.predicted_ms / total:.1%}"
        table.add_row(Text(layer.name), layer.op, str(layer.c_in), str(layer.c_out), f"{layer.predicted_ms:.4f}", share)
    if rest := ranked[_SHOWN:]:
        ms = sum(layer.predicted_ms for layer in rest)
        table.add_row(f"{len(rest)} more", "", "", "", f"{ms:.4f}", f"{ms / total:.1%}")
    frozen = [Text(f"Frozen: {name}, {reason}", style="dim") for name, reason in plan.frozen.items()]
    return Group(head, Text(), table, *frozen)
