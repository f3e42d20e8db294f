"""The cost table of a network on a target: built anew or from the store, looked at, and put to the test."""

import math
import random
import tempfile
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import converters
from converters.artifact import SUFFIXES, Artifact
from converters.options import Options
from edgeprune.answers import TableCheck, TableLayer, TableResult
from edgeprune.config import Config
from edgeprune.graph import Coupling, find_groups, trace
from edgeprune.pipeline.candidate_files import CandidateFiles
from edgeprune.progress import Progress
from edgeprune.search.cost_table import CostTable, LayerStore
from edgeprune.search.predictor import Predictor
from edgeprune.targets.target import Bench, Target, Targets, ratios
from profilers.layers import LayerKey
from profilers.store import LayerCosts, Store

FITTED = 6  # networks that are measured to fit the predictor, as the rounds of a search would
REPEATED = 5  # every fifth network is measured twice: what the clock itself repeats
SECONDS = 0.7
AT_ONCE = 8  # networks a phone of a farm, handed over together: the last ones of a batch keep few phones waiting
MOST_AT_ONCE = 200  # their files lie on this machine meanwhile


class _Forgotten:
    """A store whose content is not looked at, so that everything is measured and kept anew."""

    def __init__(self, store: LayerCosts) -> None:
        self._store = store

    def get(self, keys: Sequence[LayerKey]) -> Mapping[LayerKey, float]:
        """Nothing."""
        del keys
        return {}

    def put(self, costs: Mapping[LayerKey, float]) -> None:
        """Keep milliseconds in place of earlier ones."""
        self._store.put(costs)


@dataclass(frozen=True)
class Subject:
    """The network that a table is about: float32, in eval mode, with one example input."""

    name: str
    model: nn.Module
    example_inputs: tuple[Tensor, ...]


def build_tables(
    subject: Subject, config: Config, progress: Progress, *, fresh: bool = False, multiple: int = 8
) -> list[TableResult]:
    """The table of every target, measured where it is not known; `fresh` measures all of it again."""
    progress.stage("Tracing the network and its channel groups")
    coupling = find_groups(trace(subject.model, subject.example_inputs))
    with closing(Targets(config, progress)) as targets:
        found = []
        for target in targets.all:
            progress.stage(f"Measuring layers on {target.name}")
            table = _table(target, coupling, multiple, fresh=fresh, believe=True)
            found.append(_entry(subject, target, coupling, table, config))
    return found


def check_tables(
    subject: Subject, config: Config, progress: Progress, *, vectors: int = 200, seed: int = 0, multiple: int = 8
) -> list[TableCheck]:
    """Predicted against measured for random widths that are drawn after fitting, on every target.

    The predictor is fitted to the dense network and 6 random ones, as a search would; then `vectors` networks are
    drawn, their milliseconds predicted, their files made and measured. Every fifth is measured twice.
    """
    progress.stage("Converting the dense network")
    coupling = find_groups(trace(subject.model, subject.example_inputs))
    with tempfile.TemporaryDirectory(prefix="edgeprune-table-") as place, closing(Targets(config, progress)) as targets:
        folder, suffix = Path(place), SUFFIXES[config.runtime]
        dense = converters.convert(subject.model, subject.example_inputs, config.runtime, folder / f"dense{suffix}")
        files = CandidateFiles(
            subject.model, subject.example_inputs, coupling, dense, Options(), progress.note
        )  # fmt: skip
        found = []
        for target in targets.all:
            progress.stage(f"Measuring layers on {target.name}")
            predictor = _predictor(target, coupling, multiple, dense)
            progress.stage(f"Measuring {FITTED} networks to fit, then {vectors} to check")
            drawn = _Drawn(coupling, multiple, seed)
            with target.bench(dense) as bench:
                clock = _Clock(bench, predictor.target_ms, files, coupling, folder, suffix)
                some = [drawn.next() for _ in range(FITTED)]
                for counts, (ms, _) in zip(some, clock(some), strict=True):
                    predictor.observe(counts, ms)
                rows = _rows(drawn, predictor, clock, vectors, _at_once(target.width), progress.advance)
            found.append(_judged(subject, target, config, files, rows))
    return found


def _table(target: Target, coupling: Coupling, multiple: int, *, fresh: bool, believe: bool) -> CostTable:
    known = target.layer_costs(Store())
    store: LayerStore = _Forgotten(known) if fresh else known
    with target.prober() as prober:
        return CostTable(coupling, coupling.menu(multiple), prober, store, believe=believe)


def _predictor(target: Target, coupling: Coupling, multiple: int, dense: Artifact) -> Predictor:
    table = _table(target, coupling, multiple, fresh=False, believe=False)
    dense_ms = target.measure({"dense": dense}, memory=False)["dense"].latency.median
    return Predictor(coupling, table, dense_ms)


