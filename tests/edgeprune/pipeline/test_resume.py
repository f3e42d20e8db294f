"""A run that is stopped at every stage, and taken up again each time, ends like one that never stopped."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import edgeprune
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.timings import Timings
from edgeprune.result import Result
from edgeprune.run import Run

STAGES = ("dense", "search-0", "train-0", "files-0", "judge-0")


def assert_same_run(path, other):
    """Both directories hold the same network, files and findings; only what a clock says may differ."""
    assert (path / "widths.json").read_text() == (other / "widths.json").read_text()
    mine, theirs = load_file(path / "model.safetensors"), load_file(other / "model.safetensors")
    assert all(torch.equal(mine[name], theirs[name]) for name in mine.keys() | theirs.keys())
    one, two = (Result.model_validate_json((folder / "result.json").read_text()) for folder in (path, other))
    assert {(a.path, a.sha256) for a in one.artifacts} == {(a.path, a.sha256) for a in two.artifacts}
    assert [one.groups, one.proof, one.met, one.outcome] == [two.groups, two.proof, two.met, two.outcome]
    assert [one.pruned.metrics, one.pruned.val_metrics] == [two.pruned.metrics, two.pruned.val_metrics]
    assert sorted(p.name for p in path.iterdir()) == sorted(p.name for p in other.iterdir())
    assert sorted(p.name for p in (path / "state").iterdir()) == sorted(p.name for p in (other / "state").iterdir())


@pytest.mark.parametrize("recorded", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["after", "before"])
def test_stopped_at_every_stage(fast, fast_run, tmp_path, monkeypatch, recorded):
    """`after`: stopped once a stage is recorded; `before`: at its end, so that its work is lost and done again."""
    path, finish, finished = tmp_path / "run", Run.finish, []

    def stop_at(stage):
        def stopping(self, name, found):
            if name == stage and not recorded:
                raise KeyboardInterrupt
            finish(self, name, found)
            finished.append(name)
            if name == stage:
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "finish", stopping)

    for number, stage in enumerate(STAGES):
        stop_at(stage)
        with pytest.raises(KeyboardInterrupt):
            edgeprune.optimize("builtin:resnet8", output=path, resume=path.exists(), **fast)
        there = STAGES[: number + recorded]
        assert path.exists() == bool(there)
        assert {p.stem for p in path.glob("state/*.json")} & set(STAGES) == set(there)
        assert not (path / ".lock").exists()
        assert not (path / "result.json").exists()
    stop_at(None)
    result = edgeprune.optimize("builtin:resnet8", output=path, resume=True, **fast)
    assert finished == list(STAGES), "a finished stage was repeated or left out"
    assert result.path == path
    assert_same_run(path, fast_run)


def test_a_file_that_was_changed_since_is_refused(fast, tmp_path, monkeypatch):
    path, finish = tmp_path / "run", Run.finish

    def stopping(self, name, found):
        finish(self, name, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "finish", stopping)
    with pytest.raises(KeyboardInterrupt):
        edgeprune.optimize("builtin:resnet8", output=path, **fast)
    file = path / "artifacts" / "dense.tflite"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(edgeprune.EdgePruneError, match=r"dense.tflite was changed since") as caught:
        edgeprune.optimize("builtin:resnet8", output=path, resume=True, **fast)
    assert caught.value.exit_code == 2
    assert json.loads((path / "state" / "dense.json").read_text()), "what was finished is kept"


@pytest.mark.parametrize("stage", ["dense", pytest.param("train-0", marks=pytest.mark.slow)])
def test_disk_that_is_full_at_the_end_of_a_stage(fast, tmp_path, monkeypatch, stage):
    path, replace = tmp_path / "run", os.replace

    def full(source, place):
        if Path(place).name == f"{stage}.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, place)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(edgeprune.EdgePruneError, match="No space left on device") as caught:
        edgeprune.optimize("builtin:resnet8", output=path, **fast)
    assert caught.value.exit_code == 3
    assert "Free some space" in caught.value.cure
    assert path.exists() == (stage != "dense"), "a directory in which nothing was finished goes, any other stays"
    assert not list(tmp_path.rglob("*.partial"))


def test_resuming_nothing_is_said(fast, tmp_path, monkeypatch, caplog):
    def stopping(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "finish", stopping)
    with caplog.at_level("INFO", "edgeprune"), pytest.raises(KeyboardInterrupt):
        edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", resume=True, **fast)
    assert "there was nothing to resume" in caplog.text


@pytest.mark.slow
def test_a_search_that_is_taken_up_again_times_no_widths_twice(fast, tmp_path, monkeypatch):
    timed, build, put = [], Candidates._built_and_timed, Timings.put

    def counted(self, counts, kept):
        timed.append(dict(counts))
        return build(self, counts, kept)

    def stopping(self, *found):
        put(self, *found)
        raise KeyboardInterrupt

    monkeypatch.setattr(Candidates, "_built_and_timed", counted)
    monkeypatch.setattr(Timings, "put", stopping)
    settings = {**fast, "macs": None, "latency": "60%", "output": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        edgeprune.optimize("builtin:resnet8", **settings)
    assert len(timed) == 1
    monkeypatch.setattr(Timings, "put", put)
    edgeprune.optimize("builtin:resnet8", **settings, resume=True)
    rounds = Result.model_validate_json((tmp_path / "run/result.json").read_text()).search.rounds
    assert timed[0] == rounds[0].widths, "the search went the same way"
    assert timed.count(timed[0]) == 1
