"""A NetAdapt-style loop (Yang et al., ECCV 2018) as a rival of the width search, with our cost table and our training.

Every round asks each group alone for the latency of the next target (the last one less R0 x DECAY^round of dense),
keeps the filters of largest L2 norm, trains each candidate for a few steps, and goes on with the one that is best on
val. Defaults of the authors' re-implementation: R0 2.5 % of dense, decay 0.96, 10 iterations; R0 is 5 % here, since
2.5 % with that decay never gets below 37.5 % of dense.
"""

import itertools
import time
from dataclasses import dataclass

from torch import nn

from edgeprune.graph import Coupling, find_groups, prune, trace
from edgeprune.pipeline.job import Job
from edgeprune.recover.finetune import finetune
from edgeprune.score import score
from edgeprune.search.predictor import Predictor
from edgeprune.sources.batches import loaders

R0, DECAY, ITERATIONS, LR, VAL_BATCHES = 0.05, 0.96, 10, 1e-3, 2


@dataclass(frozen=True)
class Adapted:
    """The network that was reached, its units by group, the seconds that the loop took and the candidates trained."""

    network: nn.Module
    counts: dict[str, int]
    seconds: float
    candidates: int


def adapt(job: Job, coupling: Coupling, predictor: Predictor, budget_ms: float, multiple: int) -> Adapted:
    """From dense to `budget_ms`, predicted by the table that our search uses. Raises ValueError where that is below."""
    started, tried = time.perf_counter(), 0
    menus = coupling.menu(multiple)
    counts = {group: menu[-1] for group, menu in menus.items()}
    dense_ms = now = predictor.predict(counts)
    network, step = job.model, R0 * dense_ms
    train, val, _ = loaders(job.data, job.batch_size, job.config.seed)
    few = list(itertools.islice(train, ITERATIONS))
    seen = list(itertools.islice(val, VAL_BATCHES))
    while now > budget_ms:
        target = max(now - step, budget_ms)
        step *= DECAY
        here = find_groups(trace(network, job.example_inputs))
        scores = score("l2", network, here, [], job.task)
        found: list[tuple[float, dict[str, int], nn.Module]] = []
        for group, menu in menus.items():
            fits = [w for w in menu if w < counts[group] and predictor.predict({**counts, group: w}) <= target]
            if not fits:
                continue
            candidate, _ = prune(network, here, here.select(scores, {group: fits[-1]}))
            finetune(candidate, few, seen, job.task, epochs=1, lr=LR, seed=job.config.seed)
            metrics = job.task.evaluate(candidate, seen)
            found.append((float(metrics[job.task.primary]), {**counts, group: fits[-1]}, candidate))
            tried += 1
        if not found:
            raise ValueError(f"no group alone reaches {target / dense_ms:.0%} of dense")
        _, counts, network = max(found, key=lambda one: one[0])
        now = predictor.predict(counts)
    return Adapted(network, counts, time.perf_counter() - started, tried)
