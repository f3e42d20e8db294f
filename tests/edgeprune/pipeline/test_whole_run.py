"""One real run, looked at from all sides. Nothing here depends on how fast this machine is."""

import json

import pytest
import torch
from torch import nn

import edgeprune
from converters import inspect
from converters.artifact import sha256
from edgeprune.result import Result
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model


def test_result_follows_its_schema_and_is_what_json_printed(run):
    result = Result.model_validate_json((run["path"] / "result.json").read_text())
    assert json.loads(result.model_dump_json()) == run["json"]


def test_met_is_what_the_requirements_say_and_what_the_exit_code_says(run):
    met = all(r["met"] for r in run["json"]["budget"]["requirements"])
    assert run["json"]["met"] == met
    assert run["code"] == (0 if met else 4)


def test_the_verdict_is_measured_not_predicted(run):
    (latency,) = run["json"]["budget"]["requirements"]
    assert latency["source"] == "measured"
    lines = [json.loads(line) for line in (run["path"] / "measurements.jsonl").read_text().splitlines()]
    solves = {line["label"]: line for line in lines if line["label"].startswith("pruned, ")}  # noise may ask for two
    (final,) = (one for one in solves.values() if one["latency"]["median"] == latency["achieved"])
    assert len(final["samples_ms"]) >= 100
    assert run["json"]["pruned"]["latency_ms"]["median"] == latency["achieved"]


def called(network, inputs):
    """Shapes of the weights of convolutions and linear layers, in the order in which the network calls them."""
    shapes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda layer, *_: shapes.append(tuple(layer.weight.shape)))
    network(inputs)
    return shapes


def test_files_are_proved_hashed_and_hold_the_pruned_widths(run):
    pruned = {a["format"]: a for a in run["json"]["artifacts"] if a["network"] == "pruned"}
    assert set(pruned) == {"litert", "executorch", "coreml"}
    shapes = called(edgeprune.load(run["path"]), load_data("builtin:digits").val.tensors[0][:1])
    assert len(shapes) == 10
    for fmt, artifact in pruned.items():
        path = run["path"] / artifact["path"]
        assert sha256(path) == artifact["sha256"]
        assert artifact["parity"]["max_rel_error"] <= 1e-4
        assert list(inspect(path, fmt).weight_shapes) == shapes, "the file has other layers, or in another order"


def test_pruned_network_is_narrower_and_reported_so(run):
    result = run["json"]
    kept = {name: w["kept"] for name, w in result["widths"].items()}
    dense = {name: w["dense"] for name, w in result["widths"].items()}
    assert sum(kept.values()) < sum(dense.values())
    assert {n["name"] for n in result["groups"]["pruned"]} == {g for g in kept if kept[g] < dense[g]}
    assert result["pruned"]["macs"] < result["dense"]["macs"]
    assert result["proof"]["max_rel_error"] < 1e-9
    assert result["proof"]["miswired_rel_change"] > 1e-3


def test_load_gives_the_network_whose_accuracy_was_reported(run):
    network = edgeprune.load(run["path"])
    test = load_data("builtin:digits").test
    images, labels = test.tensors
    with torch.inference_mode():
        accuracy = (network(images).argmax(1) == labels).float().mean().item()
    assert accuracy == pytest.approx(run["json"]["pruned"]["accuracy"], abs=1e-6)


def test_dense_weights_do_not_fit_the_pruned_network(run, trained):
    dense = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1)
    shapes = {n: t.shape for n, t in edgeprune.load(run["path"]).state_dict().items()}
    assert shapes != {n: t.shape for n, t in dense.state_dict().items()}


def test_report_is_there_and_needs_no_network(run):
    page = (run["path"] / "report.html").read_text()
    assert "builtin:resnet8" in page
    assert 'src="http' not in page
