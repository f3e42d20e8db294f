"""What can be known to fail before any work: checked first, told at once."""

import subprocess
import sys
from importlib.util import find_spec

from edgeprune.config import Config
from edgeprune.errors import DeviceError, EnvironmentProblem, UsageError
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
    load_recipe(config.recipe, score=config.score, allocate=config.allocate)
    _check_target(config)
    _check_formats(config)


def _check_target(config: Config) -> None:
    if config.target == "ios":
        if config.latency is not None or config.memory is not None:
            where = "This version measures no iPhones" if sys.platform == "darwin" else "Latency on iOS needs macOS"
            raise EnvironmentProblem(
                f"{where}: a latency or memory budget cannot be checked here.",
                "Use --target ios --macs 50% for a Core ML package with a static report.",
            )
    elif config.target == "android":
        _check_phone()


def _check_phone() -> None:
    from profilers.android.devices import attached, find_adb

    adb = find_adb()
    if adb is None:
        raise DeviceError(
            "No phone: adb was not found.",
            "Install Android's platform-tools (Debian: apt-get install adb), attach a phone with USB debugging on, "
            "and check that `adb devices` lists it. This version cannot measure on phones yet: use --target host.",
        )
    try:
        phones = attached(adb)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(f"adb does not answer: {error}", "Try `adb kill-server`, then `adb devices`.") from error
    if not phones:
        raise DeviceError(
            "No phone: adb lists no device.",
            "Attach one, switch on USB debugging in its developer options, and accept the question on its screen. "
            "This version cannot measure on phones yet: use --target host.",
        )
    found = ", ".join(f"{phone.serial} ({phone.state})" for phone in phones)
    raise DeviceError(
        f"Found {found}, but this version cannot measure on phones yet.",
        "Use --target host, or --target ios --macs 50% for a static run.",
    )


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
