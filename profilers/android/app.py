"""The demo app as a runner: its BenchmarkActivity is started by adb and leaves a JSON file. docs/benchmark-protocol.md
is the contract; `Reply` is its schema, and both ends are tested against it.
"""

import json
import shlex
import uuid
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from converters.artifact import SUFFIXES, Artifact
from profilers.android.adb import Phone
from profilers.android.folder import Folder
from profilers.android.installed_app import installed_app
from profilers.android.turn import OnReport, Report, Turn, distrust, reasons
from profilers.errors import DeviceError, MeasurementError, RuntimeNotInstalled

PACKAGE = "ai.edgeprune.demo"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
TAG = "EdgePruneBenchmark"
PROTOCOL = 1
FOLDER = "files/benchmark"
POLL_S = 1
LOG_LINES = 20

ErrorCode = Literal[
    "bad_request",
    "model_missing",
    "model_unreadable",
    "version",
    "delegate",
    "out_of_memory",
    "interrupted",
    "internal",
]
CURES: dict[str, str] = {
    "bad_request": "App and edgeprune speak different protocols: install the app that belongs to this edgeprune.",
    "model_missing": "Measure again.",
    "model_unreadable": "Convert the model again.",
    "version": "Install the app that belongs to this edgeprune: its runtime has to fit the file.",
    "delegate": "Use --delegate cpu.",
    "out_of_memory": "Close other apps, or measure a smaller model.",
    "interrupted": "Leave the phone alone while it measures.",
    "internal": "Please report it with the app's log.",
}


