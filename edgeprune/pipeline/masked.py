"""`optimize --masked`: the paper's own masked form of a recipe, trained and held against what the paper promises."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from edgeprune.answers import MaskedProperty, MaskedResult
from edgeprune.config import Config
from edgeprune.errors import UsageError
from edgeprune.files import disk_trouble, write_text
from edgeprune.graph import Widths
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.pipeline.train import make_work
from edgeprune.pipeline.trainings import save_network
from edgeprune.pipeline.watch import scalars
from edgeprune.progress import Progress
from edgeprune.recipe import Choice, load_recipe, masked_recipes
from edgeprune.recover.work import Length
from edgeprune.registry import make
from edgeprune.schedule.masked_forms import MASKED
from edgeprune.sources.batches import loaders

NOTES = (
    "Nothing gets faster: the network has the dense one's shape, and zeros are multiplied like any number.",
    "No budget was checked, no file for a phone was written. Without --masked, channels go and the clock is asked.",
)


def masked_config(config: Config, density: float | None, output: Path | None, progress: Progress) -> MaskedResult:
    """Train the masked form that the recipe defines; model.safetensors and masked.json go to `output`.

    `density`: share of the weights that stay, instead of the recipe's. Raises UsageError before any work for a recipe
    without such a form, and for a folder that is not empty. Budgets are not looked at.
    """
    choice = chosen_form(config, density)
    model, recipe = Path((config.model or "model").rsplit(":", 1)[-1]).stem, Path(config.recipe).stem
    folder = output or Path("runs") / f"{model}-{recipe}-masked"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and is not an empty folder.", "Choose another -o.")
    form = make(choice, MASKED)
    progress.stage("Loading model and data")
    job = job_from_config(config, progress)
    steps = len(loaders(job.data, job.batch_size, config.seed)[0])  # type: ignore[arg-type]
    form.check(Length(job.training.epochs, steps))
    with disk_trouble(folder):
        folder.mkdir(parents=True, exist_ok=True)
    result, network = _run(job, choice, form)
    save_network(network, folder / "model.safetensors")
    write_text(folder / "masked.json", result.model_dump_json(indent=2) + "\n")
    progress.note(f"written: {folder / 'model.safetensors'} (the masked network's weights), {folder / 'masked.json'}")
    return result


def chosen_form(config: Config, density: float | None) -> Choice:
    """The recipe's masked form, with another density if that is given. Raises UsageError for a recipe without one."""
    exchanged = [axis for axis, name in config.axes().items() if name is not None]
    if exchanged:
        raise UsageError(
            f"--masked is the method's own form: it takes no --{exchanged[0]}.", "Choose another --recipe."
        )
    choice = load_recipe(config.recipe).masked
    if choice is None:
        raise UsageError(
            f"The recipe {config.recipe} has no masked form: its paper prunes whole channels, or nothing.",
            f"These have one: {', '.join(masked_recipes())}.",
        )
    if density is None:
        return choice
    if "density" not in choice.settings:
        raise UsageError(f"{config.recipe} finds its density itself.", "Leave out --density.")
    return choice.model_copy(update={"settings": {**choice.settings, "density": density}})


def _run(job: Job, choice: Choice, form: Callable[..., Any]) -> tuple[MaskedResult, nn.Module]:
    started = time.monotonic()
    job.progress.stage("Tracing the network")
    traced, coupling = job.groups()
    work = make_work(job, traced, coupling, Widths())
    job.progress.stage("Training under masks")
    made = form(work)
    job.progress.stage("Reading test")
    final = loaders(job.data, job.batch_size, job.config.seed)[2] or work.val
    layers = {name: {"weights": m.numel(), "alive": int(m.sum())} for name, m in made.alive.items()}
    weights = {key: sum(layer[key] for layer in layers.values()) for key in ("weights", "alive")}
    result = MaskedResult(
        recipe=job.recipe.name,
        form=choice.name,
        settings=choice.settings,
        model=job.config.model or "",
        data=job.config.data or "",
        seed=job.config.seed,
        weights=weights,
        density=weights["alive"] / weights["weights"],
        layers=layers,
        properties=[MaskedProperty(**asdict(entry)) for entry in made.properties],
        facts=made.facts,
        epochs=job.training.epochs,
        primary_metric=job.task.primary,
        dense=scalars(job.task.evaluate(job.model, final)),
        masked=scalars(job.task.evaluate(made.network, final)),
        split="val" if job.data.test is None else "test",
        seconds=time.monotonic() - started,
        notes=list(NOTES),
    )
    return result, made.network
