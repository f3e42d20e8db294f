import os
from pathlib import Path

import pytest
import yaml

from edgeprune.config import Config
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.files import write_json, write_text
from edgeprune.recipe import load_recipe
from edgeprune.run import Run, default_path
from profilers.android.serials import hidden

CONFIG = Config(model="builtin:resnet8", latency="50%")


def test_finished_stages_survive_and_unfinished_ones_do_not(tmp_path):
    run = Run.open(tmp_path / "run", CONFIG, resume=False)
    run.finish("dense", {"ms": 1.5})
    run.close()
    again = Run.open(tmp_path / "run", CONFIG, resume=True)
    assert again.done("dense") == {"ms": 1.5}
    assert again.done("search-0") is None


def test_a_run_in_which_nothing_was_finished_leaves_nothing(tmp_path):
    run = Run.open(tmp_path / "run", CONFIG, resume=False)
    run.discard()
    assert not (tmp_path / "run").exists()


def test_discard_keeps_what_was_finished(tmp_path):
    run = Run.open(tmp_path / "run", CONFIG, resume=False)
    run.finish("dense", {})
    run.discard()
    assert (tmp_path / "run" / "state" / "dense.json").exists()


def test_an_existing_run_needs_resume_and_the_same_settings(tmp_path):
    Run.open(tmp_path / "run", CONFIG, resume=False).close()
    with pytest.raises(UsageError, match="unfinished run"):
        Run.open(tmp_path / "run", CONFIG, resume=False)
    with pytest.raises(UsageError, match="latency was '50%', now '40%'"):
        Run.open(tmp_path / "run", CONFIG.model_copy(update={"latency": "40%"}), resume=True)


def test_a_run_goes_on_with_the_method_it_was_started_with(tmp_path):
    recipe = load_recipe("gradual")
    run = Run.open(tmp_path / "run", CONFIG, resume=False)
    run.keep_method(recipe)
    run.close()
    again = Run.open(tmp_path / "run", CONFIG, resume=True)
    again.keep_method(recipe.model_copy(update={"title": "another"}))
    slower = recipe.recover.model_copy(update={"lr": 0.001})
    with pytest.raises(UsageError, match=r"recipe was changed .*: recover"):
        again.keep_method(recipe.model_copy(update={"recover": slower}))


def test_a_serial_number_is_kept_hashed_and_resumes_by_itself_or_its_hash(tmp_path):
    path, config = tmp_path / "run", CONFIG.model_copy(update={"target": "android", "serial": ["R58M123"]})
    Run.open(path, config, resume=False).close()
    written = (path / "config.yaml").read_text()
    assert "R58M123" not in written
    assert yaml.safe_load(written)["serial"] == [hidden("R58M123")]
    for serial in ("R58M123", hidden("R58M123")):
        Run.open(path, config.model_copy(update={"serial": [serial]}), resume=True).close()
    for others in ([], ["B"]):
        with pytest.raises(UsageError, match="other settings: serial was") as caught:
            Run.open(path, config.model_copy(update={"serial": others}), resume=True)
        assert "Give the --serial it was started with" in caught.value.cure


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UsageError, match="not a run"):
        Run.open(tmp_path, CONFIG, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["letters.txt"]


def test_two_processes_cannot_work_in_one_run(tmp_path):
    first = Run.open(tmp_path / "run", CONFIG, resume=False)
    with pytest.raises(UsageError, match="Another edgeprune"):
        Run.open(tmp_path / "run", CONFIG, resume=True)
    first.close()


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "result.json"
    write_json(file, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"new": float("nan")})
    assert "old" in file.read_text()
    assert os.listdir(tmp_path) == ["result.json"]


def test_full_disk_is_an_environment_problem_that_names_the_file(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(EnvironmentProblem, match="No space left") as caught:
        write_text(tmp_path / "report.html", "x")
    assert "Free some space" in caught.value.cure
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        Run.open(Path("/proc/edgeprune-run"), CONFIG, resume=False)


def test_default_path_counts_finished_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_path(CONFIG, resume=False)
    assert str(first) == "runs/resnet8-host-50pct"
    first.mkdir(parents=True)
    (first / "result.json").write_text("{}")
    assert str(default_path(CONFIG, resume=False)) == "runs/resnet8-host-50pct-2"
    assert default_path(CONFIG, resume=True) == first


def test_default_path_counts_finished_fronts_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_path(CONFIG, resume=False, question="pareto-3.front")
    first.mkdir(parents=True)
    assert default_path(CONFIG, resume=False, question="pareto-3.front") == first
    (first / "front.json").write_text("{}")
    assert default_path(CONFIG, resume=False, question="pareto-3.front").name == f"{first.name}-2"
    assert default_path(CONFIG, resume=True, question="pareto-3.front") == first
