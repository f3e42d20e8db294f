"""`edgeprune table`: built once, known afterwards, shown, and checked against the clock."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeprune.pipeline.cost_model import share_within

NET = ("builtin:resnet8", "--input-shape", "1x8x8")


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))


def test_what_was_measured_once_is_known_until_asked_for_afresh(cli: Callable[..., object]) -> None:
    told = [json.loads(cli("table", *words, "--json").stdout)[0] for words in (("build", *NET), ("show", *NET))]
    first, second = told
    assert first["measured_now"] > 20
    assert first["known_before"] == 0
    assert (second["measured_now"], second["known_before"]) == (0, first["measured_now"])
    assert second["layers"] == first["layers"]
    again = json.loads(cli("table", "build", *NET, "--fresh", "--json").stdout)[0]
    assert again["measured_now"] == first["measured_now"]
    assert again["layers"] != first["layers"]


def test_every_layer_has_its_times(cli: Callable[..., object], tmp_path: Path) -> None:
    told = json.loads(cli("table", "show", *NET, "-o", "table.html", "--json").stdout)[0]
    assert [layer["name"] for layer in told["layers"]][:2] == ["conv1", "stages.layer1.0.conv1"]
    for layer in told["layers"]:
        assert (layer["ins"][-1], layer["outs"][-1]) == (layer["c_in"], layer["c_out"])
        assert [len(row) for row in layer["ms"]] == [len(layer["outs"])] * len(layer["ms"])
        assert layer["ms"][-1][-1] >= 0
    assert told["kind"] == "measured"
    page = (tmp_path / "table.html").read_text()
    assert "stages.layer1.0.conv1" in page
    assert 'src="http' not in page


def test_random_networks_are_predicted_and_measured(cli: Callable[..., object]) -> None:
    told = json.loads(cli("table", "check", *NET, "--networks", "6", "--json").stdout)[0]
    assert (told["vectors"], told["repeated"], told["candidates"]) == (6, 2, "reshaped")
    assert len(told["pairs_ms"]) == 6
    assert len({round(measured, 9) for _, measured in told["pairs_ms"]}) > 1
    assert told["within_10"] == pytest.approx(share_within(told["pairs_ms"], 0.1))
    text = cli("table", "check", *NET, "--networks", "1").stdout
    assert "predicted against measured" in text
    assert "the same file twice" in text


def test_the_shares_by_hand() -> None:
    pairs = [(1.0, 1.0), (1.04, 1.0), (0.93, 1.0), (1.2, 1.0)]
    assert (share_within(pairs, 0.10), share_within(pairs, 0.05)) == (0.75, 0.5)


def test_a_target_without_a_clock_is_refused(cli: Callable[..., object]) -> None:
    done = cli("table", "build", *NET, "--target", "ios")
    assert done.exit_code == 2
    assert "--target host" in done.stderr
