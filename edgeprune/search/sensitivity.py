"""What narrowing costs: the divergence from the dense outputs of a network that is physically pruned, not masked.

Batch norms run on the statistics of the calibration batch in both networks: that is their re-estimation and the
measurement in one pass.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.graph import Coupling, prune, switched
from edgeprune.search.costs import Counts, Menus
from edgeprune.search.curves import Curve
from edgeprune.task import Task, call

FRACTIONS = (0.5, 0.0, 0.25, 0.75, 0.375, 0.625)  # of the menu, in the order they are worth measuring
LEAST_IMAGES = 8
PIXELS = 2**19


class Sensitivity:
    """Divergence of pruned networks from the dense one on a fixed calibration set.

    `inputs`: batches of network inputs. `seconds` bounds the time of `curves`: it sets how many images are used
    (`images`, on `threads` threads) and how many widths of each group are measured. `evaluations` counts the networks
    measured.
    """

    def __init__(
        self,
        model: nn.Module,
        coupling: Coupling,
        scores: Mapping[str, Tensor],
        task: Task,
        inputs: Sequence[Any],
        menus: Menus,
        seconds: float = 30.0,
    ) -> None:
        self.coupling, self.scores, self.task = coupling, dict(scores), task
        self.model, self.seconds, self.evaluations = model, seconds, 0
        self.groups = [name for name, menu in menus.items() if len(menu) > 1]
        self.menus = menus
        started = time.perf_counter()
        chunks = list(_chunks(inputs))
        self.threads = _fastest_threads(model, chunks[0])
        with threads(self.threads):
            self._inputs, self._reference = _fit_to_time(model, chunks, seconds / (4.0 * max(1, len(self.groups))))
        self.images = sum(_length(batch) for batch in self._inputs)
        self._deadline = started + seconds
        self._known: dict[tuple[tuple[str, int], ...], float] = {}

    def loss(self, counts: Counts) -> float:
        """Mean divergence from the dense outputs at `counts` (group -> units kept; missing: dense)."""
        key = tuple(sorted(counts.items()))
        if key not in self._known:
            kept = self.coupling.select(self.scores, dict(counts))
            pruned, _ = prune(self.model, self.coupling, kept)
            self._known[key] = self._divergence(pruned.to(memory_format=torch.channels_last))
            self.evaluations += 1
        return self._known[key]

    def _divergence(self, pruned: nn.Module) -> float:
        total = 0.0
        with torch.no_grad(), batch_statistics(pruned), threads(self.threads):
            for batch, reference in zip(self._inputs, self._reference, strict=True):
                total += float(self.task.divergence(call(pruned, batch), reference)) * _length(batch)
        return total / self.images

    def curves(self, on_progress: Callable[[int, int], None] | None = None) -> dict[str, Curve]:
        """One curve a group, each measured alone: at half its menu in any case, at more widths while time lasts."""
        knots: dict[str, dict[int, float]] = {g: {self.menus[g][-1]: 0.0} for g in self.groups}
        steps = [(fraction, g) for fraction in FRACTIONS for g in self.groups]
        for done, (fraction, g) in enumerate(steps):
            if fraction != FRACTIONS[0] and time.perf_counter() > self._deadline:
                break
            menu = self.menus[g]
            width = menu[round(fraction * (len(menu) - 1))]
            if width not in knots[g]:
                knots[g][width] = max(0.0, self.loss({g: width}))
            if on_progress is not None:
                on_progress(done + 1, len(steps))
        return {g: Curve(points) for g, points in knots.items()}

    def refine(self, curves: Mapping[str, Curve], counts: Counts, seconds: float, mix: float = 0.7) -> dict[str, Curve]:
        """The curves, re-measured around a whole pruned network: each group one step down and one up from `counts`.

        Losses of single groups do not add up at half width; around the solution they do, nearly. Groups that the time
        does not reach keep their curve.
        """
        deadline = time.perf_counter() + seconds
        refined = dict(curves)
        base = self.loss(counts)
        for g in sorted(self.groups, key=lambda name: -float(curves[name]([self.menus[name][0]])[0])):
            if time.perf_counter() > deadline:
                break
            menu, here = self.menus[g], counts.get(g, self.menus[g][-1])
            reach = max(1, round(0.15 * len(menu)))
            lower = [w for w in menu if w < here][-reach:][:1]
            upper = [w for w in menu if w > here][:reach][-1:]
            moves = {w: self.loss({**counts, g: w}) - base for w in lower + upper}
            refined[g] = curves[g].rescaled(here, moves, mix)
        return refined


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """`model` in eval mode, except that batch norms use the statistics of the batch; running ones are not touched."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    tracked = [norm.num_batches_tracked.clone() if norm.num_batches_tracked is not None else None for norm in norms]
    try:
        with switched(model, training=False):
            for norm in norms:
                norm.training = True
                norm.momentum = 0.0
            yield
    finally:
        for norm, momentum, count in zip(norms, momenta, tracked, strict=True):
            norm.momentum = momentum
            if count is not None:
                norm.num_batches_tracked = count


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch runs on `count` threads."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def _fastest_threads(model: nn.Module, batch: Any) -> int:
    """One thread or those torch has: on a machine that others use too, two can be eight times slower than one."""
    seconds = {}
    with torch.no_grad(), batch_statistics(model):
        for count in (1, torch.get_num_threads()):
            with threads(count):
                call(model, batch)
                started = time.perf_counter()
                call(model, batch)
                seconds[count] = time.perf_counter() - started
    return min(seconds, key=lambda count: seconds[count])


def _length(batch: Any) -> int:
    return len(batch) if isinstance(batch, Tensor) else len(batch[0])


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _chunks(inputs: Iterable[Any]) -> Iterator[Any]:
    """The batches cut to about half a million pixels (small enough to time, enough for batch norm), channels last."""
    for batch in inputs:
        first = batch if isinstance(batch, Tensor) else batch[0]
        size = int(min(256, max(LEAST_IMAGES, PIXELS // max(1, first[0, 0].numel()))))
        for start in range(0, len(first), size):
            part = slice(start, start + size)
            yield (
                _channels_last(batch[part])
                if isinstance(batch, Tensor)
                else tuple(_channels_last(x[part]) for x in batch)
            )


def _fit_to_time(model: nn.Module, inputs: Iterable[Any], seconds: float) -> tuple[list[Any], list[Any]]:
    """As many batches as the dense network answers in `seconds`, but at least 8 images, with its answers."""
    used: list[Any] = []
    answers: list[Any] = []
    images, started = 0, time.perf_counter()
    with torch.no_grad(), batch_statistics(model):
        for batch in inputs:
            answers.append(call(model, batch))
            used.append(batch)
            images += _length(batch)
            if images >= LEAST_IMAGES and (time.perf_counter() - started) * (len(used) + 1) / len(used) > seconds:
                break
    return used, answers
