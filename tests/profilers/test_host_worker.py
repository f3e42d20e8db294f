"""The measuring process: what it measures, and that none of its failures goes unexplained or leaves a process."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from profilers.errors import MeasurementError
from profilers.host import client, peak_memory
from profilers.host.client import Worker
from profilers.layers import LayerKey

ROOT = Path(__file__).parents[2]


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether the process ends (or is a zombie) within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if ") Z" in Path(f"/proc/{pid}/stat").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_latency_of_a_busy_loop_of_known_length(fake) -> None:
    artifact = fake(busy_ms=4)
    with Worker() as worker:
        loaded = worker.load("m", artifact.path, "fake", 1)
        samples = worker.run("m", 20)
    assert len(samples) == 20
    assert min(samples) >= 4.0
    assert min(samples) < 8.0
    assert loaded["first_ms"] >= 4.0
    assert (loaded["runtime"], loaded["threads"]) == ("fake", 1)


def test_warm_up_lasts_as_long_as_asked(fake) -> None:
    with Worker() as worker:
        worker.load("m", fake(busy_ms=2).path, "fake", 1)
        by_runs = worker.ask("warm", name="m", runs=7, seconds=0.0, max_seconds=5.0)
        by_time = worker.ask("warm", name="m", runs=1, seconds=0.1, max_seconds=5.0)
        capped = worker.ask("warm", name="m", runs=10_000, seconds=0.0, max_seconds=0.05)
    assert by_runs["runs"] == 7
    assert 2 <= by_time["runs"] <= 50
    assert capped["runs"] <= 26


def test_models_take_turns(fake) -> None:
    with Worker() as worker:
        worker.load("a", fake(busy_ms=1).path, "fake", 1)
        worker.load("b", fake(busy_ms=3).path, "fake", 1)
        samples = worker.rotate(["a", "b"], rounds=4, burst=2)
    assert {name: len(values) for name, values in samples.items()} == {"a": 8, "b": 8}
    assert min(samples["a"]) >= 1.0
    assert min(samples["b"]) >= 3.0


def test_peak_memory_is_the_model_not_the_imports(fake) -> None:
    # the fake runtime's import peaks 128 MiB higher than what stays: an unreset watermark would show that
    assert peak_memory(fake(alloc_mib=64)) == pytest.approx(64, abs=1)
    assert peak_memory(fake(alloc_mib=8)) == pytest.approx(8, abs=1)
    assert peak_memory(fake()) < 1, "nothing is imported after the watermark was reset"


def test_a_crash_is_explained_by_the_end_of_its_stderr(fake) -> None:
    with Worker() as worker, pytest.raises(MeasurementError, match=r"(?s)0\.fake \(SIGABRT\).*bad kernel"):
        worker.load("m", fake(crash=True).path, "fake", 1)
    assert gone(worker.pid)


def test_a_bug_in_the_worker_shows_its_traceback() -> None:
    with Worker() as worker, pytest.raises(MeasurementError, match=r"(?s)exit code 1.*KeyError"):
        worker.run("never loaded", 1)


def test_a_hang_ends_after_the_timeout(fake) -> None:
    with Worker(timeout_s=1.5) as worker, pytest.raises(MeasurementError, match=r"0\.fake gave no answer for 1\.5 s"):
        worker.load("m", fake(hang=60).path, "fake", 1)
    assert gone(worker.pid)


def test_a_runtime_that_prints_does_not_disturb_the_answers(fake) -> None:
    with Worker() as worker:
        worker.load("m", fake(print=True).path, "fake", 1)
        assert len(worker.run("m", 3)) == 3


def test_missing_file_and_wrong_format(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("no model")
    with Worker() as worker:
        with pytest.raises(MeasurementError, match="does not exist"):
            worker.load("m", tmp_path / "none.tflite", "litert", 1)
        with pytest.raises(MeasurementError, match=r"text\.tflite is not a LiteRT model"):
            worker.load("m", tmp_path / "text.tflite", "litert", 1)
        with pytest.raises(MeasurementError, match="onnx") as caught:
            worker.load("m", tmp_path / "text.tflite", "onnx", 1)
    assert "executorch, litert" in caught.value.cure


def test_the_worker_lives_on_after_an_error(layer, tmp_path: Path) -> None:
    good = layer(LayerKey("linear", 4, 4))
    with Worker() as worker:
        with pytest.raises(MeasurementError):
            worker.load("m", tmp_path / "none.tflite", "litert", 1)
        worker.load("m", good.path, "litert", 1)
        assert len(worker.run("m", 2)) == 2


def test_affinity_is_set_and_read_back(fake) -> None:
    core = max(os.sched_getaffinity(0))
    with Worker(affinity=[core]) as worker:
        assert worker.affinity_seen == (core,)
        worker.load("m", fake().path, "fake", 1)
        assert os.sched_getaffinity(worker.pid) == {core}


def test_a_core_that_is_not_there(fake) -> None:
    with Worker(affinity=[4000]) as worker, pytest.raises(MeasurementError, match="cores \\[4000\\]") as caught:
        worker.load("m", fake().path, "fake", 1)
    assert "use [" in caught.value.cure


def test_threads_are_really_started(layer) -> None:
    artifact = layer(LayerKey("conv2d", 32, 32, (28, 28), (28, 28), (3, 3), padding=(1, 1)))
    for threads, more in ((1, 0), (2, 1)):
        with Worker(preload="litert") as worker:
            loaded = worker.load("m", artifact.path, "litert", threads)
        assert (loaded["threads"], loaded["new_threads"], loaded["delegate"]) == (threads, more, "xnnpack")


def test_closing_twice_is_fine_and_asking_afterwards_is_an_error() -> None:
    worker = Worker()
    worker.close()
    worker.close()
    with pytest.raises(MeasurementError, match="closed"):
        worker.unload()


@pytest.mark.parametrize("orders", ["{}", '{"hang": 3}'], ids=["idle", "in a run"])
def test_the_worker_dies_with_a_killed_parent(orders: str, tmp_path: Path) -> None:
    (tmp_path / "m.fake").write_text(orders)
    program = f"""
        import sys
        from pathlib import Path
        from profilers.host import client
        client.WORKER = (sys.executable, "-P", {str(Path(__file__).parent / "fake_worker.py")!r})
        worker = client.Worker()
        assert worker.affinity_seen
        print(worker.pid, flush=True)
        worker.load("m", Path({str(tmp_path / "m.fake")!r}), "fake", 1)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert gone(pid)


def test_workers_start_without_torch_or_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('a file of the user shadows the standard library')")
    monkeypatch.chdir(tmp_path)
    assert client.WORKER[1] == "-P"
    with Worker(preload="litert") as worker:
        worker.unload()