def _at_once(width: int) -> int:
    """Networks to hand over together to a target that times `width` at once."""
    return 1 if width == 1 else max(width, min(AT_ONCE * width, MOST_AT_ONCE))


class _Drawn:
    """Width vectors: every group at any of its widths, all equally likely."""

    def __init__(self, coupling: Coupling, multiple: int, seed: int) -> None:
        self._menus, self._chosen = coupling.menu(multiple), random.Random(seed)

    def next(self) -> dict[str, int]:
        return {group: self._chosen.choice(menu) for group, menu in self._menus.items()}


class _Clock:
    """Milliseconds of networks on the target: their paired ratios to dense times dense's milliseconds."""

    def __init__(
        self, bench: Bench, dense_ms: float, files: CandidateFiles, coupling: Coupling, folder: Path, suffix: str
    ) -> None:
        self._bench, self._dense_ms, self._files, self._coupling = bench, dense_ms, files, coupling
        self._folder, self._suffix = folder, suffix

    def __call__(
        self, networks: Sequence[dict[str, int]], twice: Container[int] = ()
    ) -> list[tuple[float, float | None]]:
        """(measured, measured again or None) of each; those whose positions are in `twice` again, with the others."""
        files = [self._build(counts, number) for number, counts in enumerate(networks)]
        again = [number for number in range(len(files)) if number in twice]
        found = ratios(self._bench, [*files, *(files[number] for number in again)], SECONDS)
        ms = [ratio.median * self._dense_ms for ratio, _ in found]
        second = dict(zip(again, ms[len(files) :], strict=True))
        return [(ms[number], second.get(number)) for number in range(len(files))]

    def _build(self, counts: dict[str, int], number: int) -> Artifact:
        units = {group: torch.arange(self._coupling.groups[group].units).flip(0).float() for group in counts}
        path = self._folder / f"candidate-{number}{self._suffix}"
        return self._files.make(counts, self._coupling.select(units, counts), path)


def _rows(
    drawn: _Drawn,
    predictor: Predictor,
    clock: _Clock,
    vectors: int,
    at_once: int,
    advance: Callable[[float, float, str], None],
) -> list[tuple[float, float, float | None]]:
    """(predicted, measured, measured again or None), ms."""
    rows: list[tuple[float, float, float | None]] = []
    while len(rows) < vectors:
        some = [drawn.next() for _ in range(min(at_once, vectors - len(rows)))]
        twice = {number for number in range(len(some)) if (len(rows) + number) % REPEATED == 0}
        timed = clock(some, twice)
        rows += [(predictor.predict(counts), *both) for counts, both in zip(some, timed, strict=True)]
        advance(len(rows), vectors, f"{share_within([(p, m) for p, m, _ in rows], 0.1):.0%} within 10 %")
    return rows


def share_within(pairs: Sequence[tuple[float, float]], tolerance: float) -> float:
    """Share of (predicted, measured) pairs that differ by at most `tolerance` of the measured value."""
    good = sum(abs(predicted - measured) <= tolerance * measured for predicted, measured in pairs)
    return good / len(pairs) if pairs else math.nan


def _judged(
    subject: Subject,
    target: Target,
    config: Config,
    files: CandidateFiles,
    rows: Sequence[tuple[float, float, float | None]],
) -> TableCheck:
    pairs = [(predicted, measured) for predicted, measured, _ in rows]
    twice = [(again, measured) for _, measured, again in rows if again is not None]
    return TableCheck(
        model=subject.name,
        target=target.name,
        kind=target.kind,
        runtime=config.runtime,
        threads=config.threads,
        candidates="reshaped" if files.reshapes else "converted",
        vectors=len(rows),
        within_10=share_within(pairs, 0.10),
        within_5=share_within(pairs, 0.05),
        repeated=len(twice),
        clock_within_10=share_within(twice, 0.10),
        clock_within_5=share_within(twice, 0.05),
        pairs_ms=pairs,
    )


def _entry(subject: Subject, target: Target, coupling: Coupling, table: CostTable, config: Config) -> TableResult:
    layers = []
    for layer in coupling.layers:
        c_in, c_out = coupling.channels(layer, {})
        ins, outs, ms = table.grid(layer)
        layers.append(
            TableLayer(name=layer.name, op=layer.op, c_in=c_in, c_out=c_out, ins=ins, outs=outs, ms=ms.tolist())
        )
    return TableResult(
        model=subject.name,
        target=target.name,
        kind=target.kind,
        fingerprint=target.fingerprint(),
        runtime="litert",
        threads=config.threads,
        measured_now=table.probed,
        known_before=table.reused,
        layers=layers,
    )