class _Head(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")

    protocol: Literal[1]
    run_id: str
    app_version: str


class Measured(_Head, Report):
    """The app measured. `thermal_before` and `thermal_after` are Android's status 0 to 6, null below Android 10."""

    status: Literal["ok"]
    thermal_before: Annotated[int, Field(ge=0, le=6)] | None
    thermal_after: Annotated[int, Field(ge=0, le=6)] | None


class Problem(BaseModel):
    """Why the app could not measure."""

    model_config = ConfigDict(strict=True, extra="forbid")

    code: ErrorCode
    message: str


class Failed(_Head):
    """The app could not measure, and says why."""

    status: Literal["error"]
    error: Problem


REPLY: TypeAdapter[Measured | Failed] = TypeAdapter(Annotated[Measured | Failed, Field(discriminator="status")])


def json_schema() -> dict[str, object]:
    """The JSON Schema of the file that the app leaves."""
    return REPLY.json_schema()


def parse_reply(text: str, run_id: str) -> Report:
    """Read the app's file. Raises MeasurementError for a failure it tells, and for anything that cannot be true."""
    try:
        reply = REPLY.validate_json(text)
    except ValidationError as error:
        raise distrust(reasons(error), text) from error
    if reply.run_id != run_id:
        raise distrust(f"run id {reply.run_id} instead of {run_id}", text)
    if isinstance(reply, Failed):
        kind = RuntimeNotInstalled if reply.error.code == "delegate" else MeasurementError
        raise kind(f"The app could not measure: {reply.error.message} ({reply.error.code})", CURES[reply.error.code])
    return Report(**{name: getattr(reply, name) for name in Report.model_fields})


def extras(turn: Turn, run_id: str, delegate: str) -> list[str]:
    """The intent extras of one turn, as words of `am start`."""
    texts = {
        "run_id": run_id,
        "model": _model(turn.artifact),
        "format": turn.artifact.format,
        "delegate": delegate,
        "shapes": ";".join(",".join(map(str, spec.shape)) for spec in turn.artifact.inputs),
        "cores": f"{sum(1 << core for core in turn.cores):x}" if turn.cores else "",
    }
    numbers = {
        "protocol": PROTOCOL,
        "threads": turn.threads,
        "warmup_runs": turn.warmup_runs,
        "warmup_ms": round(turn.warmup_seconds * 1e3),
        "min_runs": turn.min_runs,
        "max_runs": turn.max_runs,
        "min_ms": round(turn.min_seconds * 1e3),
        "max_ms": round(turn.max_seconds * 1e3),
    }
    words = []
    for name, text in texts.items():
        words += ["--es", name, text] if text else []
    for name, number in numbers.items():
        words += ["--ei", name, str(number)]
    return words


def _no_result(turn: Turn, over: bool, log: str) -> MeasurementError:
    if over:
        return MeasurementError(
            f"The app gave no result within {turn.longest_s:g} s and was stopped. Its log says: {log}",
            "Measure a smaller model, and see what else the phone does.",
        )
    return MeasurementError(f"The app ended without a result. Its log says: {log}", "Open the app by hand once.")


def _model(artifact: Artifact) -> str:
    """Where a file lies in the app's own folder."""
    return f"benchmark/{artifact.sha256[:32]}{SUFFIXES[artifact.format]}"


class AppRunner:
    """Measures in the demo app, which has to be installed. A context manager."""

    name = "app"
    libc = ""

    def __init__(self, phone: Phone, delegate: str = "cpu") -> None:
        self.phone, self.delegate = phone, delegate
        self._folder = Folder(phone)
        self._dropped: set[str] = set()  # models that the next script removes

    def __enter__(self) -> Self:
        found = installed_app(self.phone, PACKAGE)
        if found is None:
            raise RuntimeNotInstalled(
                f"The app {PACKAGE} is not on phone {self.phone.serial}.",
                f"Install it: edgeprune app install --serial {shlex.quote(self.phone.serial)}. "
                "Or use --runner native, which needs no app.",
            )
        if not found.debuggable:
            raise RuntimeNotInstalled(
                f"The app {PACKAGE} on phone {self.phone.serial} is a release build: adb cannot reach its files.",
                f"Remove it (adb uninstall {PACKAGE}), then edgeprune app install without --keystore.",
            )
        self._folder.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(DeviceError):  # a phone that is gone keeps its copies
            self.phone.run(f"am force-stop {PACKAGE}; run-as {PACKAGE} rm -rf {FOLDER}")
        self._folder.__exit__(kind, error, trace)

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Bring files to the phone and into the app's own folder. Raises DeviceError."""
        self._folder.put(artifacts)
        self._dropped -= {_model(artifact) for artifact in artifacts}
        names = " ".join(self._folder.place(artifact) for artifact in artifacts)
        self.phone.run(
            f"chmod 644 {names} && run-as {PACKAGE} mkdir -p {FOLDER} && run-as {PACKAGE} cp {names} {FOLDER}"
        )

    def drop(self, artifacts: Sequence[Artifact]) -> None:
        """Let the next script remove files and the app's copies."""
        self._folder.drop(artifacts)
        self._dropped |= {_model(artifact) for artifact in artifacts}

    def recover(self) -> None:
        """Stop the app and the script that waits for it."""
        self._folder.end_all()
        self.phone.run(f"am force-stop {PACKAGE}")

    def run(self, turns: Sequence[Turn], on_report: OnReport | None = None) -> list[Report]:
        """One start of the app a turn, all in one script."""
        run_ids = [uuid.uuid4().hex for _ in turns]
        script = "\n".join(self._one(turn, run_id) for turn, run_id in zip(turns, run_ids, strict=True))
        if self._dropped:
            script = f"run-as {PACKAGE} rm -f {' '.join(f'files/{model}' for model in sorted(self._dropped))}\n{script}"
            self._dropped = set()
        found: list[Report] = []
        reply: list[str] = []
        log: list[str] = []
        into: list[str] | None = None
        over = False

        def listen(line: str) -> None:
            nonlocal into, over
            if line == "== over":
                over = True
            elif line == "== reply":
                into = reply
            elif line == "== log":
                into = log
            elif line == "== end":
                number = len(found)
                if not reply:
                    raise _no_result(turns[number], over, "\n".join(log[-LOG_LINES:]) or "nothing")
                found.append(parse_reply("\n".join(reply), run_ids[number]))
                reply.clear()
                log.clear()
                into = None
                if on_report:
                    on_report(turns[number], found[-1])
            elif into is not None:
                into.append(line)

        self.phone.converse(self._folder.guard(script), listen, silence_s=max(turn.longest_s for turn in turns) + 30)
        if len(found) != len(turns):
            raise distrust(f"{len(found)} results instead of {len(turns)}", "")
        return found

    def _one(self, turn: Turn, run_id: str) -> str:
        start = shlex.join(["am", "start", "-S", "-W", "-n", ACTIVITY, *extras(turn, run_id, self.delegate)])
        result = f"{FOLDER}/{run_id}.json"
        waits = round(turn.longest_s / POLL_S)
        return f"""{start} >/dev/null
n=0
while [ $n -lt {waits} ] && ! run-as {PACKAGE} test -f {result} && pidof {PACKAGE} >/dev/null; do
  sleep {POLL_S}; n=$((n+1))
done
[ $n -lt {waits} ] || echo == over
echo == reply
run-as {PACKAGE} cat {result} 2>/dev/null
echo
echo == log
run-as {PACKAGE} test -f {result} || logcat -d -t {LOG_LINES}
run-as {PACKAGE} rm -f {result}
am force-stop {PACKAGE}
echo == end"""


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
