"""`edgeprune optimize --masked`: the recipe's own form, single weights masked, instead of a run."""

from pathlib import Path
from typing import Any

import typer

from edgeprune.cli.carry_out import Asked


def run_masked(
    settings: dict[str, Any],
    config_file: Path | None,
    masked: bool,
    density: str | None,
    asked: Asked,
) -> None:
    """Train the masked form and show it. Exit code 1 if a promise of the method does not hold: that is a defect of
    ours. Raises UsageError for what it cannot do.
    """
    from edgeprune.cli.deliver import show
    from edgeprune.cli.progress import make_progress
    from edgeprune.config import make_settings
    from edgeprune.errors import UsageError
    from edgeprune.processes import processes
    from edgeprune.quantity import parse_share

    if not masked:
        raise UsageError("--density is a share of single weights.", "Add --masked, or give a budget instead.")
    if asked.resume or asked.plan or asked.install or asked.dry_run:
        raise UsageError("--masked goes with no --resume, --plan, --install or --dry-run.", "Leave it out.")
    budgets = dict.fromkeys(("latency", "memory", "file_size", "macs", "max_drop", "pareto"))
    for name in budgets:
        if settings.get(name) is not None:
            cure = "Leave it out, or leave out --masked: then channels go, and the clock is asked."
            raise UsageError(f"--masked checks no budget, and there is --{name.replace('_', '-')}.", cure)
    config = make_settings(settings, config_file)
    config = config.model_copy(update=budgets)  # those of a settings file are of its other runs
    if processes(config).world > 1:
        raise UsageError("--masked trains in one process.", "Leave out --devices, --nodes and torchrun.")
    share = None if density is None else parse_share(density)
    from edgeprune.pipeline.masked import masked_config
    from edgeprune.report.masked import render_masked

    with make_progress(asked.quiet) as progress:
        result = masked_config(config, share, asked.output, progress)
    show(result, render_masked, asked.as_json)
    if not all(entry.holds for entry in result.properties):
        raise typer.Exit(1)
