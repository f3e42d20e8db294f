"""From finished runs to the app: their bundles, the APK, installed on phones and started."""

from collections.abc import Sequence
from pathlib import Path

from edgeprune.apk.build import build_apk
from edgeprune.apk.check import ApkFacts, check_apk
from edgeprune.apk.device import install, start
from edgeprune.apk.sign import Key, debug_key
from edgeprune.apk.sources import app_sources
from edgeprune.apk.tools import need_all
from edgeprune.bundle import bundle_of
from edgeprune.config import Config
from edgeprune.errors import UsageError
from edgeprune.progress import Progress
from profilers.android.devices import open_phones


def check_shippable(config: Config) -> None:
    """Raise before any work what would keep the runs of `config` from a phone.

    UsageError for another target or for files that the app cannot run, EnvironmentProblem for missing programs or
    sources. Phones are looked for by `edgeprune.preflight`.
    """
    if config.target != "android":
        raise UsageError(
            f"--install brings the app to a phone, but the target is {config.target}.",
            "Use --target android; or leave --install out, and `edgeprune app run RUN` when the run is finished.",
        )
    if "litert" not in config.chosen_formats():
        raise UsageError(
            f"--install builds the app with LiteRT, but --formats has only {', '.join(config.chosen_formats())}.",
            "Add litert to --formats.",
        )
    app_sources()
    need_all()


def build(runs: Sequence[Path], output: Path, key: Key, progress: Progress, *, executorch: bool = False) -> ApkFacts:
    """The app with the bundles of `runs`, looked into. Raises UsageError, EnvironmentProblem."""
    return check_apk(build_apk(output, [bundle_of(folder) for folder in runs], key, progress, executorch=executorch))


def ship(runs: Sequence[Path], output: Path, serials: Sequence[str], progress: Progress) -> ApkFacts:
    """Build the app with the debug key, install it on the phones and start it.

    Raises UsageError, EnvironmentProblem, DeviceError.
    """
    phones = open_phones(serials)
    facts = build(runs, output, debug_key(), progress)
    for phone in phones:
        progress.stage("Installing the app")
        install(phone, facts.path)
        start(phone)
    return facts
