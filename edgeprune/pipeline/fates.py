"""What became of every channel group: pruned, frozen or clamped, and why."""

import math
from typing import Any

from edgeprune.graph import Coupling, Proof
from edgeprune.result import GroupNote, Groups


def channels(coupling: Coupling, counts: dict[str, int]) -> dict[str, dict[str, int]]:
    """Group -> channels of the dense network and channels kept, for counts in units."""
    return {
        name: {"dense": group.channels, "kept": counts.get(name, group.units) * group.channels_per_unit}
        for name, group in coupling.groups.items()
    }


def evidence(proof: Proof) -> dict[str, float | None]:
    """The proof's figures; a mis-wiring's change is None where nothing was pruned that could be mis-wired."""
    change = proof.miswired_rel_change
    return {"max_rel_error": proof.max_rel_error, "miswired_rel_change": change if math.isfinite(change) else None}


def fates(coupling: Coupling, multiple: int, counts: dict[str, int], proof: Proof) -> Groups:
    """The groups by what happened to them; a group at its narrowest is both pruned and clamped."""
    groups = Groups(pruned=[], frozen=[], clamped=[])
    menus = coupling.menu(multiple)
    for name, width in channels(coupling, counts).items():
        note: dict[str, Any] = {"name": name, **width}
        group = coupling.groups[name]
        reason = group.frozen or proof.frozen.get(name)
        if reason is not None:
            groups.frozen.append(GroupNote(**note, reason=reason))
        elif len(menus[name]) == 1:
            reason = f"no narrower width in multiples of {multiple}"
            reason += " that is not protected" if coupling.floors.get(name, 1) > multiple else ""
            groups.clamped.append(GroupNote(**note, reason=reason))
        elif width["kept"] < width["dense"]:
            groups.pruned.append(GroupNote(**note, reason=""))
            if counts[name] == menus[name][0]:
                reason = f"at its narrowest in multiples of {multiple}"
                reason += " that is not protected" if coupling.floors.get(name, 1) > multiple else ""
                groups.clamped.append(GroupNote(**note, reason=reason))
    return groups
