"""What became of every channel group: pruned, frozen or clamped, and why."""

from typing import Any

from edgeprune.graph import Coupling, Proof
from edgeprune.result import GroupNote, Groups


def channels(coupling: Coupling, counts: dict[str, int]) -> dict[str, dict[str, int]]:
    """Group -> channels of the dense network and channels kept, for counts in units."""
    return {
        name: {"dense": group.channels, "kept": counts.get(name, group.units) * group.channels_per_unit}
        for name, group in coupling.groups.items()
    }


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
            groups.clamped.append(GroupNote(**note, reason=f"no narrower width in multiples of {multiple}"))
        elif width["kept"] < width["dense"]:
            groups.pruned.append(GroupNote(**note, reason=""))
            if counts[name] == menus[name][0]:
                reason = f"at its narrowest in multiples of {multiple}"
                reason += " that is not protected" if coupling.floors.get(name, 1) > multiple else ""
                groups.clamped.append(GroupNote(**note, reason=reason))
    return groups
