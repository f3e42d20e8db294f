"""Candidates are timed as reshaped files, and as converted ones where those cannot be had."""

from pathlib import Path

import pytest

import converters
from edgeprune.config import make_config
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.progress import LoggedProgress
from profilers.host.litert_reshape import NotReshapable, Reshaper


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
