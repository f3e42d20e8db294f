"""Pictures of what single methods saw on their way (`recovery.facts`)."""

from edgeprune.report.drawing import Spec, axes, dashed
from edgeprune.result import Result


def pq_index(result: Result) -> Spec | None:
    """SAP's index over its rounds; a dashed line where it turns up again: from there on pruning costs."""
    if result.recovery is None:
        return None
    rounds = result.recovery.facts.get("rounds")
    if not isinstance(rounds, list) or len(rounds) < 2 or not all("pq_index" in entry for entry in rounds):
        return None
    layout = axes(240, "Round", "PQ index before its pruning")
    layout["xaxis"]["dtick"] = max(1, len(rounds) // 8)
    turn = result.recovery.facts.get("pq_index_turns_up_in_round")
    if turn is not None:
        layout["shapes"] = [dashed(x0=turn, x1=turn, y0=0, y1=1, yref="paper")]
    trace: Spec = {"type": "scatter", "mode": "lines+markers", "name": "PQ index", "line": {"color": "--pruned"}}
    trace |= {"x": list(range(1, len(rounds) + 1)), "y": [entry["pq_index"] for entry in rounds]}
    trace |= {
        "text": [f"{entry['units']} channels stay" for entry in rounds],
        "marker": {"color": "--pruned", "size": 7},
    }
    trace |= {"hovertemplate": "round %{x}: %{y:.4f}, %{text}<extra></extra>"}
    return {"data": [trace], "layout": {**layout, "showlegend": False}}
