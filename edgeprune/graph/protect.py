"""Channels that the user wants to keep: layers by name, a least width, a largest share that may go."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from edgeprune.graph.coupling import ChannelGroup, Coupling
from edgeprune.graph.errors import SurgeryError


@dataclass(frozen=True)
class Protection:
    """What may not go.

    `keep`: "PATTERN" keeps the output channels of every layer whose path matches (* and ? as in a shell; a module's
    path stands for all layers inside), "PATTERN=24" keeps at least 24 of them, "PATTERN=50%" at least half.
    `min_channels`: no group gets narrower. `max_ratio`: the largest share of any group's channels that may be removed.
    """

    keep: tuple[str, ...] = ()
    min_channels: int = 1
    max_ratio: float = 1.0


def protect(coupling: Coupling, protection: Protection) -> Coupling:
    """The same coupling with protected groups frozen (the reason says by what) and lower ends of menus raised.

    Coupled layers share their channels: keeping one keeps all that are tied to it. Raises SurgeryError for a pattern
    that matches no layer, and for one that cannot be read.
    """
    wishes = [_parse(text) for text in protection.keep]
    owners = _owners(coupling)
    frozen: dict[str, str] = {}
    floors: dict[str, int] = {}
    for name, group in coupling.prunable.items():
        share = math.ceil(round((1 - protection.max_ratio) * group.channels, 6))
        floors[name] = max(1, protection.min_channels, share)
    for pattern, least in wishes:
        for name in _matching(pattern, owners):
            group = coupling.groups[name]
            if group.frozen is not None:
                continue
            if least is None:
                frozen.setdefault(name, f"is kept as asked for by {pattern!r}")
            else:
                floors[name] = max(floors[name], least(group))
    groups = {n: replace(g, frozen=frozen[n]) if n in frozen else g for n, g in coupling.groups.items()}
    notes = (*coupling.notes, *(f"{n} keeps its {groups[n].channels} channels: it {why}" for n, why in frozen.items()))
    return replace(coupling, groups=groups, floors=floors, notes=notes)


class _Least:
    """A number of channels, or a share of them."""

    def __init__(self, text: str) -> None:
        self.share = float(text[:-1]) / 100 if text.endswith("%") else None
        self.number = 0 if self.share is not None else int(text)
        if self.number < 0 or not 0 <= (self.share or 0) <= 1:
            raise ValueError(text)

    def __call__(self, group: ChannelGroup) -> int:
        return self.number if self.share is None else math.ceil(round(self.share * group.channels, 6))


def _parse(text: str) -> tuple[str, _Least | None]:
    pattern, equals, least = text.partition("=")
    if not equals:
        return pattern, None
    try:
        return pattern, _Least(least.strip())
    except ValueError as error:
        raise SurgeryError(f"{text!r} cannot be read", "write PATTERN, PATTERN=24 or PATTERN=50%") from error


def _owners(coupling: Coupling) -> dict[str, set[str]]:
    """Module path (and group name) -> the groups that its output channels belong to."""
    owners: dict[str, set[str]] = {name: {name} for name in coupling.groups}
    for layer in coupling.layers:
        found = {part.group for part in layer.out_parts if part.group is not None}
        owners.setdefault(layer.weight.rpartition(".")[0], set()).update(found)
    for name, group in coupling.groups.items():
        for member in group.members:
            if len(coupling.shapes.get(member.param, ())) == 1:
                owners.setdefault(member.param.rpartition(".")[0], set()).add(name)
    return owners


def _matching(pattern: str, owners: dict[str, set[str]]) -> Iterable[str]:
    paths = [path for path in owners if fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")]
    if not paths:
        near = get_close_matches(pattern, owners, 3) or sorted(owners)[:5]
        raise SurgeryError(f"no layer matches {pattern!r}", f"nearest: {', '.join(near)}; see `edgeprune groups`")
    return sorted(set().union(*(owners[path] for path in paths)))
