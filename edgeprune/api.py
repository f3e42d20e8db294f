"""The Python API: the same run as the command line, with objects instead of specs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edgeprune.config import Config, make_config
from edgeprune.errors import UsageError
from edgeprune.finished import read_result
from edgeprune.graph import Protection, Widths
from edgeprune.pipeline.job import Job, job_from_config, make_job
from edgeprune.pipeline.led import everywhere, led
from edgeprune.pipeline.optimize import optimize_job
from edgeprune.pipeline.prune import Goal, Ranking, prune_network
from edgeprune.pipeline.publish import restore
from edgeprune.preflight import check
from edgeprune.processes import restarted
from edgeprune.progress import LoggedProgress, Progress
from edgeprune.quantity import parse_limit
from edgeprune.result import Result
from edgeprune.sources.data import Data
from edgeprune.sources.models import load_model
from edgeprune.sources.user_data import wrap_data
from edgeprune.task import Classification, Task, make_task


def optimize(
    model: nn.Module | str,
    example_input: Tensor | tuple[Tensor, ...] | None = None,
    *,
    train: Any = None,
    val: Any = None,
    test: Any = None,
    task: Task | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    evaluate: Callable[..., Any] | None = None,
    class_names: tuple[str, ...] = (),
    output: Path | str | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """The most accurate slimmer network that meets the budget, measured on the target.

    `model`: the trained network, or a spec as on the command line (then `data="folder:..."` may be a spec too).
    `example_input`: one input with batch size 1, or a tuple of them (default: the first of val). `train`, `val`,
    `test`: datasets or DataLoaders of (input, target); val is cut from train where there is none.
    `loss(outputs, targets)` and `evaluate(model, loader)`,
    or `task`, replace classification. `settings`: any key of edgeprune.yaml, such as `target="host", latency="50%"`.

    Returns the result, whose `module` is the pruned network and whose `path` is the run directory. `met` says whether
    the budget is met. In a script under torchrun all processes call this, and train together; only rank 0 gets `module`
    and `path`. Raises EdgePruneError and the errors of the packages below.
    """
    progress = progress or LoggedProgress()
    if isinstance(model, str):
        settings["model"] = model
    config = make_config(settings)
    if config.max_drop is not None or config.pareto is not None:
        raise UsageError("max_drop and pareto take several runs.", "Ask with `edgeprune optimize --max-drop` instead.")
    check(config, has_model=not isinstance(model, str), has_data=train is not None)

    def job_of(config: Config) -> Job:
        if isinstance(model, str) and train is None:
            return job_from_config(config, progress)
        data = wrap_data(train, val, test, class_names or None, name="Python objects", seed=config.seed)
        network = load_model(
            model, config.weights, num_classes=len(data.class_names) or None, in_channels=data.input_shape[0]
        )
        chosen = task or _task(loss, evaluate, data)
        example = (example_input,) if isinstance(example_input, Tensor) else example_input
        return make_job(config, network, data, chosen, progress, "edgeprune.optimize(...)", example)

    result = None
    with led(config, job_of) as leads:
        if leads:
            result = optimize_job(job_of(config), Path(output) if output else None, resume=resume or restarted())
    return everywhere(config, result)


def prune(
    model: nn.Module,
    example_input: Tensor | tuple[Tensor, ...],
    *,
    ratio: float | None = None,
    macs: str | None = None,
    score: str = "l2",
    allocate: str = "uniform",
    batches: Iterable[tuple[Any, Any]] = (),
    task: Task | None = None,
    multiple: int = 8,
    keep: tuple[str, ...] = (),
    min_channels: int = 1,
    max_ratio: float = 1.0,
    seed: int = 0,
) -> tuple[nn.Module, Widths]:
    """Remove `ratio` (default 0.5) of the channels of every group, or prune down to `macs` ("50%", "300M").

    No training, no measuring. Widths are multiples of `multiple`; `allocate="global"` ranks the channels of all groups
    together instead of taking the same share of each. The surgery is proved on a copy with generic weights; groups that
    cannot be proved keep their width. `score`: l1, l2, bn-scale and random need no data, beta-rank and taylor rank on
    `batches` of (inputs, targets), and taylor needs `task`. `keep`, `min_channels`, `max_ratio`: see
    `edgeprune.graph.Protection`. The model itself is not touched. Raises UsageError, BudgetNotMet.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    if ratio is None and macs is None:
        ratio = 0.5
    limit = parse_limit("macs", macs) if macs is not None else None
    goal = Goal(ratio, limit, allocate, multiple)
    ranking = Ranking(score, batches, task, seed)
    pruned = prune_network(model, inputs, goal, ranking, Protection(tuple(keep), min_channels, max_ratio))
    return pruned.network, pruned.widths


def load(run: Path | str, model: nn.Module | None = None) -> nn.Module:
    """The pruned, trained network of a finished run, in eval mode.

    `model` is the original architecture; where it is None, it is built from the spec in the run's config.yaml.
    """
    folder = Path(run)
    if model is not None and not isinstance(model, nn.Module):
        raise UsageError(f"model= is {model!r}, not a network.", "Pass an instance of the original class.")
    result = read_result(folder)
    if model is None:
        from edgeprune.config import make_config, read_config_file

        config = make_config(read_config_file(folder / "config.yaml"))
        if config.model is None:
            raise UsageError(f"{folder} was made from a Python object.", "Pass model=, the original network.")
        classes = len(result.data.class_names or ()) or None
        model = load_model(config.model, num_classes=classes, in_channels=result.data.input_shape[0])
    return restore(folder, model)


def _task(loss: Any, evaluate: Any, data: Data) -> Task:
    if (loss is None) != (evaluate is None):
        raise UsageError("loss= and evaluate= come together.", "Pass both, or neither for classification.")
    if loss is not None:
        return make_task(loss, evaluate)
    if not data.class_names:
        raise UsageError("The targets are no class indices.", "Pass loss= and evaluate=, or task=.")
    return Classification(len(data.class_names), data.class_names)
