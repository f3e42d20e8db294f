"""Damaged files of every kind that EdgePrune reads: a clean error or success, never a traceback, a crash or a hang."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EACH = 30
SECONDS = 60  # an attempt that takes longer hangs

ATTEMPTS = """
import faulthandler, json, sys
from typer.testing import CliRunner
from edgeprune.cli import app

for line in sys.stdin:
    words = json.loads(line)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    print(json.dumps({"begun": words}), flush=True)
    done = CliRunner().invoke(app, words)
    crashed = done.exception is not None and not isinstance(done.exception, SystemExit)
    print(json.dumps({"code": done.exit_code, "crashed": repr(done.exception) if crashed else "",
                      "said": done.output[-600:]}), flush=True)
    faulthandler.cancel_dump_traceback_later()
"""


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Cut short, bytes changed, a piece zeroed, dropped or repeated."""
    start = chance.randrange(len(content))
    end = min(len(content), start + chance.choice([1, 4, 64, len(content) // 3 + 1]))
    piece = content[start:end]
    return chance.choice([
        content[:start],
        content[:start] + bytes(chance.randrange(256) for _ in piece[:256]) + content[start + len(piece[:256]):],
        content[:start] + bytes(len(piece)) + content[end:],
        content[:start] + content[end:],
        content[:end] + piece + content[end:],
    ])  # fmt: skip


def attempt(commands: list[list[str]], cwd: Path) -> list[str]:
    """What went wrong with them, one after another in one process, or in another where one died."""
    wrong, left = [], list(commands)
    while left:
        program = ATTEMPTS.replace("SECONDS", str(SECONDS))
        done = subprocess.run(
            [sys.executable, "-c", program], input="\n".join(map(json.dumps, left)), cwd=cwd,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"')]
        ended = [line for line in told if "code" in line]
        wrong += [
            f"{words}: exit {line['code']} {line['crashed']} {line['said']}"
            for words, line in zip(left, ended, strict=False)
            if line["crashed"] or line["code"] not in (0, 2, 3, 4, 6)
        ]
        if len(ended) < len(left):
            wrong.append(f"{left[len(ended)]}: the process ended with {done.returncode}: {done.stderr[-800:]}")
        left = left[len(ended) + 1 :]
    return wrong


@pytest.fixture(scope="module")
def files(run: dict, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound file of every kind, and the folder of the run they come from."""
    folder, source = tmp_path_factory.mktemp("sound"), run["path"]
    done = subprocess.run(
        [sys.executable, "-m", "edgeprune", "convert", str(source), "--to", "onnx", "-o", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {
        "tflite": source / "artifacts" / "pruned.tflite",
        "pte": source / "artifacts" / "pruned.pte",
        "onnx": next(folder.glob("*.onnx")),
        "safetensors": trained,
        "config.yaml": source / "config.yaml",
        "result.json": source / "result.json",
        "widths.json": source / "widths.json",
    }
    return {**found, "run": source}


def command(kind: str, sound: Path, content: bytes, run: Path, place: Path) -> list[str]:
    """The command that reads the damaged file, which this writes."""
    place.mkdir()
    if kind in ("result.json", "widths.json"):
        shutil.copytree(run, place / "run")
        (place / "run" / kind).write_bytes(content)
        return ["convert", str(place / "run"), "--to", "litert", "-o", str(place / "out")]
    file = place / sound.name
    file.write_bytes(content)
    if kind == "safetensors":
        words = ["prune", "--model", "builtin:resnet8", "--data", "builtin:digits", "--weights", str(file)]
        return [*words, "--macs", "60%", "-o", str(place / "out")]
    if kind == "config.yaml":
        return ["optimize", "--config", str(file), "--model", "nowhere.py:make", "-o", str(place / "out")]
    return ["inspect", str(file)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tflite", "pte", "onnx", "safetensors", "config.yaml", "result.json", "widths.json"])
def test_damaged_files_end_cleanly(kind: str, files: dict[str, Path], tmp_path: Path) -> None:
    chance, sound = random.Random(kind), files[kind]
    content = sound.read_bytes()
    commands = [
        command(kind, sound, damaged(content, chance), files["run"], tmp_path / str(number)) for number in range(EACH)
    ]
    wrong = attempt(commands, tmp_path)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_the_sound_files_are_read(files: dict[str, Path], tmp_path: Path) -> None:
    """Or the test above would pass on commands that refuse everything."""
    for kind in ("tflite", "pte", "onnx", "safetensors", "result.json"):
        words = command(kind, files[kind], files[kind].read_bytes(), files["run"], tmp_path / kind)
        done = subprocess.run([sys.executable, "-m", "edgeprune", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
