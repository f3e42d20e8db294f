"""`--quantize`: the reduced file is what is searched, judged, evaluated and shipped; float32 stands beside it."""

import json

import numpy as np
import pytest
import torch

import converters
import edgeprune
from converters import inspect
from converters.mil import OPS
from edgeprune.config import make_config
from edgeprune.pipeline.candidates import Candidates
from edgeprune.pipeline.choose import budget_limits
from edgeprune.pipeline.file_network import FileNetwork
from edgeprune.pipeline.files import NetworkFiles, convert_and_prove
from edgeprune.pipeline.job import Job, job_from_config
from edgeprune.pipeline.quantize import calibration, options
from edgeprune.pipeline.state import DenseStage, reload_files
from edgeprune.pipeline.twin import in_words
from edgeprune.progress import LoggedProgress
from edgeprune.result import Result, Twin
from edgeprune.run import Run
from edgeprune.sources.data import load_data
from profilers.host import HostBench
from profilers.runtimes import open_session


@pytest.fixture
def job(fast):
    """job(quantize="int8") is the shortest run, not started."""

    def make(**settings) -> Job:
        config = make_config({"model": "builtin:resnet8", **fast, **settings})
        return job_from_config(config, LoggedProgress())

    return make


def run_file(path, images):
    """Logits (N, classes) of a .tflite, by the runtime alone."""
    session = open_session(path, "litert")
    return np.concatenate([session.run([image[None].numpy()])[0] for image in images])


def accuracy_of_file(path, split):
    images, labels = split.tensors
    return float((run_file(path, images).argmax(1) == labels.numpy()).mean())


def twin(low, ratio, high):
    return Twin(
        precision="int8", float_latency_ms=None, latency_ms=None, ratio=ratio, ratio_ci95=(low, high),
        float_size_bytes=100, size_bytes=30, float_val_metrics={}, val_metrics=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "ratio", "high", "words"),
    [
        (1.2, 1.25, 1.3, "int8 is slower than float32 on this target: 1.25 times its latency."),
        (0.4, 0.5, 0.6, "int8 is 2.00 times faster than float32 on this target."),
        (0.9, 0.95, 1.01, "int8 and float32 are equally fast on this target"),
    ],
)
def test_slower_or_faster_is_said_only_if_the_interval_says_so(low, ratio, high, words):
    assert in_words(twin(low, ratio, high), "host").startswith(words)


def test_what_was_not_measured_is_not_compared():
    unmeasured = twin(1, 1, 1).model_copy(update={"ratio": None, "ratio_ci95": None})
    assert "ios is not measured here" in in_words(unmeasured, "ios")


def test_calibration_sees_training_images_and_no_others(job):
    drawn = calibration(job(quantize="int8"), 16)
    train = {image.numpy().tobytes() for image in load_data("builtin:digits").train.tensors[0]}
    assert [len(sample) for sample in drawn] == [1] * 16
    assert drawn[0][0].shape == (1, 1, 8, 8)
    assert {sample[0].numpy().tobytes() for sample in drawn} <= train
    assert len({sample[0].numpy().tobytes() for sample in drawn}) > 8
    assert calibration(job(quantize="fp16")) == []


@pytest.mark.parametrize("unknown", [(), ("relu",)])
def test_core_ml_is_int8_where_its_program_can_be_followed(job, tmp_path, monkeypatch, unknown):
    for op in unknown:
        monkeypatch.delitem(OPS, op)
    eight = job(quantize="int8", formats="coreml")
    shipped = convert_and_prove(eight, eight.model, "net", tmp_path).shipped["coreml"]
    assert shipped.artifact.precision == ("int8-weights" if unknown else "int8")
    assert shipped.parity.compared == ("weights" if unknown else "interpreted")


def test_a_file_is_evaluated_as_the_network_that_it_holds(job, tmp_path):
    plain = job()
    images, _ = plain.data.val.tensors
    artifact = converters.convert(plain.model, plain.example_inputs, "litert", tmp_path / "net.tflite")
    network = FileNetwork(artifact, plain.model, plain.example_inputs)
    with torch.inference_mode():
        expected = plain.model(images[:20])
        assert torch.allclose(network(images[:20]), expected, atol=1e-4 * float(expected.abs().max()))
    from edgeprune.sources.batches import loaders

    val = loaders(plain.data)[1]
    assert plain.task.evaluate(network, val) == plain.task.evaluate(plain.model, val)


