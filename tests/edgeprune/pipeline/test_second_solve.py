"""A final file outside the budget: one more solve, aimed lower; the closest of both is what the run delivers."""

import pytest

import edgeprune
from converters.artifact import sha256
from edgeprune.pipeline import judge as judging
from edgeprune.run import Run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("misses", "stopped", "solves", "delivered", "met"),
    [
        ([1.3], None, 2, 1, True),
        ([1.3], "judge-0", 2, 1, True),
        ([1.3, 1.4], None, 2, 0, False),
        ([1.4, 1.3], "files-1", 2, 1, False),
    ],
    ids=["met by the second", "met by the second, resumed", "the first is closer", "the second is closer, resumed"],
)
def test_final_file_outside_the_budget(fast, tmp_path, monkeypatch, misses, stopped, solves, delivered, met):
    """The judge is made to find the first files too large by these factors: no real file can be told to."""
    path, judge, finish, finished = tmp_path / "run", judging.judge, Run.finish, []

    def missing(limit, dense, pruned, ratio, *rest):
        found = judge(limit, dense, pruned, ratio, *rest)
        if pruned.size_bytes == dense.size_bytes or not misses:
            return found
        return found.model_copy(update={"used": misses.pop(0), "met": False})

    def stopping(self, name, found):
        finish(self, name, found)
        finished.append(name)
        if finished.count(stopped) == 1 and name == stopped:
            raise KeyboardInterrupt

    monkeypatch.setattr(judging, "judge", missing)
    monkeypatch.setattr(Run, "finish", stopping)
    settings = {**fast, "macs": None, "file_size": "80%"}
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            edgeprune.optimize("builtin:resnet8", output=path, **settings)
    result = edgeprune.optimize("builtin:resnet8", output=path, resume=bool(stopped), **settings)
    assert result.met == met
    assert finished == ["dense", *(f"{s}-{n}" for n in range(solves) for s in ("search", "train", "files", "judge"))]
    state = path / "state"
    assert (path / "widths.json").read_text() == (state / f"widths-{delivered}.json").read_text()
    assert (state / "widths-0.json").read_text() != (state / "widths-1.json").read_text()
    assert [p.name for p in state.glob("attempt-*")] == []
    (entry,) = (artifact for artifact in result.artifacts if artifact.network == "pruned")
    assert sha256(path / entry.path) == entry.sha256
    assert result.pruned.size_bytes == entry.size_bytes == (path / entry.path).stat().st_size
    assert ("not met" in result.outcome) == (not met)
