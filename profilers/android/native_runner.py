"""The native runners: no app, our own programs over the libraries of the PyPI wheels (docs/benchmark-protocol.md)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from converters.artifact import Artifact
from profilers.android.adb import Phone
from profilers.android.bundle import Bundle, bundle_for
from profilers.android.folder import ROOT, Folder, push_as
from profilers.android.turn import OnReport, Report, Turn, distrust, reasons
from profilers.errors import MeasurementError, RuntimeNotInstalled

PROGRAMS = {"litert": "litert_run", "executorch": "executorch_run"}
WHEELS = {"litert": "ai-edge-litert", "executorch": "executorch"}
SILENCE_S = 60.0  # of a batch: longest time for loading a layer, or for a few runs of it
SPARE_S = 15  # a process that nobody listens to any more ends itself so much later
PROGRESS_S = 5.0
TAIL_LINES = 12
# Error code of a runner -> what to do about it.
CURES = {
    "usage": "App and runners are of different versions: build them again with `make native`.",
    "missing_library": "Build the runners again with `make native`.",
    "wrong_version": "Build the runners again with `make native`.",
    "missing_model": "Measure again.",
    "bad_model": "Convert the model again; its runtime has to fit the runner's.",
    "missing_input": "Please report it.",
    "bad_input_size": "Please report it.",
    "out_of_memory": "Close apps on the phone, or measure a smaller model.",
    "run_failed": "Convert the model again.",
    "output_failed": "Free space on the phone.",
}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")


class _Output(_Strict):
    file: str
    bytes: int


class Measured(_Strict):
    """A runner's line about a model."""

    model: str
    runtime: str
    runtime_version: str
    libc: str
    delegate: str
    threads: PositiveInt
    os_threads: int
    cpus_asked: list[int]
    cpus: list[int]
    load_ms: Annotated[float, Field(ge=0)]
    first_ms: Annotated[float, Field(gt=0)]
    warmup_runs: Annotated[int, Field(ge=0)]
    samples_ns: Annotated[list[PositiveInt], Field(min_length=1)]
    stopped: Literal["settled", "max_runs", "max_seconds"]
    rss_before_kib: Annotated[int, Field(ge=0)] | None
    hwm_before_kib: Annotated[int, Field(ge=0)] | None
    hwm_kib: Annotated[int, Field(ge=0)] | None
    outputs: list[_Output]

    def report(self) -> Report:
        """The part that every runner tells."""
        known = self.hwm_kib is not None and self.rss_before_kib is not None
        return Report(
            load_ms=self.load_ms,
            first_ms=self.first_ms,
            samples_ns=self.samples_ns,
            runtime=self.runtime,
            runtime_version=self.runtime_version,
            threads=self.threads,
            delegate=self.delegate,
            affinity=self.cpus,
            peak_mib=max(0, (self.hwm_kib or 0) - (self.rss_before_kib or 0)) / 1024 if known else None,
        )


class _Error(_Strict):
    code: str
    message: str


class Failed(_Strict):
    """A runner's line about a failure."""

    model: str | None
    error: _Error

    def problem(self) -> MeasurementError:
        """It as an error."""
        cure = CURES.get(self.error.code, "Please report it.")
        return MeasurementError(f"The runner says: {self.error.message} ({self.error.code})", cure)


OnMeasured = Callable[[Measured], None]
_LINE: TypeAdapter[Measured | Failed] = TypeAdapter(Measured | Failed)


def parse_line(line: str) -> Measured | Failed:
    """Read a line of a runner. Raises MeasurementError for one that cannot be true."""
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise distrust(reasons(error), line) from error


@dataclass
class _Process:
    """What one process printed so far: at most one line about its model, and what else it said."""

    line: str | None = None
    said: list[str] = field(default_factory=list)

    def result(self, code: int) -> Measured:
        """Its report. Raises MeasurementError, with the end of what it said, if there is none."""
        found = parse_line(self.line) if self.line is not None else None
        if isinstance(found, Failed):
            raise found.problem()
        if code or found is None:
            raise self.death(code)
        return found

    def death(self, code: int) -> MeasurementError:
        """How it ended, with the end of what it said."""
        tail = "\n".join(self.said[-TAIL_LINES:]) or "nothing"
        if code == 137:
            return MeasurementError(
                f"The runner was killed on the phone, most likely for lack of memory. Its log ends: {tail}",
                "Close apps on the phone, or measure a smaller model.",
            )
        how = f"signal {code - 128}" if code > 128 else f"exit code {code}"
        return MeasurementError(
            f"The runner died on the phone ({how}). Its log ends: {tail}", "Convert the model again, or report it."
        )


