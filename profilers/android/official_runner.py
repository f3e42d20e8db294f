"""Run Google's benchmark_model or ExecuTorch's executor_runner, which the user brings, on a phone."""

from collections.abc import Callable
from pathlib import Path

from converters.artifact import Artifact
from profilers.android.adb import Phone
from profilers.android.folder import Folder
from profilers.android.official import Summary, parse_benchmark_model, parse_executor_runner
from profilers.errors import MeasurementError, RuntimeNotInstalled

FORMATS = {"benchmark_model": "litert", "executor_runner": "executorch"}
PARSERS: dict[str, Callable[[str], Summary]] = {
    "benchmark_model": parse_benchmark_model,
    "executor_runner": parse_executor_runner,
}
SILENCE_S = 240.0  # benchmark_model ends itself after 150 s
TAIL_LINES = 12


def command(program: str, model: str, *, threads: int, runs: int, per_op: bool = False, delegate: str = "cpu") -> str:
    """The command line; every word is ours."""
    if program == "executor_runner":
        return f"./program --model_path={model} --num_executions={runs} --cpu_threads={threads}"
    words = ["./program", f"--graph={model}", f"--num_threads={threads}", f"--num_runs={runs}", "--warmup_runs=10"]
    words += ["--report_peak_memory_footprint=true", "--enable_op_profiling=true"] if per_op else []
    return " ".join([*words, "--use_gpu=true"] if delegate == "gpu" else words)


def run_official(
    phone: Phone,
    program: str,
    binary: Path,
    artifact: Artifact,
    *,
    threads: int = 1,
    cores: tuple[int, ...] = (),
    runs: int = 100,
    per_op: bool = False,
    delegate: str = "cpu",
) -> Summary:
    """One file in one process of the program. Raises DeviceError, MeasurementError, RuntimeNotInstalled."""
    if artifact.format != FORMATS[program]:
        raise MeasurementError(
            f"{program} runs {FORMATS[program]} files, not {artifact.format}.", "Use --runner native."
        )
    if not binary.is_file():
        raise RuntimeNotInstalled(f"{binary} is no file.", f"Give {program}, built for the phone, with --binary.")
    if delegate != "cpu" and program != "benchmark_model":
        raise RuntimeNotInstalled(f"{program} has no {delegate} delegate to choose.", "Use --delegate cpu.")
    with Folder(phone) as folder:
        folder.put([artifact])
        folder.put_files({"program": binary})
        pinned = f"taskset {sum(1 << core for core in cores):x} " if cores else ""
        line = command(program, folder.place(artifact), threads=threads, runs=runs, per_op=per_op, delegate=delegate)
        lines: list[str] = []
        code = phone.converse(folder.guard(f"chmod 755 program && {pinned}{line}"), lines.append, silence_s=SILENCE_S)
    if code:
        tail = "\n".join(lines[-TAIL_LINES:])
        raise MeasurementError(
            f"{program} ended with exit code {code} on the phone: {tail}", "Is it built for this phone?"
        )
    text = "\n".join(lines)
    if delegate == "gpu" and "GPU delegate" not in text:
        raise RuntimeNotInstalled("benchmark_model did not use the GPU delegate.", "Use --delegate cpu.")
    return PARSERS[program](text)
