"""`edgeprune app`: the demo app with the models of finished runs, built, brought to a phone, started."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.options import Quiet, option

EPILOG = """[bold]Examples[/bold]

From a finished run to the app on the attached phone:

  edgeprune app run runs/resnet8-android-20ms

Two runs in one app, signed with your own key (its password in EDGEPRUNE_KEYSTORE_PASSWORD):

  edgeprune app build runs/small runs/large --keystore release.p12 --key-alias upload -o demo.apk

[bold]Exit codes[/bold]: 0 done, 1 our bug, 2 usage, 3 environment (a program is missing), 5 device
"""

_KEY, _OUT, _PHONE = "Signature", "Output", "Phone"

app = typer.Typer(
    help="Build the demo app with a run's models, install it, start it.", no_args_is_help=True, epilog=EPILOG
)

Runs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Folders of finished runs; none: the app without models.", metavar="[RUN]...", show_default=False
    ),
]
Apk = Annotated[
    Path | None,
    option("-o", "--output", help="The APK (default app.apk in the first run's folder).", panel=_OUT, metavar="FILE"),
]
Serial = Annotated[
    list[str] | None, option("--serial", help="Phone, as `adb devices` lists it; may be repeated.", panel=_PHONE)
]
Keystore = Annotated[
    Path | None, option("--keystore", help="Your own key (default: Android's debug key).", panel=_KEY, metavar="FILE")
]
Alias = Annotated[str, option("--key-alias", help="Name of the key in it.", panel=_KEY, metavar="NAME")]
ExecuTorch = Annotated[
    bool, option("--executorch", help="With ExecuTorch too: needs ANDROID_HOME for its d8.", panel=_OUT)
]
Json = Annotated[bool, option("--json", help="What was done as JSON on stdout.", panel=_OUT)]


@app.command(epilog=EPILOG)
def build(
    runs: Runs = None,
    output: Apk = None,
    executorch: ExecuTorch = False,
    keystore: Keystore = None,
    key_alias: Alias = "edgeprune",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build and sign the APK, and look into it."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _show(_build(runs or [], output, executorch, keystore, key_alias, quiet), json)


@app.command(epilog=EPILOG)
def install(
    runs: Runs = None,
    output: Apk = None,
    executorch: ExecuTorch = False,
    keystore: Keystore = None,
    key_alias: Alias = "edgeprune",
    serial: Serial = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Build the app and install it on the attached phone."""
    from edgeprune.cli.failure import reported

    with reported(json):
        phones, facts = _install(runs or [], output, executorch, keystore, key_alias, serial or [], quiet)
        _show(facts, json, installed=[phone.serial for phone in phones])


@app.command(epilog=EPILOG)
def run(
    runs: Runs = None,
    output: Apk = None,
    executorch: ExecuTorch = False,
    keystore: Keystore = None,
    key_alias: Alias = "edgeprune",
    serial: Serial = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Start the app on the attached phone; with a run, build and install it first."""
    from edgeprune.cli.failure import reported

    with reported(json):
        from edgeprune.apk.device import start
        from profilers.android.devices import open_phones

        serials = serial or []
        if runs:
            phones, facts = _install(runs, output, executorch, keystore, key_alias, serials, quiet)
        else:
            phones, facts = open_phones(serials), None
        for phone in phones:
            start(phone)
        _show(facts, json, started=[phone.serial for phone in phones])


def _install(
    runs: list[Path],
    output: Path | None,
    executorch: bool,
    keystore: Path | None,
    alias: str,
    serials: list[str],
    quiet: bool,
) -> tuple[list[Any], Any]:
    from edgeprune.apk.device import install as install_apk
    from profilers.android.devices import open_phones

    phones = open_phones(serials)  # before the build: a missing cable is told at once
    facts = _build(runs, output, executorch, keystore, alias, quiet)
    for phone in phones:
        install_apk(phone, facts.path)
    return phones, facts


def _show(facts: Any, as_json: bool, **phones: list[str]) -> None:
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps({"apk": facts and dataclasses.asdict(facts), **phones}, indent=2, default=str))
        return
    if facts:
        typer.echo(str(facts))
    for done, serials in phones.items():
        typer.echo(f"{done} on {', '.join(serials)}")


def _build(
    runs: list[Path], output: Path | None, executorch: bool, keystore: Path | None, alias: str, quiet: bool
) -> Any:
    from edgeprune.apk.ship import build as build_app
    from edgeprune.apk.sign import debug_key, release_key
    from edgeprune.cli.progress import make_progress

    with make_progress(quiet) as progress:
        key = release_key(keystore, alias) if keystore else debug_key()
        target = output or (runs[0] if runs else Path()) / "app.apk"
        return build_app(runs, target, key, progress, executorch=executorch)
