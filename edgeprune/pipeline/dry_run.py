"""`--dry-run`: everything that a run checks before its first stage, and what it would then do. Nothing is written."""

from pathlib import Path

from edgeprune.answers import DryRun
from edgeprune.config import Config, each_budget
from edgeprune.pipeline.front import front_folder, front_name, largest_first
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.processes import processes
from edgeprune.progress import Progress
from edgeprune.report import facts
from edgeprune.run import Run, default_path
from edgeprune.search.loop import MAX_ROUNDS
from edgeprune.sources.batches import loaders
from edgeprune.sources.data import is_loader


def dry_run(config: Config, output: Path | None, progress: Progress, *, resume: bool, install: bool) -> DryRun:
    """What `optimize` would do with these settings, which `preflight.check` has passed.

    Model, weights and data are loaded, one image goes through the network, its channel groups are found, the target is
    looked for, and the place of the run is checked; the errors are those of a real run.
    """
    several = config.pareto is not None or config.max_drop is not None or len(each_budget(config)) > 1
    first = each_budget(config)[0]
    if several:
        place = front_folder(config, output, resume, front_name(config))
    else:
        place = output or default_path(config, resume)
        Run.check_place(place)
    progress.stage("Loading model and data")
    job = job_from_config(first, progress)
    done = [] if several else Run.check(place, config, job.recipe, resume=resume)
    progress.stage("Tracing the network and its channel groups")
    _, coupling = job.groups()
    data = job.data
    return DryRun(
        model=config.model or "",
        macs=coupling.macs(),
        params=coupling.params(),
        groups=sum(group.frozen is None for group in coupling.groups.values()),
        data=config.data or "",
        input_shape=list(data.input_shape),
        classes=len(data.class_names),
        images={
            name: None if is_loader(split) else len(split)  # type: ignore[arg-type]
            for name, split in (("train", data.train), ("val", data.val), ("test", data.test))
            if split is not None
        },
        targets=find_targets(config),
        budget=_question(config, job),
        latencies=largest_first(config) if several and config.latency else [],
        recipe=job.recipe.name,
        stages=stages(job, install=install),
        output=str(place),
        done=done,
        seed=config.seed,
    )


def find_targets(config: Config) -> list[str]:
    """The machines that the run would measure on, in words; phones are asked what they are, nothing is put on them.

    Raises DeviceError as `profilers.android.devices.open_phones`.
    """
    from profilers.device import cpu_name

    if config.target == "android":
        from profilers.android.devices import open_phones
        from profilers.android.facts import read_facts

        found = [read_facts(phone) for phone in open_phones(config.serial)]
        return [f"{f.name}, Android {f.android}" + (" (emulated)" if f.emulated else "") for f in found]
    if config.target == "ios":
        return ["ios: nothing is measured"]
    return [f"{config.target}: {cpu_name()}"]


def stages(job: Job, *, install: bool = False) -> list[str]:
    """What each stage of the run would do, in its order."""
    config, recipe = job.config, job.recipe
    formats = ", ".join(facts.RUNTIMES[name] for name in config.chosen_formats())
    runtime = facts.RUNTIMES[config.runtime]
    threads = "" if config.target == "mac" else f" ({config.threads} thread{'s' if config.threads > 1 else ''})"
    timed = config.target != "ios"
    number_format = "" if config.quantize == "none" else f" as {config.quantize}"
    search = f"score {recipe.score.name}, allocation {recipe.allocate.name}"
    if timed and job.budget.get("latency") is not None:
        search += f"; at most {MAX_ROUNDS} candidates{number_format} built and timed, before any training"
    training = f"schedule {recipe.schedule.name}, recovery {recipe.recover.name}, {job.training.epochs} epochs"
    steps = len(loaders(job.data, job.batch_size, config.seed)[0])  # type: ignore[arg-type]
    world = processes(config).world
    found = [
        "dense baseline: evaluated on val, converted" + (f", measured with {runtime}{threads}" if timed else ""),
        f"search: {search}",
        f"training: {training} of {steps} steps on {job.device}" + (f", {world} processes" if world > 1 else ""),
        f"files{number_format}: {formats}",
        f"verdict: dense and pruned {'measured in fresh processes' if timed else 'counted'}; the final split read once",
    ]
    if config.control is not None:
        found.insert(3, f"control: the same widths from random weights ({config.control})")
    return [*found, "the demo app with the run's networks, on the phone"] if install else found


def _question(config: Config, job: Job) -> str:
    if config.max_drop is not None:
        return f"the fastest network that loses at most {config.max_drop:g} points: at most four runs"
    if config.pareto is not None:
        return f"a front of {config.pareto} latencies, a run each"
    if "," in (config.latency or ""):
        return f"latency {' and '.join(largest_first(config))}, a run each"
    return str(job.budget)
