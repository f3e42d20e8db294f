"""`--target mac`: the whole loop over Core ML packages. Apple's framework is faked at its edge, where coremltools would
call it (tests/profilers/test_apple.py): the times are a reference interpreter's, not Core ML's."""

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from edgeprune.config import make_config
from edgeprune.errors import UsageError
from edgeprune.targets.mac import MacTarget
from profilers.measurement import Measurement
from tests.profilers.test_apple import WORKER, faked

__all__ = ["faked"]
Cli = Callable[..., Result]
ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.usefixtures("faked")
def test_the_loop_measures_packages(
    cli: Cli, enlarged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mac").mkdir()
    (tmp_path / "mac/sitecustomize.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'mac'}:{ROOT}")
    done = cli("optimize", *enlarged, "--target", "mac", "--latency", "85%", "--epochs", "1", "-o", "run")
    assert done.exit_code in (0, 4), done.stderr
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert (result["target"], result["runtime"], result["threads"]) == ("mac", "coreml", 0)
    assert {(a["format"], a["network"]) for a in result["artifacts"]} == {("coreml", "dense"), ("coreml", "pruned")}
    assert result["search"]["candidates_measured"] >= 1
    assert result["pruned"]["macs"] < result["dense"]["macs"]
    (row,) = result["budget"]["requirements"]
    assert row["source"] == "measured"
    assert row["met"] == (done.exit_code == 0)
    lines = (tmp_path / "run/measurements.jsonl").read_text().splitlines()
    found = [Measurement.from_json({k: v for k, v in json.loads(line).items() if k != "label"}) for line in lines]
    assert {(m.device.runtime, m.device.threads) for m in found} == {("coreml", 0)}
    shas = {a["network"]: a["sha256"] for a in result["artifacts"]}
    assert {m.artifact_sha256 for m in found[-2:]} == set(shas.values())
    assert "thread" not in done.stdout
    checked = cli("check", "run", "--latency", "1000ms")
    assert checked.exit_code == 0, checked.stderr


def test_core_ml_is_what_a_mac_runs() -> None:
    config = make_config({"target": "mac", "latency": "50%"})
    assert (config.runtime, config.chosen_formats()) == ("coreml", ("coreml",))
    again = make_config(config.recorded())
    assert again == config
    assert make_config({"target": "host", "latency": "50%"}).runtime == "litert"
    for wrong in ({"target": "mac", "runtime": "litert"}, {"target": "mac", "threads": 2}, {"runtime": "coreml"}):
        with pytest.raises(UsageError, match="|".join(wrong)):
            make_config({"latency": "50%", **wrong})


@pytest.mark.skipif(platform.system() == "Darwin", reason="here it is measured")
@pytest.mark.parametrize("more", [(), ("--plan",)])
def test_off_a_mac_the_way_out_is_named(cli: Cli, given: list[str], tmp_path: Path, more: tuple[str, ...]) -> None:
    done = cli("optimize", *given, "--target", "mac", "--latency", "50%", "-o", "run", *more)
    assert done.exit_code == 3
    assert "--target ios --macs 50%" in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("faked")
def test_a_mac_without_coremltools_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from profilers.errors import RuntimeNotInstalled

    monkeypatch.setitem(__import__("sys").modules, "coremltools", None)
    with pytest.raises(RuntimeNotInstalled) as caught:
        MacTarget()
    assert caught.value.cure == "pip install coremltools"
