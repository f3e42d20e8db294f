"""The outcomes of `edgeprune convert` as a table for the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgeprune.report.text import MISSING, percent, significant, size


def render(outcomes: dict[str, dict[str, Any]]) -> RenderableType:
    """One row a file: where it is, how large, how close to the network; then what to know about it."""
    table = Table(padding=(0, 0))
    table.add_column("file", overflow="fold")
    for title in ("size", "params", "type", "ops", "error", "same top-1", "accuracy"):
        table.add_column(title)
    for outcome in outcomes.values():
        table.add_row(*_row(outcome))
    notes = [Text(f"Files are in {Path(next(iter(outcomes.values()))['artifact']['path']).parent}")]
    notes += [Text("ops: operations (share delegated); accuracy: the file's of torch's, on the validation images")]
    notes += [Text(note) for fmt, outcome in outcomes.items() for note in _notes(fmt, outcome)]
    return Group(table, *notes)


def _row(outcome: dict[str, Any]) -> tuple[str, ...]:
    artifact, inspection, parity = outcome["artifact"], outcome["inspection"], outcome["parity"]
    ops = str(sum(inspection["ops"].values()))
    if inspection["delegated_share"] is not None:
        ops += f" ({inspection['delegated_share']:.0%})"
    accuracy = parity.get("accuracy")
    accuracies = "" if accuracy is None else f"{100 * accuracy:.1f} of {100 * parity['reference_accuracy']:.1f} %"
    agreement = parity.get("agreement")
    return (
        artifact["path"].rpartition("/")[2],
        size(artifact["size_bytes"]),
        f"{inspection['params']:,}" if inspection["params"] else MISSING,  # a delegate's are out of sight
        artifact["precision"],
        ops,
        _error(parity["max_rel_error"]),
        "" if agreement is None else f"{percent(agreement, 1)}",
        accuracies,
    )


def _error(value: float | None) -> str:
    if value is None:
        return MISSING
    return significant(value, 2) if value > 1e-4 else f"{value:.0e}"


def _notes(fmt: str, outcome: dict[str, Any]) -> list[str]:
    inspection, versions, parity = outcome["inspection"], outcome["artifact"]["versions"], outcome["parity"]
    notes = []
    if inspection["transposes"]:
        notes.append(f"{fmt}: {inspection['transposes']} transposes in the file")
    if fmt == "executorch":
        notes.append(f"executorch: the app's runtime has to be ExecuTorch {versions['executorch']} or newer")
    if fmt == "coreml" and outcome["artifact"]["precision"] == "int8":
        notes.append("coreml: the file needs iOS 17; int8-weights is for iOS 16")
    if parity["compared"] != "outputs":
        notes.append(f"{fmt}: compared {parity['compared']}")
    if outcome["data"] is None:
        notes.append(f"{fmt}: compared on random inputs, since no data were given")
    if outcome["cached"]:
        notes.append(f"{fmt}: unchanged since the last call, not converted again")
    return notes
