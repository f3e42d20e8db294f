"""What `edgeprune optimize` does with its options: a dry run, a plan, one run, or the several runs of a front."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from edgeprune.config import Config


class Asked(NamedTuple):
    """The options that are no settings of the run."""

    output: Path | None
    resume: bool
    dry_run: bool
    plan: bool
    install: bool
    quiet: bool
    as_json: bool


def carry_out(settings: dict[str, Any], config_file: Path | None, asked: Asked) -> None:
    """Check everything, do what was asked for, and show it. Raises what makes it impossible; typer.Exit(4): not met."""
    from edgeprune.config import each_budget, make_settings
    from edgeprune.errors import UsageError

    config = make_settings(settings, config_file)

    from edgeprune.preflight import check

    if asked.plan and asked.dry_run:
        raise UsageError("--plan measures, --dry-run does not.", "Leave one of them out.")
    if asked.install:
        from edgeprune.apk.ship import check_shippable

        if asked.plan:
            raise UsageError("--plan ends before there is anything to --install.", "Leave one of them out.")
        check_shippable(config)
    several = each_budget(config)
    for one in several:
        check(one)

    from edgeprune.pipeline.job import job_from_config
    from edgeprune.pipeline.led import led
    from edgeprune.processes import restarted
    from edgeprune.progress import LoggedProgress

    with led(config, lambda ordered: job_from_config(ordered, LoggedProgress())) as leads:
        if leads:
            _lead(config, len(several), asked._replace(resume=asked.resume or restarted()))


def _lead(config: "Config", budgets: int, asked: Asked) -> None:
    """What of several processes one does."""
    from edgeprune.cli.deliver import deliver, show
    from edgeprune.cli.progress import make_progress
    from edgeprune.errors import UsageError

    output, resume, install, as_json = asked.output, asked.resume, asked.install, asked.as_json
    if asked.dry_run:
        from edgeprune.pipeline.dry_run import dry_run
        from edgeprune.report.dry_run import render_dry_run

        with make_progress(asked.quiet) as progress:
            would = dry_run(config, output, progress, resume=resume, install=install)
        show(would, render_dry_run, as_json)
        return
    if budgets > 1 or config.max_drop is not None or config.pareto is not None:
        if asked.plan:
            raise UsageError("--plan looks at one budget.", "Give one --latency.")
        from edgeprune.pipeline.fastest import optimize_fastest
        from edgeprune.pipeline.front import optimize_front, optimize_pareto
        from edgeprune.report.front import render_front

        make_front = optimize_front if budgets > 1 else optimize_pareto if config.pareto else optimize_fastest
        with make_progress(asked.quiet) as progress:
            front = make_front(config, output, resume=resume, progress=progress)
        deliver(front, render_front, as_json, config.serial, front.delivered() if install else [], asked.quiet)
        return
    if asked.plan:
        from edgeprune.pipeline.plan import plan_config
        from edgeprune.report.plan import render_plan

        with make_progress(asked.quiet) as progress:
            found = plan_config(config, progress)
        show(found, render_plan, as_json)
        return
    from edgeprune.pipeline.optimize import optimize_config
    from edgeprune.report.terminal import render

    with make_progress(asked.quiet) as progress:
        result = optimize_config(config, output, resume=resume, progress=progress)
    deliver(result, render, as_json, config.serial, [result.path] if install and result.path else [], asked.quiet)
