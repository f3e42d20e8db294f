"""What can be known to fail before any work: checked first, told at once."""

import sys
from importlib.util import find_spec

from edgeprune.config import Config
from edgeprune.curves import check_installed
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.processes import processes
from edgeprune.recipe import load_recipe

_MODULES = {"litert": ("litert_torch", "ai_edge_litert"), "executorch": ("executorch",), "coreml": ("coremltools",)}


def check(config: Config, *, has_model: bool = False, has_data: bool = False) -> None:
    """Raise the error that `config` would run into later: missing parts, missing extras, no phone.

    `has_model` and `has_data` say that these come as Python objects.
    """
    if config.model is None and not has_model:
        raise UsageError("No model given.", "Pass --model SPEC, or write one into edgeprune.yaml (`edgeprune init`).")
    if config.data is None and not has_data:
        raise UsageError("No data given.", "Pass --data SPEC, or write one into edgeprune.yaml (`edgeprune init`).")
    if not config.budget().limits:
        raise UsageError("No budget given.", "Pass --latency 50% (or 20ms), --memory, --file-size or --macs.")
    load_recipe(config.recipe, **config.axes())
    _check_training(config, has_model or has_data)
    _check_target(config)
    _check_formats(config)
    if config.log is not None:
        check_installed()


def _check_training(config: Config, objects: bool) -> None:
    """`objects`: something comes as a Python object, which processes of our own making cannot see."""
    own = processes(config)
    if own.world == 1 and config.precision == "32":
        return
    from edgeprune.recover.fabric import missing
    from edgeprune.recover.hardware import choose, training_device

    if find_spec("lightning_fabric") is None:
        raise missing()
    if objects and own.world > 1 and not own.launched:
        raise UsageError(
            f"devices={own.devices} starts processes that cannot see Python objects.",
            f"Start the script itself with: torchrun --nproc-per-node {own.devices} SCRIPT.py, or pass specs.",
        )
    choose(config.precision, training_device(config.accelerator, own.devices).type)


def _check_target(config: Config) -> None:
    if config.target == "ios":
        if config.latency is not None or config.memory is not None:
            where = "This version measures no iPhones" if sys.platform == "darwin" else "Latency on iOS needs macOS"
            raise EnvironmentProblem(
                f"{where}: a latency or memory budget cannot be checked here.",
                "Use --target ios --macs 50% for a Core ML package with a static report.",
            )
    elif config.target == "mac":
        from edgeprune.targets.mac import check_mac

        check_mac()
    elif config.target == "android":
        _check_phones(config)


def _check_phones(config: Config) -> None:
    """Raise DeviceError unless the phones that are meant are there and ready; their runners have to be there, too."""
    from edgeprune.targets.cores import check_cores
    from profilers.android.bundle import find_bundles
    from profilers.android.devices import open_phones

    if config.cores is not None:
        check_cores(config.cores)
    if config.farm is not None:
        from profilers.farm.cluster import ray_library, reachable

        ray_library()
        reachable(config.farm)
        return
    open_phones(config.serial)
    if config.runner == "native":
        find_bundles()


def _check_formats(config: Config) -> None:
    formats = config.chosen_formats()
    if config.target != "ios" and config.runtime not in formats:
        raise UsageError(
            f"The budget is about {config.runtime}, but --formats has only {', '.join(formats)}.",
            f"Add {config.runtime} to --formats, or choose another --runtime.",
        )
    for name in formats:
        missing = [module for module in _MODULES[name] if find_spec(module) is None]
        if missing:
            raise EnvironmentProblem(
                f"Format {name} needs {', '.join(missing)}, which is not installed.",
                f'Install it with: pip install "edgeprune[{name}]", or leave {name} out of --formats.',
            )
