"""`--plan`: stop before training and tell the floor, the reachable range and where the milliseconds go."""

import tempfile
from contextlib import closing
from pathlib import Path

import torch

import converters
from converters.artifact import SUFFIXES
from edgeprune.answers import Plan, PlanLayer
from edgeprune.config import Config
from edgeprune.errors import UsageError
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.choose import make_predictor
from edgeprune.pipeline.job import job_from_config
from edgeprune.pipeline.quantize import calibration, options
from edgeprune.progress import Progress


def plan_config(config: Config, progress: Progress) -> Plan:
    """What a latency budget can buy for this network on the target: of several phones, on the first.

    Nothing is trained, no run directory is made.
    The dense network and the floor (every group at its narrowest) are converted and measured; the milliseconds of
    single layers are predicted from the cost table. Raises UsageError for a target that cannot be measured.
    """
    if config.target == "ios":
        raise UsageError(f"--plan measures, and {config.target} cannot be measured here.", "Use --target host.")
    progress.stage("Loading model and data")
    config = config.model_copy(update={"serial": config.serial[:1]})
    job = job_from_config(config, progress)
    progress.stage("Tracing the network and its channel groups")
    _, coupling = job.groups()
    narrowest = {group: menu[0] for group, menu in coupling.menu(config.multiples()[-1]).items()}
    with tempfile.TemporaryDirectory(prefix="edgeprune-plan-") as folder, closing(job.targets):
        progress.stage("Converting and measuring the dense network")
        fmt = config.runtime
        dense = converters.convert(job.model, job.example_inputs, fmt, Path(folder) / f"dense{SUFFIXES[fmt]}")
        files = {"dense": dense}
        if config.quantize != "none":
            path = Path(folder) / f"dense-{config.quantize}{SUFFIXES[fmt]}"
            how = options(job, calibration(job))
            files["shipped"] = converters.convert(job.model, job.example_inputs, fmt, path, how)
        target = job.targets.all[0]
        measured = target.measure(files, memory=False)
        dense_ms = measured["dense"].latency.median
        shipped_ms = measured["shipped"].latency.median if "shipped" in measured else None
        progress.stage("Measuring layers")
        predictor = make_predictor(job, target, coupling, shipped_ms or dense_ms, config.multiples()[0])
        progress.stage("Measuring the floor")
        kept = coupling.select({g: torch.ones(coupling.groups[g].units) for g in narrowest}, narrowest)
        with Candidates(job, coupling, dense, [dense_ms], relative=True) as candidates:
            floor = candidates.measure(narrowest, kept)
    limit = job.budget.get("latency")
    return Plan(
        model=config.model or "",
        runtime=config.runtime,
        threads=config.threads,
        quantize=config.quantize,
        kind=target.kind,
        dense_ms=dense_ms,
        quantized_ms=shipped_ms,
        floor_ms=floor.ms,
        floor_share=floor.ms / dense_ms,
        budget_ms=limit.absolute(dense_ms) if limit else None,
        in_reach=floor.upper <= limit.absolute(dense_ms) if limit else None,
        dense_macs=coupling.macs(),
        floor_macs=coupling.macs(narrowest),
        layers=[
            PlanLayer(name=x.name, op=x.op, c_in=x.c_in, c_out=x.c_out, predicted_ms=x.ms)
            for x in predictor.breakdown({})
        ],
        frozen={name: group.frozen for name, group in coupling.groups.items() if group.frozen is not None},
        notes=list(coupling.notes),
    )
