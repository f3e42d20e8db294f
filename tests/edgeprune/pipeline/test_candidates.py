"""Candidates are timed as reshaped files, and as converted ones where those cannot be had."""

from pathlib import Path

import pytest

import converters
from converters.artifact import Artifact
from edgeprune.config import make_config
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.pipeline.timings import Timings
from edgeprune.progress import LoggedProgress
from edgeprune.run import Run
from edgeprune.search.limits import Measured
from profilers.host.bench import HostBench
from profilers.host.litert_reshape import NotReshapable, Reshaper
from profilers.measurement import Latency, Ratio


@pytest.fixture
def job(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))
    settings = {"model": "builtin:resnet8", "weights": str(trained), "data": "builtin:digits", "latency": "50%"}
    return job_from_config(make_config(settings), LoggedProgress())


def ratio(job: Job, folder: Path) -> tuple[float, bool]:
    """Time of the narrowest network against the dense one, and whether it was converted."""
    dense = converters.convert(job.model, job.example_inputs, "litert", folder / "dense.tflite")
    _, coupling = job.groups()
    counts = {group: menu[0] for group, menu in coupling.menu(8).items()}
    kept = coupling.select({g: coupling.components[g].float() for g in counts}, counts)
    converted = []
    convert = converters.convert

    def counted(*words: object) -> object:
        converted.append(words)
        return convert(*words)

    with pytest.MonkeyPatch.context() as patch, Candidates(job, coupling, dense, [1.0], relative=True) as candidates:
        patch.setattr(converters, "convert", counted)
        return candidates.measure(counts, kept).ms, bool(converted)


def test_reshaped_and_converted_files_take_the_same_time(job: Job, tmp_path: Path, monkeypatch, caplog) -> None:
    with caplog.at_level("INFO", "edgeprune"):
        fast, converted = ratio(job, tmp_path)
        assert not converted
        assert "one by one" not in caplog.text

        def unknown(*_: object) -> bytes:
            raise NotReshapable("ODD at here is not known here")

        monkeypatch.setattr(Reshaper, "file", unknown)
        slow, converted = ratio(job, tmp_path)
        assert converted
        assert "candidates are converted one by one: ODD at here" in caplog.text
    assert 0 < fast < 1
    assert fast == pytest.approx(slow, rel=0.5), "timed on a busy machine: the benchmark has the figure"


def test_a_reshaped_file_that_does_not_run_is_converted(job: Job, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(Reshaper, "file", lambda self, outputs: b"TFL3, or so it says")  # noqa: ARG005
    with caplog.at_level("INFO", "edgeprune"):
        found, converted = ratio(job, tmp_path)
    assert converted
    assert 0 < found < 1
    assert "the reshaped file does not run" in caplog.text


def test_widths_that_a_run_has_timed_are_not_timed_again(job: Job, tmp_path: Path, monkeypatch, caplog) -> None:
    dense = converters.convert(job.model, job.example_inputs, "litert", tmp_path / "dense.tflite")
    _, coupling = job.groups()
    menus = coupling.menu(8)
    narrow, wide = ({group: menu[at] for group, menu in menus.items()} for at in (0, -1))
    timed = []
    ratio = HostBench.ratio

    def counted(self: HostBench, candidate: Artifact, seconds: float) -> tuple[Ratio, Latency]:
        timed.append(candidate.size_bytes)
        return ratio(self, candidate, seconds=seconds / 20)

    monkeypatch.setattr(HostBench, "ratio", counted)

    def measure(run: Run, counts: dict[str, int]) -> Measured:
        with Candidates(job, coupling, dense, [1.0], relative=True, timings=Timings(run)) as candidates:
            kept = coupling.select({g: coupling.components[g].float() for g in counts}, counts)
            return candidates.measure(counts, kept)

    run = Run.open(tmp_path / "run", job.config, resume=False)
    first = measure(run, narrow)
    before = len(timed)
    run.close()
    resumed = Run.open(tmp_path / "run", job.config, resume=True)
    with caplog.at_level("INFO", "edgeprune"):
        assert measure(resumed, narrow) == first
    assert len(timed) == before
    assert "not measured again" in caplog.text
    assert measure(resumed, wide) != first
    assert len(timed) > before
    monkeypatch.setattr("profilers.device.fingerprint", lambda: "another machine")
    before = len(timed)
    measure(resumed, narrow)
    assert len(timed) > before, "what one machine took says nothing of another"
    resumed.close()
