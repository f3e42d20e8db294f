"""Core ML without a Mac: coremltools is faked only where it would call Apple's framework; a reference interpreter
computes in its place, and the times are its own. Nothing here is Core ML's speed."""

import asyncio
import importlib.util
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import coremltools
import numpy as np
import pytest
import torch
from coremltools.models.ml_program.experimental import perf_utils
from typer.testing import Result

from converters import convert
from converters.mil import MilSession
from converters.options import Options
from edgeprune.profiling.subjects import artifact_of
from profilers import runtimes
from profilers.measurement import Measurement
from profilers.protocol import QUICK
from profilers.store import Store
from tests.edgeprune.conftest import cli

__all__ = ["cli"]
Cli = Callable[..., Result]


class Model(coremltools.models.MLModel):
    """coremltools' MLModel, with the interpreter where it would call Core ML."""

    def __init__(self, *given: object, **more: object) -> None:
        super().__init__(*given, **{**more, "skip_model_load": True})
        self.session = MilSession(Path(self.package_path))

    def predict(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        description = self.get_spec().description
        outputs = self.session.run([np.asarray(values[feature.name]) for feature in description.input])
        return {feature.name: x for feature, x in zip(description.output, outputs, strict=True)}


class Benchmarker:
    """coremltools' MLModelBenchmarker: times of that model. `turns` is what was asked of all, in order."""

    turns: list[tuple[str, int]] = []

    def __init__(self, model: Model, device: object = None) -> None:
        self.model, self.device = model, device

    async def benchmark_load(self, iterations: int) -> SimpleNamespace:
        return SimpleNamespace(samples=[1.5] * iterations)

    async def benchmark_predict(self, inputs: dict[str, np.ndarray], iterations: int) -> SimpleNamespace:
        self.turns.append((Path(self.model.package_path).stem, iterations))
        samples = []
        for _ in range(iterations):
            start = time.perf_counter_ns()
            self.model.predict(inputs)
            samples.append((time.perf_counter_ns() - start) / 1e6)
        return SimpleNamespace(samples=samples)


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two packages, the second half as wide."""
    folder = tmp_path_factory.mktemp("packages")
    for name, width in (("dense", 16), ("pruned", 8)):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, width, 3), torch.nn.ReLU(), torch.nn.Conv2d(width, 4, 3)).eval()
        convert(net, torch.zeros(1, 3, 16, 16), "coreml", folder / f"{name}.mlpackage", Options())
    return folder / "dense.mlpackage", folder / "pruned.mlpackage"


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine as a Mac."""
    monkeypatch.setattr(Benchmarker, "turns", [])
    monkeypatch.setattr(coremltools.models, "MLModel", Model)
    monkeypatch.setattr(perf_utils, "MLModelBenchmarker", Benchmarker)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")


def script(folder: Path) -> ModuleType:
    """The script of a written folder, imported as it stands there."""
    spec = importlib.util.spec_from_file_location("bench_ios", folder / "bench_ios.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["bench_ios"] = module  # its dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["bench_ios"]
    return module


@pytest.mark.usefixtures("faked")
def test_the_folder_is_written_measures_and_is_taken_in(cli: Cli, packages, tmp_path: Path) -> None:
    done = cli("profile", *packages, "--target", "ios", "-o", "bench")
    assert done.exit_code == 0, done.stderr
    assert "not measured" in done.stdout
    bench = tmp_path / "bench"
    assert sorted(path.name for path in bench.iterdir()) == ["bench_ios.py", "dense.mlpackage", "pruned.mlpackage"]
    text = (bench / "bench_ios.py").read_text()
    assert "from profilers" not in text
    assert "from converters" not in text
    script(bench).main(["--quick", "-o", str(tmp_path / "measurements.jsonl")])
    taken = cli("measurements", "import", "measurements.jsonl")
    assert taken.exit_code == 0, taken.stderr
    assert "2 measurements" in taken.stdout
    entries = [json.loads(line) for line in (tmp_path / "measurements.jsonl").read_text().splitlines()]
    for entry, package in zip(entries, packages, strict=True):
        (kept,) = Store().measurements(artifact_of(package, formats=("coreml",)).sha256, entry["device"], "coreml", 0)
        assert kept == Measurement.from_json(entry["measurement"])
        assert len(kept.samples_ms) == kept.latency.n == 30
        assert kept.load_ms == 1.5
        assert kept.device.delegate == "all"
        assert "one process for all models" in kept.flags


@pytest.mark.usefixtures("faked")
def test_models_take_turns_after_first_run_and_warm_up(packages, tmp_path: Path, cli: Cli) -> None:
    cli("profile", *packages, "--target", "ios", "-o", "bench")
    bench = script(tmp_path / "bench")
    asyncio.run(bench.run(list(packages), "CPU_ONLY", bench.QUICK))
    names = [name for name, _ in Benchmarker.turns]
    assert names[:4] == ["dense", "dense", "pruned", "pruned"]
    assert [runs for _, runs in Benchmarker.turns[:4]] == [1, QUICK.warmup_runs, 1, QUICK.warmup_runs]
    rest = names[4:]
    assert rest == ["dense", "pruned", "pruned", "dense"] * (len(rest) // 4)


@pytest.mark.usefixtures("faked")
def test_an_iphone_is_described_without_its_serial_number(packages, tmp_path: Path, cli: Cli) -> None:
    cli("profile", *packages, "--target", "ios", "-o", "bench")
    bench = script(tmp_path / "bench")
    phone = SimpleNamespace(
        type=SimpleNamespace(value="iphone"), os_version="18.1", os_build_number="22B83", udid="XYZ"
    )
    found = asyncio.run(bench.run(packages[:1], "ALL", bench.QUICK, phone))
    text = bench.lines(found)
    assert "XYZ" not in text
    device = json.loads(text)["measurement"]["device"]
    assert (device["name"], device["runtime_version"], len(device["serial_sha256"])) == ("iphone", "18.1", 16)
    for when in (found[0].conditions_before, found[0].conditions_after):
        assert (when["device"], when["load_1min"]) == ("iphone", None), "the Mac's load is not the iPhone's"


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--threads", "2"), "--threads"), (("--quick",), "--quick"), (("--serial", "A"), "--serial")],
)
def test_options_that_the_script_has_itself_are_refused(cli: Cli, packages, words, said) -> None:
    done = cli("profile", packages[0], "--target", "ios", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert cli("profile", packages[0], "-o", "x").exit_code == 2


def test_names_that_clash_are_told_before_anything_is_written(cli: Cli, packages, tmp_path: Path) -> None:
    (tmp_path / "a b.mlpackage").symlink_to(packages[0])
    (tmp_path / "a-b.mlpackage").symlink_to(packages[1])
    done = cli("profile", "a b.mlpackage", "a-b.mlpackage", "--target", "ios", "-o", "bench")
    assert done.exit_code == 2
    assert "would both be a-b.mlpackage" in " ".join(done.stderr.split())
    assert not (tmp_path / "bench").exists()


def test_a_folder_that_is_there_is_kept(cli: Cli, packages, tmp_path: Path) -> None:
    (tmp_path / "bench_ios").mkdir()
    done = cli("profile", packages[0], "--target", "ios")
    assert done.exit_code == 2
    assert "is there already" in done.stderr
    assert list((tmp_path / "bench_ios").iterdir()) == []


@pytest.mark.skipif(platform.system() == "Darwin", reason="here it is measured")
def test_core_ml_off_a_mac_is_refused_with_the_way_out(cli: Cli, packages, tmp_path: Path) -> None:
    done = cli("profile", packages[0], "--target", "mac")
    assert done.exit_code == 3
    assert "--target ios" in done.stderr
    cli("profile", packages[0], "--target", "ios", "-o", "bench")
    with pytest.raises(SystemExit, match="macOS only"):
        script(tmp_path / "bench").main([])


@pytest.mark.usefixtures("faked")
def test_a_session_gives_what_the_package_computes(packages) -> None:
    session = runtimes.open_session(packages[0], "coreml")
    assert (session.runtime, session.threads, session.input_dtypes) == ("coreml", 0, ("float32",))
    inputs = runtimes.random_inputs(session)
    (found,) = session.run(inputs)
    (expected,) = MilSession(packages[0]).run(inputs)
    assert found.shape == (1, 4, 12, 12)
    assert np.array_equal(found, expected)
    assert np.abs(found).max() > 0.1


WORKER = """import coremltools, platform
from tests.profilers.test_apple import Model
coremltools.models.MLModel = Model
platform.system = lambda: "Darwin"
"""


@pytest.mark.slow
@pytest.mark.usefixtures("faked")
def test_a_mac_measures_in_fresh_processes_and_stores(cli: Cli, packages, tmp_path: Path, monkeypatch) -> None:
    """`sitecustomize` makes the measuring processes Macs, too."""
    (tmp_path / "mac").mkdir()
    (tmp_path / "mac/sitecustomize.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'mac'}:{Path(__file__).parents[2]}")
    done = cli("profile", packages[0], "--target", "mac", "--quick", "--json")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["measurements"]
    found = Measurement.from_json(row["measurement"])
    assert (found.device.runtime, found.device.threads, found.latency.n) == ("coreml", 0, 30)
    assert cli("profile", packages[0], "--target", "mac", "--threads", "2").exit_code == 2
