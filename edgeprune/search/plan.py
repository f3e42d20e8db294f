"""`--plan`: what a budget can buy before anything is trained: the floor, the reachable range, where the time goes."""

from dataclasses import dataclass

from edgeprune.graph import Coupling
from edgeprune.search.limits import Limit
from edgeprune.search.predictor import LayerTime, Predictor
from edgeprune.search.problem import Choice


@dataclass(frozen=True)
class Plan:
    """`dense_ms` is measured; `floor_ms`, `reachable` and `layers` (of the dense network, ms) are predicted.

    `reachable` maps the fraction of the dense latency to True where some widths are predicted to meet it;
    `limits` maps each other budget's name to (narrowest, dense, budget), predicted.
    """

    dense_ms: float
    floor_ms: float
    floor_counts: Choice
    layers: list[LayerTime]
    limits: dict[str, tuple[float, float, float]]
    probed: int
    reused: int
    frozen: dict[str, str]

    @property
    def floor_share(self) -> float:
        """The narrowest network's latency as a share of the dense one's (predicted over measured)."""
        return self.floor_ms / self.dense_ms

    def __str__(self) -> str:
        lines = [
            f"dense   {self.dense_ms:9.3f} ms (measured)",
            f"floor   {self.floor_ms:9.3f} ms (predicted, {self.floor_share:.0%} of dense)",
            "",
            f"{'layer':<40} {'op':<16} {'c_in':>6} {'c_out':>6} {'ms':>9} {'share':>6}",
        ]
        total = sum(layer.ms for layer in self.layers) or 1.0
        for layer in sorted(self.layers, key=lambda item: -item.ms):
            widths = f"{layer.name:<40} {layer.op:<16} {layer.c_in:>6} {layer.c_out:>6}"
            lines.append(f"{widths} {layer.ms:>9.4f} {layer.ms / total:>6.1%}")
        lines += [f"frozen  {name}: {reason}" for name, reason in self.frozen.items()]
        return "\n".join(lines)


def plan(coupling: Coupling, predictor: Predictor, dense_ms: float, limits: list[Limit], multiple: int = 8) -> Plan:
    """The range of latencies that widths on multiples of `multiple` reach, and where the dense network spends its time.

    The floor is the network with every group at its narrowest width: no calibration data is needed.
    """
    narrowest = {group: menu[0] for group, menu in coupling.menu(multiple).items()}
    return Plan(
        dense_ms=dense_ms,
        floor_ms=predictor.predict(narrowest),
        floor_counts=narrowest,
        layers=predictor.breakdown({}),
        limits={m.name: (m.predict(narrowest), m.predict({}), m.budget) for m in limits},
        probed=predictor.table.probed,
        reused=predictor.table.reused,
        frozen={name: group.frozen for name, group in coupling.groups.items() if group.frozen is not None},
    )
