"""`optimize --dry-run`: what would be done, with the refusals of a real run, and nothing on the disk; `--quiet`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from edgeprune.answers import DryRun
from edgeprune.config import make_config, read_config_file
from edgeprune.run import Run
from edgeprune.sources.models import load_model
from tests.phone import Phone
from tests.phone.sandbox import WRITABLE

Cli = Callable[..., Result]
GIVEN = ("optimize", "--model", "builtin:resnet8", "--data", "builtin:digits")


def files(folder: Path) -> dict[str, int]:
    """Everything below a folder, with the time of its last change."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept across runs would be seen beside the run."""
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))


def test_it_tells_what_the_run_would_do_and_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli(*GIVEN, "--latency", "50%", "--epochs", "3", "--control", "scratch", "--dry-run", "--json")
    found = DryRun.model_validate_json(done.stdout)
    assert done.exit_code == 0
    params = sum(tensor.numel() for tensor in load_model("builtin:resnet8").parameters())
    assert (found.macs, found.params, found.images) == (763520, params, {"train": 1295, "val": 143, "test": 359})
    assert (found.budget, found.recipe, found.done) == ("latency 50%", "beta-rank", [])
    assert found.output == "runs/resnet8-host-50pct"
    assert found.targets[0].startswith("host: ")
    assert [stage.split(":")[0] for stage in found.stages] == [
        "dense baseline", "search", "training", "control", "files", "verdict"
    ]  # fmt: skip
    assert "3 epochs" in found.stages[2]
    assert files(tmp_path) == {}


def test_several_processes_are_told_and_not_started(cli: Cli) -> None:
    found = DryRun.model_validate_json(cli(*GIVEN, "--latency", "50%", "--devices", "2", "--dry-run", "--json").stdout)
    assert found.stages[2].endswith("2 processes")


def test_as_text_it_says_that_nothing_was_done(cli: Cli, tmp_path: Path) -> None:
    done = cli(*GIVEN, "--latency", "20ms", "-o", "here", "--dry-run")
    assert done.exit_code == 0
    assert "nothing was trained, measured or written" in done.stdout
    assert "here" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("words", "budget", "latencies", "output"),
    [
        (("--latency", "50%,80%"), "latency 80% and 50%, a run each", ["80%", "50%"], "runs/resnet8-host-80pct.front"),
        (("--max-drop", "1.5"), "the fastest network that loses at most 1.5 points: at most four runs", [],
         "runs/resnet8-host-max-drop-1.5.front"),
        (("--pareto", "3"), "a front of 3 latencies, a run each", [], "runs/resnet8-host-pareto-3.front"),
    ],
)  # fmt: skip
def test_several_runs(cli: Cli, words: tuple[str, ...], budget: str, latencies: list[str], output: str) -> None:
    found = DryRun.model_validate_json(cli(*GIVEN, *words, "--dry-run", "--json").stdout)
    assert (found.budget, found.latencies, found.output) == (budget, latencies, output)


REFUSED = {
    "model": ("--model", "builtin:resnet9", "--latency", "50%"),
    "data": ("--data", "builtin:digts", "--latency", "50%"),
    "weights": ("--weights", "none.safetensors", "--latency", "50%"),
    "budget": (),
    "budgets": ("--latency", "50%,5ms"),
    "recipe": ("--latency", "50%", "--recipe", "gradual", "--epochs", "0"),
    "format": ("--latency", "50%", "--formats", "coreml"),
    "ios": ("--latency", "50%", "--target", "ios"),
    "layer": ("--latency", "50%", "--keep", "no-such-layer"),
    "place": ("--latency", "50%", "-o", "a-file/run"),
    "folder": ("--latency", "50%", "-o", "full"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_refuses_what_the_run_refuses(cli: Cli, tmp_path: Path, case: str) -> None:
    (tmp_path / "a-file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "novel.txt").touch()
    before = files(tmp_path)
    real, dry = (cli(*GIVEN, *REFUSED[case], "--json", *more) for more in ((), ("--dry-run",)))
    assert dry.exit_code == real.exit_code != 0
    assert json.loads(dry.stdout) == json.loads(real.stdout)
    assert files(tmp_path) == before


def test_an_unfinished_run_tells_what_is_done(cli: Cli, fast_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(fast_run, run)
    (run / "result.json").unlink()
    before = files(run)
    again = ("optimize", "--config", "run/config.yaml", "-o", "run", "--dry-run", "--json")
    found = DryRun.model_validate_json(cli(*again, "--resume").stdout)
    assert {"dense", "search-0", "train-0", "files-0"} <= set(found.done)
    refused = cli(*again)
    assert (refused.exit_code, "unfinished" in refused.stdout) == (2, True)
    assert files(run) == before
    held = Run.open(run, make_config(read_config_file(run / "config.yaml")), resume=True)
    try:
        there = files(run)
        busy, second = (cli(*words, "--resume") for words in (again, [w for w in again if w != "--dry-run"]))
        assert files(run) == {**there, ".lock": files(run)[".lock"]}, (
            "the refused one opened the lock, and nothing else"
        )
    finally:
        held.close()
    for refused in (busy, second):
        assert (refused.exit_code, "Another edgeprune" in refused.stdout) == (2, True)


def test_plan_and_dry_run_are_two_things(cli: Cli) -> None:
    assert cli(*GIVEN, "--latency", "50%", "--plan", "--dry-run").exit_code == 2


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.usefixtures("native")
def test_the_phone_is_found_and_nothing_is_put_on_it(cli: Cli, phone: Phone) -> None:
    def there() -> list[Path]:
        """What lies where a shell may write."""
        return sorted(path for place in WRITABLE for path in (phone.sandbox.root / place.lstrip("/")).rglob("*"))

    before = there()
    found = DryRun.model_validate_json(
        cli(*GIVEN, "--latency", "20ms", "--target", "android", "--dry-run", "--json").stdout
    )
    assert len(found.targets) == 1
    assert found.targets[0].endswith("(emulated)")
    assert there() == before


def test_quiet_says_only_the_result_and_errors(cli: Cli) -> None:
    loud, quiet = (cli(*GIVEN, "--latency", "50%", "--dry-run", *more) for more in ((), ("--quiet",)))
    assert "Loading model" in loud.stderr
    assert (quiet.stderr, quiet.stdout) == ("", loud.stdout)
    refused = cli(*GIVEN, "-q")
    assert (refused.exit_code, "No budget given" in refused.stderr) == (2, True)
