"""`optimize --masked`: the methods' own forms, of single weights, and what they say of speed."""

import json

import pytest
from safetensors.torch import load_file

from edgeprune.answers import MaskedResult
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification


def test_the_masked_network_is_written_and_nothing_is_said_to_be_faster(cli, given, tmp_path) -> None:
    (tmp_path / "edgeprune.yaml").write_text("latency: 50%\n")  # of the folder's other runs
    done = cli("optimize", *given, "--recipe", "global-mp", "--masked", "--density", "20%", "--epochs", 1, "-o", "m")
    assert done.exit_code == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "Nothing gets faster" in shown
    assert "No budget was checked" in shown
    result = MaskedResult.model_validate_json((tmp_path / "m" / "masked.json").read_text())
    assert sorted(file.name for file in (tmp_path / "m").iterdir()) == ["masked.json", "model.safetensors"]
    assert all(entry.holds for entry in result.properties)
    assert result.weights["alive"] == round(0.2 * result.weights["weights"])
    weights = load_file(tmp_path / "m" / "model.safetensors")
    for name, layer in result.layers.items():
        assert int((weights[name] != 0).sum()) == layer["alive"]
    network = load_model("builtin:resnet8", str(tmp_path / "m" / "model.safetensors"), num_classes=10, in_channels=1)
    images, labels = load_data("builtin:digits").test.tensors
    accuracy = Classification(10).evaluate(network.eval(), [(images, labels)])["accuracy"]
    assert accuracy == pytest.approx(result.masked["accuracy"])
    again = cli("optimize", *given, "--recipe", "global-mp", "--masked", "-o", "m")
    assert again.exit_code == 2
    assert "not an empty folder" in again.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--recipe", "flap", "--masked"], "fedtiny, global-mp, global-mp-gradual, gradual, granet, perp,"),
     (["--masked"], "The recipe beta-rank has no masked form"),
     (["--recipe", "granet", "--masked", "--latency", "50%"], "checks no budget, and there is --latency"),
     (["--recipe", "granet", "--masked", "--score", "random"], "takes no --score"),
     (["--recipe", "granet", "--masked", "--density", "0"], "no share of a whole"),
     (["--recipe", "granet", "--masked", "--plan"], "goes with no --resume, --plan"),
     (["--recipe", "sap", "--masked", "--density", "10%", "--epochs", "9"], "finds its density itself"),
     (["--recipe", "sap", "--masked", "--epochs", "4"], "3 rounds of pruning need 3 epochs or more"),
     (["--recipe", "granet", "--masked", "--devices", "2"], "trains in one process"),
     (["--recipe", "fedtiny", "--macs", "50%", "--devices", "2"], "not in a group of processes"),
     (["--recipe", "granet", "--density", "10%", "--macs", "50%"], "Add --masked")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_any_work(cli, tmp_path, words, said) -> None:
    done = cli("optimize", "--model", "builtin:resnet8", "--data", "builtin:digits", *words, "-o", "m", "--json")
    assert done.exit_code == 2
    assert said in json.dumps(json.loads(done.stdout))
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fedtiny", "gradual", "granet", "global-mp-gradual", "sap", "precropping", "perp"])
def test_every_form_as_a_command(cli, given, recipe) -> None:
    done = cli("optimize", *given, "--recipe", recipe, "--masked", "--epochs", 5, "-o", "m", "--json")
    assert done.exit_code == 0, done.stderr
    result = MaskedResult.model_validate_json(done.stdout)
    assert all(entry.holds for entry in result.properties)
    assert result.masked["accuracy"] > 0.8, "masks that destroy the network would be a defect"
    assert result.density < 0.7
