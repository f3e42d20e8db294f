"""Which part of a batch each of several processes trains on: contiguous, without gaps and without repeats."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor


def share(n: int, rank: int, world: int) -> tuple[int, int, float]:
    """(start, stop, weight) of process `rank` of `world` in a batch of n images.

    The weight is by how much its mean counts in the mean over all processes, so that this is the mean over the batch: 1
    where the batch is dealt evenly. A batch with fewer images than processes goes to each of them whole.
    """
    if n < world:
        return 0, n, 1.0
    start, stop = n * rank // world, n * (rank + 1) // world
    return start, stop, (stop - start) * world / n


def shares(loader: Iterable[tuple[Any, Any]], rank: int, world: int) -> Iterator[tuple[Any, Any, float]]:
    """(inputs, targets, weight) of each batch of any loader; one that can read a share alone has `shares` itself."""
    own = getattr(loader, "shares", None)
    if own is not None:
        yield from own(rank, world)
        return
    for inputs, targets in loader:
        start, stop, weight = share(_length(inputs), rank, world)
        yield _cut(inputs, start, stop), _cut(targets, start, stop), weight


def _length(value: Any) -> int:
    if isinstance(value, Mapping):
        value = list(value.values())
    return len(value) if isinstance(value, Tensor) else _length(value[0])


def _cut(value: Any, start: int, stop: int) -> Any:
    """Rows start to stop of a tensor, of every tensor of a tuple, list or mapping."""
    if isinstance(value, Mapping):
        return {key: _cut(item, start, stop) for key, item in value.items()}
    if isinstance(value, tuple | list) and value and isinstance(value[0], Tensor | Mapping | tuple | list):
        return tuple(_cut(item, start, stop) for item in value)
    return value[start:stop]