class NativeRunner:
    """Runs files with our programs, which are brought to the phone once. A context manager.

    `silence_s`: longest time without a sign of a process, in place of what its turn may take. Raises DeviceError,
    RuntimeNotInstalled.
    """

    name = "native"
    libc = "glibc"

    def __init__(
        self, phone: Phone, abis: Sequence[str], delegate: str = "cpu", silence_s: float | None = None
    ) -> None:
        if delegate != "cpu":
            raise RuntimeNotInstalled(
                f"The native runners have no {delegate} delegate: a phone's own drivers need its own libc.",
                "Use --runner app, or --delegate cpu.",
            )
        self.phone, self.silence_s = phone, silence_s
        self.bundle: Bundle = bundle_for(abis)
        self.folder = Folder(phone)
        self._place = f"{ROOT}/bundle-{self.bundle.key}"

    def __enter__(self) -> Self:
        self.folder.__enter__()
        try:
            if self.phone.run(f"[ -f {self._place}/complete ] && echo there || true") != "there":
                self._install()
        except BaseException:
            self.folder.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.__exit__(kind, error, trace)

    def version(self, runtime: str) -> str:
        """The version of a runtime in the bundle."""
        return str(self.bundle.manifest["versions"][WHEELS[runtime]])

    def put(self, artifacts: Sequence[Artifact]) -> None:
        """Bring files to the phone. Raises DeviceError."""
        self.folder.put(artifacts)

    def drop(self, artifacts: Sequence[Artifact]) -> None:
        """Let the next script remove files."""
        self.folder.drop(artifacts)

    def recover(self) -> None:
        """End what an interrupted script left running."""
        self.folder.end_all()

    def run(self, turns: Sequence[Turn], on_report: OnReport | None = None) -> list[Report]:
        """One process a turn, all in one script. Raises DeviceError, MeasurementError."""
        silence_s = self.silence_s or max(turn.longest_s for turn in turns)
        commands = [self._command(turn, silence_s) for turn in turns]
        found: list[Report] = []

        def done(measured: Measured) -> None:
            found.append(measured.report())
            if on_report:
                on_report(turns[len(found) - 1], found[-1])

        self._talk(commands, done, silence_s)
        return found

    def batch(
        self, models: Sequence[Sequence[str]], threads: int, cores: tuple[int, ...], seconds: float
    ) -> list[Measured | Failed]:
        """Many models of the folder, by name, in one process: those of a group are loaded together and take turns.

        `seconds` is the time aimed at for each. What the runner says of each, in order.
        """
        lines = "\n\n".join("\n".join(f"{self.folder.path}/{name}" for name in group) for group in models)
        quoted = "\n".join(["cat > list <<'end of list'", lines, "end of list"])
        silence_s = self.silence_s or SILENCE_S
        words = ["--batch", f"{self.folder.path}/list", "--seconds-per-model", f"{seconds:g}"]
        words += [*_common(threads, cores), *_alive(silence_s)]
        found: list[Measured | Failed] = []
        process = _Process()

        def listen(line: str) -> None:
            if line.startswith('{"progress"'):
                return
            if line.startswith("{"):
                found.append(parse_line(line))
            else:
                process.said.append(line)

        # exit code 1: a model failed, and its line says why
        script = f"{quoted}\n{_with_log(self._start('litert', words), 'err', fine='[01]')}\nexit $code"
        code = self.phone.converse(self.folder.guard(script), listen, silence_s=silence_s)
        wanted = sum(len(group) for group in models)
        if code not in (0, 1):
            raise process.death(code)
        if len(found) != wanted:
            raise distrust(f"{len(found)} answers for {wanted} models, exit code {code}", "")
        return found

    def answer(self, artifact: Artifact, inputs: Sequence[Path], folder: Path) -> list[Path]:
        """Run a file once on inputs (raw bytes each, in order); its outputs as files in a folder of this machine."""
        self.put([artifact])
        self.folder.put_files({f"input-{number}.bin": path for number, path in enumerate(inputs)})
        turn = Turn(artifact, warmup_runs=0, warmup_seconds=0.0, min_runs=1)
        silence_s = self.silence_s or turn.longest_s
        words = ["--output", f"{self.folder.path}/output"]
        for number in range(len(inputs)):
            words += ["--input", f"{self.folder.path}/input-{number}.bin"]
        answers: list[Measured] = []
        self._talk([self._command(turn, silence_s, words)], answers.append, silence_s)
        found = []
        for number, output in enumerate(answers[0].outputs):
            target = folder / f"output-{number}.bin"
            self.phone.pull(output.file, target)
            found.append(target)
        return found

    def self_check(self, option: str, amount: int) -> Report:
        """A run of known duration ("busy-loop", ns) or a load of known memory ("allocate", MiB) in place of a model."""
        found: list[Measured] = []
        words = [f"--{option}", str(amount), "--half-width", "0", "--min-seconds", "0", "--warmup-seconds", "0.1"]
        self._talk([self._start("litert", words)], found.append, self.silence_s or SILENCE_S)
        return found[0].report()

    def _talk(self, commands: Sequence[str], on_result: OnMeasured, silence_s: float) -> None:
        """Run commands one after the other in one script; stop at the first that fails."""
        script = "\n".join(
            f"{_with_log(command, f'{self.folder.path}/err', fine='0')}\necho == exit $code" for command in commands
        )
        process, ended = _Process(), 0

        def listen(line: str) -> None:
            nonlocal process, ended
            if line.startswith("== exit "):
                ended += 1
                finished, process = process, _Process()
                on_result(finished.result(int(line.split()[-1])))
            elif line.startswith('{"progress"'):
                return
            elif line.startswith("{"):
                process.line = line
            else:
                process.said.append(line)

        self.phone.converse(self.folder.guard(script), listen, silence_s=silence_s)
        if ended != len(commands):
            raise distrust(f"{ended} processes ended instead of {len(commands)}", "")

    def _command(self, turn: Turn, silence_s: float, more: Sequence[str] = ()) -> str:
        words = [
            "--model", self.folder.place(turn.artifact),
            "--warmup-runs", str(turn.warmup_runs), "--warmup-seconds", f"{turn.warmup_seconds:g}",
            "--min-runs", str(turn.min_runs), "--min-seconds", f"{turn.min_seconds:g}",
            "--max-runs", str(turn.max_runs), "--max-seconds", f"{turn.max_seconds:g}",
            "--half-width", "0", *_common(turn.threads, turn.cores), *_alive(silence_s), *more,
        ]  # fmt: skip
        return self._start(turn.artifact.format, words)

    def _start(self, format: str, words: Sequence[str]) -> str:
        """The command line of a program, in its folder. All words are ours: hashes, numbers, fixed names."""
        if format not in PROGRAMS:
            raise MeasurementError(
                f"A {format} file cannot run on a phone.", f"Formats that can: {', '.join(PROGRAMS)}."
            )
        loader = self.bundle.manifest["loader"]
        return f"(cd {self._place} && exec ./{loader} --library-path . ./{PROGRAMS[format]} {' '.join(words)})"

    def _install(self) -> None:
        part = f"{self._place}.part"
        self.phone.run(f"rm -rf {ROOT}/bundle-*; mkdir -p {part}")
        push_as(self.phone, self.bundle.files, part)
        self.phone.run(f"chmod 755 {part}/* && touch {part}/complete && mv {part} {self._place}")


def _with_log(command: str, errors: str, fine: str) -> str:
    """A command, its exit code in $code; unless that is `fine`, the end of what it said and of the phone's log."""
    end = f"tail -n {TAIL_LINES} {errors}; sleep 1; logcat -d -t {TAIL_LINES}"
    return f"{command} 2>{errors}; code=$?\ncase $code in {fine}) ;; *) {end};; esac"


def _alive(silence_s: float) -> list[str]:
    return ["--progress", f"{PROGRESS_S:g}", "--silence", str(round(silence_s) + SPARE_S)]


def _common(threads: int, cores: tuple[int, ...]) -> list[str]:
    words = ["--threads", str(threads)]
    return [*words, "--cpus", f"{sum(1 << core for core in cores):x}"] if cores else words
