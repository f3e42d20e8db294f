"""`edgeprune prune` and `edgeprune groups`: what is written, what is said, what is refused."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from edgeprune.cli import app
from edgeprune.graph import Widths
from edgeprune.sources.models import load_model

ON_DIGITS = ["--input-shape", "1x8x8"]


def invoke(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def slim(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("prune") / "slim"
    words = ["--model", "builtin:resnet8", "--weights", trained, *ON_DIGITS, "--ratio", "0.5"]
    code, out, err = invoke("prune", *words, "-o", folder, "--json")
    assert code == 0, err
    return folder, json.loads(out)


def rebuilt(folder: Path, weights: Path) -> torch.nn.Module:
    dense = load_model("builtin:resnet8", weights)
    pruned = Widths.from_json((folder / "widths.json").read_text()).apply(dense)
    return load_model(pruned, folder / "model.safetensors").eval()


def test_half_of_every_group_goes_and_is_told(slim: tuple[Path, dict]) -> None:
    _, told = slim
    gone = {note["name"]: (note["dense"], note["kept"]) for note in told["groups"]["pruned"]}
    assert gone
    assert all(kept == dense // 2 for dense, kept in gone.values())
    assert [note["name"] for note in told["groups"]["frozen"]] == ["fc"]
    assert told["macs"]["pruned"] < 0.35 * told["macs"]["dense"]
    assert told["proof"]["max_rel_error"] < 1e-12


def test_what_is_written_rebuilds_the_network_that_was_told_of(slim: tuple[Path, dict], trained: Path) -> None:
    folder, told = slim
    network = rebuilt(folder, trained)
    assert sum(p.numel() for p in network.parameters()) == told["params"]["pruned"]
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_widths_of_one_network_fit_other_weights(slim: tuple[Path, dict], trained: Path, tmp_path: Path) -> None:
    folder, told = slim
    code, out, err = invoke(
        "prune", "--model", "builtin:resnet8", *ON_DIGITS, "--widths", folder / "widths.json", "-o", tmp_path / "x",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["widths"] == told["widths"]
    mine, fresh = rebuilt(folder, trained), rebuilt(tmp_path / "x", trained)
    assert [p.shape for p in mine.parameters()] == [p.shape for p in fresh.parameters()]
    assert not all(torch.equal(a, b) for a, b in zip(mine.parameters(), fresh.parameters(), strict=True))


def test_ratio_zero_is_bit_identical(trained: Path, tmp_path: Path) -> None:
    code, _, err = invoke(
        "prune", "--model", "builtin:resnet8", "--weights", trained, *ON_DIGITS, "--ratio", "0", "-o", tmp_path / "same"
    )
    assert code == 0, err
    dense, same = load_model("builtin:resnet8", trained).state_dict(), rebuilt(tmp_path / "same", trained).state_dict()
    assert all(torch.equal(dense[name], same[name]) for name in dense)


def test_a_limit_on_macs_and_a_kept_layer(trained: Path) -> None:
    code, out, err = invoke(
        "prune", "--model", "builtin:resnet8", "--weights", trained, "--data", "builtin:digits", "--score", "taylor",
        "--macs", "50%", "--allocate", "global", "--multiple", "1", "--keep", "stages.layer3.0.conv1", "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert 0.4 * told["macs"]["dense"] < told["macs"]["pruned"] <= 0.5 * told["macs"]["dense"]
    assert "stages.layer3.0.conv1" in [note["name"] for note in told["groups"]["frozen"]]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "either a ratio or a limit"),
        (["--ratio", "0.5", "--macs", "50%"], "either a ratio or a limit"),
        (["--ratio", "1"], "not in [0, 1)"),
        (["--macs", "1%"], "narrowest"),
        (["--ratio", "0.5", "--keep", "blocs"], "no layer matches"),
        (["--ratio", "0.5", "--score", "taylor"], "needs data"),
        (["--ratio", "0.5", "--score", "l3"], "unknown criterion"),
        (["--widths", "none.json"], "none.json"),
        (["--ratio", "0.5", "--input-shape", "1x8xq"], "no shape"),
    ],
)
def test_what_cannot_be_is_refused_in_words(words: list[str], says: str) -> None:
    shape = [] if "--input-shape" in words else ON_DIGITS
    code, out, err = invoke("prune", "--model", "builtin:resnet8", *shape, *words)
    assert code == (4 if "--macs" in words and "--ratio" not in words else 2), err
    assert says in " ".join(err.split())
    assert out == ""


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    code, _, err = invoke("prune", "--model", "builtin:resnet8", *ON_DIGITS, "--ratio", "0.5", "-o", tmp_path)
    assert (code, [p.name for p in tmp_path.iterdir()]) == (2, ["mine.txt"])
    assert "not an empty folder" in " ".join(err.split())


def test_groups_names_members_ties_and_reasons(tmp_path: Path) -> None:
    code, out, err = invoke("groups", "builtin:resnet8", *ON_DIGITS, "--json", "-o", tmp_path / "groups")
    assert code == 0, err
    found = {group["name"]: group for group in json.loads(out)}
    chain = next(group for group in found.values() if len(group["makers"]) > 1)
    assert chain["frozen"] is None
    assert any("output" in (group["frozen"] or "") for group in found.values())
    program = torch.export.load(tmp_path / "groups" / "model.pt2")
    nodes = {node.name for node in program.graph.nodes}
    data = json.loads((tmp_path / "groups" / "node-data.json").read_text())["graph"]["results"]
    assert set(data) <= nodes
    convolutions = {node.name for node in program.graph.nodes if "conv2d" in str(node.target)}
    assert convolutions
    assert convolutions <= set(data)
    code, out, _ = invoke("groups", "builtin:resnet8", *ON_DIGITS)
    assert code == 0
    assert "frozen: it is an output of the network" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines()) <= 80
