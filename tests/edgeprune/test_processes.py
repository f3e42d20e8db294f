"""How many processes: asked for, or started by torchrun."""

import pytest

from edgeprune.config import Config, make_config
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.preflight import check
from edgeprune.processes import processes, restarted

GIVEN = {"model": "builtin:resnet8", "data": "builtin:digits", "macs": "50%", "formats": ["litert"]}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
}


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)


def test_one_unless_asked_for_more():
    assert processes(Config()).world == processes(Config(devices=1, nodes=1)).world == 1
    own = processes(Config(devices=4))
    assert (own.devices, own.nodes, own.world, own.launched, own.rank) == (4, 1, 4, False, 0)


def test_several_machines_need_torchrun_and_are_told_how():
    with pytest.raises(UsageError, match="--nodes 2: the machines do not know where to meet") as caught:
        processes(Config(devices=4, nodes=2))
    assert "torchrun --nnodes 2 --nproc-per-node 4" in caught.value.cure
    assert "-m edgeprune optimize" in caught.value.cure


@pytest.mark.usefixtures("torchrun")
def test_torchrun_decides_and_contradictions_are_told(monkeypatch):
    for config in (Config(), Config(devices=4), Config(nodes=2), Config(devices=4, nodes=2)):
        own = processes(config)
        assert (own.devices, own.nodes, own.world, own.launched, own.rank) == (4, 2, 8, True, 5)
    with pytest.raises(UsageError, match="--devices 2, but torchrun started 4"):
        processes(Config(devices=2))
    assert not restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert restarted()


def test_the_extra_is_asked_for_by_its_name(monkeypatch):
    monkeypatch.setattr("edgeprune.preflight.find_spec", lambda name: None if name == "lightning_fabric" else object())
    check(make_config(GIVEN))
    for settings in ({"devices": 2}, {"precision": "bf16"}):
        with pytest.raises(EnvironmentProblem, match="lightning-fabric") as caught:
            check(make_config({**GIVEN, **settings}))
        assert 'pip install "edgeprune[distributed]"' in caught.value.cure


def test_python_objects_need_a_script_under_torchrun():
    config = make_config({**GIVEN, "devices": 2})
    check(config)
    with pytest.raises(UsageError, match="cannot see Python objects") as caught:
        check(config, has_model=True, has_data=True)
    assert "torchrun --nproc-per-node 2 SCRIPT.py" in caught.value.cure


def test_precision_may_be_a_number_in_yaml(tmp_path):
    file = tmp_path / "edgeprune.yaml"
    file.write_text("precision: 16\n")
    assert make_config({}, file).precision == "16"
    with pytest.raises(UsageError, match="precision"):
        make_config({"precision": "8"})