class TwoAnswers(torch.nn.Module):
    """A dictionary of outputs."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        logits = self.network(x)
        return {"logits": logits, "doubled": 2 * logits}


def test_a_file_answers_in_the_structure_of_its_network(job, tmp_path):
    plain = job()
    two = TwoAnswers(plain.model).eval()
    artifact = converters.convert(two, plain.example_inputs, "litert", tmp_path / "two.tflite")
    found = FileNetwork(artifact, two, plain.example_inputs)(plain.data.val.tensors[0][:3])
    assert list(found) == ["logits", "doubled"]
    assert found["logits"].shape == (3, 10)
    assert torch.allclose(found["doubled"], 2 * found["logits"], atol=1e-3)


def test_files_of_both_number_formats_are_found_again(job, tmp_path):
    eight = job(quantize="int8")
    run = Run.open(tmp_path / "run", eight.config, resume=False)
    files = convert_and_prove(eight, eight.model, "dense", run.artifacts)
    assert sorted(p.name for p in run.artifacts.iterdir()) == ["dense-int8.tflite", "dense.tflite"]
    full, shipped = files.full["litert"], files.shipped["litert"]
    assert (full.artifact.precision, shipped.artifact.precision) == ("float32", "int8")
    assert shipped.artifact.size_bytes < 0.5 * full.artifact.size_bytes
    assert shipped.parity.inputs == len(eight.data.val)
    assert shipped.parity.agreement >= 0.97
    again = reload_files(run, files.to_results("dense", run.path))
    run.close()
    for kind in ("full", "shipped"):
        before, after = getattr(files, kind)["litert"].artifact, getattr(again, kind)["litert"].artifact
        assert (after.sha256, after.precision, after.path) == (before.sha256, before.precision, before.path)


def test_a_file_size_budget_is_given_to_the_solver_in_the_number_format_of_the_file(job, tmp_path):
    """25 % of the float32 file: the solver has to predict the int8 files that it is judged by."""
    eight = job(quantize="int8", macs=None, file_size="25%")
    traced, coupling = eight.groups()
    files = convert_and_prove(eight, eight.model, "dense", tmp_path)
    full, shipped = (kind["litert"].artifact.size_bytes for kind in (files.full, files.shipped))
    dense = DenseStage(val_metrics={}, macs=1, params=1, files=[], latency_ms=None, first_look=[])
    (limit,) = budget_limits(eight, traced, coupling, dense, files, 1.0)
    assert limit.predict({}) / limit.budget == pytest.approx(shipped / (0.25 * full), rel=1e-3)
    half = {name: menu[len(menu) // 2 - 1] for name, menu in coupling.menu(8).items()}
    kept = coupling.select({g: torch.ones(coupling.groups[g].units) for g in half}, half)
    small = edgeprune.graph.prune(eight.model, coupling, kept)[0]
    path = tmp_path / "small.tflite"
    how = options(eight, calibration(eight, 8))
    size = converters.convert(small, eight.example_inputs, "litert", path, how).size_bytes
    assert limit.predict(half) / limit.budget * 0.25 * full == pytest.approx(size, rel=0.15)  # scales shrink too
    assert size < 0.6 * shipped, "a width at which nothing shrinks proves nothing"


def test_candidates_are_timed_in_the_number_format_of_the_run(job, tmp_path, monkeypatch):
    eight = job(quantize="int8")
    _, coupling = eight.groups()
    dense = converters.convert(eight.model, eight.example_inputs, "litert", tmp_path / "dense.tflite")
    timed, ratio = [], HostBench.ratio

    def watched(self, artifact, seconds):  # noqa: ARG001 - two seconds are for real runs
        timed.append((artifact.precision, inspect(artifact.path).widths))
        return ratio(self, artifact, seconds=0.1)

    monkeypatch.setattr(HostBench, "ratio", watched)
    narrow = {name: menu[0] for name, menu in coupling.menu(8).items()}
    kept = coupling.select({g: torch.ones(coupling.groups[g].units) for g in narrow}, narrow)
    with Candidates(eight, coupling, dense, [1.0], relative=True) as bench:
        bench.measure(narrow, kept)
    ((precision, widths),) = timed
    assert precision == "int8"
    assert max(widths) < max(inspect(dense.path).widths)


def test_a_reduced_file_that_loses_too_much_ends_the_run_before_training(cli, given, tmp_path, monkeypatch):
    """No honest network of ours loses that much to int8: the rule is made strict instead."""
    from converters import parity

    monkeypatch.setitem(parity.RULES, "int8", parity.Rule(agreement=1.01))
    done = cli("optimize", *given, "--macs", "60%", "--formats", "litert", "--quantize", "int8", "-o", "run", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.exit_code, error["exit_code"]) == (6, 6)
    assert "dense-int8.tflite" in error["message"]
    assert "top-1" in error["message"]
    assert "--quantize" in error["cure"]
    assert not (tmp_path / "run").exists()


def check(result: Result, fast, quantize, precision):
    """What holds for every reduced run, by the files themselves."""
    data = load_data(fast["data"])
    path = result.path / "artifacts" / f"pruned-{quantize}.tflite"
    assert result.quantization.quantize == quantize
    pruned, dense = result.quantization.pruned, result.quantization.dense
    assert result.pruned.accuracy == pruned.metrics["accuracy"] == accuracy_of_file(path, data.test)
    assert result.pruned.val_metrics["accuracy"] == accuracy_of_file(path, data.val)
    assert dense.metrics["accuracy"] == accuracy_of_file(path.with_name(f"dense-{quantize}.tflite"), data.test)
    assert pruned.float_metrics["accuracy"] == pytest.approx(
        accuracy_of_file(path.with_name("pruned.tflite"), data.test)
    )
    assert dense.float_metrics == result.dense.metrics
    assert result.pruned.size_bytes == pruned.size_bytes == path.stat().st_size
    assert result.pruned.latency_ms.n >= 100
    assert pruned.float_latency_ms.n >= 100
    assert result.quantization.note in " ".join(str(result).split())
    assert result.quantization.note in (result.path / "report.html").read_text()
    found = {(a.network, a.precision) for a in result.artifacts}
    assert found == {(network, p) for network in ("dense", "pruned") for p in ("float32", precision)}
    for artifact in result.artifacts:
        assert inspect(result.path / artifact.path).size_bytes == artifact.size_bytes


@pytest.mark.slow
@pytest.mark.parametrize(("quantize", "precision"), [("int8", "int8"), ("fp16", "float16")])
def test_a_whole_run(fast, tmp_path, quantize, precision):
    result = edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", quantize=quantize, **fast)
    check(result, fast, quantize, precision)
    assert result.met
    again = Result.model_validate_json((tmp_path / "run" / "result.json").read_text())
    assert again.model_dump(mode="json") == result.model_dump(mode="json")


@pytest.mark.slow
def test_a_run_stopped_at_every_stage(fast, tmp_path, monkeypatch):
    finish, stages = Run.finish, ("dense", "search-0", "train-0", "files-0", "judge-0")
    for stage in stages:

        def stopping(self, name, found, stage=stage):
            finish(self, name, found)
            if name == stage:
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "finish", stopping)
        with pytest.raises(KeyboardInterrupt):
            edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", resume=True, quantize="int8", **fast)
    monkeypatch.setattr(Run, "finish", finish)
    result = edgeprune.optimize("builtin:resnet8", output=tmp_path / "run", resume=True, quantize="int8", **fast)
    check(result, fast, "int8", "int8")


@pytest.mark.slow
def test_settings_file_and_latency(cli, given, tmp_path, run, monkeypatch):
    """From edgeprune.yaml; int8 alone may keep a budget of 95 %: then nothing is pruned, and the int8 file is it."""
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(run["path"].parent / "cache"))
    (tmp_path / "edgeprune.yaml").write_text("quantize: int8\nformats: litert\nepochs: 1\n")
    done = cli("optimize", *given, "--latency", "95%", "-o", "run", "--json")
    result = Result.model_validate_json(done.stdout)
    assert done.exit_code == (0 if result.met else 4)
    assert result.quantization.quantize == "int8"
    if result.pruned.params == result.dense.params:
        assert result.outcome == "the dense network as int8 already meets the budget; nothing was pruned"
        assert result.pruned.size_bytes == result.quantization.dense.size_bytes < result.dense.size_bytes
    else:
        assert result.search.candidates_measured >= 1


@pytest.mark.slow
def test_ios_ships_int8_and_says_whose_accuracy_it_shows(cli, given):
    done = cli("optimize", *given, "--target", "ios", "--macs", "60%", "--allocate", "uniform", "--epochs", "1",
               "--quantize", "int8", "-o", "run", "--json")  # fmt: skip
    result = Result.model_validate_json(done.stdout)
    assert (done.exit_code, result.quantization.pruned.metrics) == (0, None)
    assert any("Accuracy is that of the float32 network" in warning for warning in result.warnings)
    (entry,) = (a for a in result.artifacts if (a.network, a.precision) == ("pruned", "int8"))
    assert entry.parity.compared == "interpreted"
    assert entry.parity.agreement >= 0.97


def test_files_are_the_same_where_nothing_is_reduced(job, tmp_path):
    files = convert_and_prove(job(), job().model, "dense", tmp_path)
    assert isinstance(files, NetworkFiles)
    assert files.full is files.shipped
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tflite"] == ["dense.tflite"]
