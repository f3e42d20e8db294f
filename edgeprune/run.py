"""The run directory: what is in it, which stages are done, who may write to it.

config.yaml        resolved settings; `--config` with this file replays the run
recipe.json        the recipe's four axes, with which alone the run is resumed
state/STAGE.json   what a finished stage found; a stage with such a file is not repeated by --resume
measurements.jsonl every measurement with its raw samples, appended
state/attempt-N/    weights and files of one solve, until the best is published
widths.json        kept channels; with the original model they rebuild the pruned one
model.safetensors  the trained pruned weights
artifacts/         converted files, dense and pruned
tensorboard/       curves of search and training, with --log tensorboard
bundle/            what an app ships: models, labels, preprocessing, sample pictures, code
result.json, report.html
.scratch/          temporary files while the run works; what a kill left is removed by --resume
"""

import fcntl
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import yaml

from edgeprune.config import Config, make_config, read_config_file
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.files import disk_trouble, write_json, write_text
from edgeprune.recipe import Recipe

# Between a run and its resumption: what is watched, not what is done; and who trains, since a batch stays the same.
_MAY_CHANGE = ("log", "devices", "nodes")


class Run:
    """A run directory, locked for this process from `open` to `close`. `created`: it was not there before."""

    def __init__(self, path: Path, lock: IO[str], created: bool, there: bool) -> None:
        self.path = path
        self.artifacts = path / "artifacts"
        self._lock = lock
        self.created = created
        self._there = there

    @classmethod
    def open(cls, path: Path, config: Config, *, resume: bool) -> "Run":
        """Create the directory, or take up an unfinished one.

        Raises UsageError when it holds a run and `resume` is off, when its settings differ from `config`, when it holds
        something else, or when another process works in it; EnvironmentProblem when it cannot be written.
        """
        there = path.exists()
        created = not there or _empty(path)
        if path.exists() and not _empty(path):
            cls._check_resumable(path, config, resume)
        with disk_trouble(path):
            path.mkdir(parents=True, exist_ok=True)
            lock = _lock(path / ".lock")
        if lock is None:
            raise cls._busy(path)
        run = cls(path, lock, created, there)
        try:
            with disk_trouble(path):
                for left in path.rglob(".*.partial"):  # by a process that was killed while it wrote
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
                run.artifacts.mkdir(exist_ok=True)
                (path / "state").mkdir(exist_ok=True)
            if not (path / "config.yaml").exists():
                write_text(path / "config.yaml", yaml.safe_dump(config.recorded(), sort_keys=False))
        except BaseException:
            run.discard()
            raise
        return run

    @staticmethod
    def check_place(path: Path) -> None:
        """Raise EnvironmentProblem if a run could not be written there; nothing is made."""
        with disk_trouble(path):
            there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
        if there == path.absolute() and not there.is_dir():
            return  # `open` tells what it is
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            reason = "no permission to write there" if there.is_dir() else f"{there} is a file"
            raise EnvironmentProblem(f"{path} cannot be written: {reason}.", "Choose another folder with -o.")

    @classmethod
    def check(cls, path: Path, config: Config, recipe: Recipe, *, resume: bool) -> list[str]:
        """The stages that are finished there. Raises what `open` and `keep_method` would; nothing is made."""
        cls.check_place(path)
        if not path.exists() or _empty(path):
            return []
        cls._check_resumable(path, config, resume)
        if _held(path / ".lock"):
            raise cls._busy(path)
        cls._check_method(path, recipe)
        return sorted(file.stem for file in (path / "state").glob("*.json"))

    @staticmethod
    def _busy(path: Path) -> UsageError:
        return UsageError(f"Another edgeprune works in {path}.", "Wait for it, or choose another -o.")

    @staticmethod
    def _check_resumable(path: Path, config: Config, resume: bool) -> None:
        settings = path / "config.yaml"
        if not settings.is_file():
            raise UsageError(f"{path} is there already and is not a run of edgeprune.", "Choose another -o.")
        if not resume:
            state = "finished" if (path / "result.json").exists() else "unfinished"
            cure = (
                "Choose another -o, or pass --resume to finish it." if state == "unfinished" else "Choose another -o."
            )
            raise UsageError(f"{path} holds a {state} run.", cure)
        before = make_config(read_config_file(settings)).recorded()
        now = config.recorded()
        changed = sorted(key for key in now if before.get(key) != now[key] and key not in _MAY_CHANGE)
        if changed:
            found = ", ".join(f"{key} was {before.get(key)!r}, now {now[key]!r}" for key in changed)
            cure = "Resume with the same, or choose another -o."
            if "serial" in changed:
                cure = "Give the --serial it was started with (files keep its hash only), or choose another -o."
            raise UsageError(f"{path} was started with other settings: {found}.", cure)

    def keep_method(self, recipe: Recipe) -> None:
        """Keep the recipe's axes in recipe.json. Raises UsageError if the run has others: a recipe file was changed."""
        file = self.path / "recipe.json"
        if not file.exists():
            write_json(file, recipe.axes())
        self._check_method(self.path, recipe)

    @staticmethod
    def _check_method(path: Path, recipe: Recipe) -> None:
        file, axes = path / "recipe.json", recipe.axes()
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else axes
        changed = [axis for axis in axes if before.get(axis) != axes[axis]]
        if changed:
            told = f"The recipe was changed since {path} was started: {', '.join(changed)}."
            raise UsageError(told, "Put it back (recipe.json there has what it was), or choose another -o.")

    def done(self, stage: str) -> Any | None:
        """What a finished stage found, or None."""
        file = self.path / "state" / f"{stage}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def finish(self, stage: str, found: Any) -> None:
        """Mark a stage as done, with what it found (JSON types)."""
        write_json(self.path / "state" / f"{stage}.json", found)

    def attempt(self, number: int) -> Path:
        """The folder of one solve's weights and files; made if it is not there."""
        folder = self.path / "state" / f"attempt-{number}"
        with disk_trouble(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def drop_attempts(self) -> None:
        """Remove the folders of all solves: the best is published."""
        for folder in (self.path / "state").glob("attempt-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, label: str, measurement: dict[str, Any]) -> None:
        """Append one measurement with its raw samples to measurements.jsonl."""
        file = self.path / "measurements.jsonl"
        with disk_trouble(file), file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"label": label, **measurement}, allow_nan=False) + "\n")
            lines.flush()
            os.fsync(lines.fileno())

    def measurements(self) -> dict[str, dict[str, Any]]:
        """The last measurement of each label; a line torn by a kill is passed over."""
        file = self.path / "measurements.jsonl"
        if not file.exists():
            return {}
        found = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                row = json.loads(line)
                found[row["label"]] = row
        return found

    def discard(self, *, finished_too: bool = False) -> None:
        """Remove the directory if this process made it and no stage was finished in it (or even then)."""
        self.close()
        if self.created and (finished_too or not any((self.path / "state").glob("*.json"))):
            shutil.rmtree(self.path, ignore_errors=True)
            if self._there:
                self.path.mkdir(exist_ok=True)

    def close(self) -> None:
        """Release the lock."""
        if not self._lock.closed:
            (self.path / ".lock").unlink(missing_ok=True)
            self._lock.close()


def _empty(path: Path) -> bool:
    """True for a folder without files: also for what a run leaves that was killed as it began."""
    return path.is_dir() and not any(p.is_file() and p.name != ".lock" for p in path.rglob("*"))


def _lock(path: Path) -> IO[str] | None:
    """The file, open and locked for this process; None when another holds it."""
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its owner removed it between our opening and our locking


def _held(path: Path) -> bool:
    """Whether another process holds the lock; the file is left as it is."""
    try:
        file = path.open("r")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def default_path(config: Config, resume: bool, question: str = "") -> Path:
    """runs/MODEL-TARGET-BUDGET, numbered from the second finished run or front on; the last of them for `resume`.

    `question` stands for the budget where several are asked for.
    """
    budget = (question or "-".join(str(limit.text) for limit in config.budget().limits)).replace("%", "pct")
    model = Path((config.model or "model").rsplit(":", 1)[-1]).stem
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{model}-{config.target}-{budget}")
    path, number = Path("runs") / name, 1
    while any((path / done).exists() for done in ("result.json", "front.json")):
        number += 1
        path = Path("runs") / f"{name}-{number}"
    before = Path("runs") / (name if number == 2 else f"{name}-{number - 1}")
    return before if resume and number > 1 and not path.exists() else path
