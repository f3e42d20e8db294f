"""Model specs, weights and their errors."""

import copy
import io
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.sources.cifar_resnet import CifarResNet
from edgeprune.sources.models import load_model

CODE = """
from torch import nn

def make_model(num_classes=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, num_classes))

def make_nothing():
    return 7

def make_trouble():
    raise RuntimeError("no such luck")
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_builtin_takes_classes_and_channels() -> None:
    model = load_model("builtin:resnet8", num_classes=4, in_channels=3)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_0"])
def test_torchvision_head_and_stem(name: str) -> None:
    model = load_model(f"torchvision:{name}", num_classes=5, in_channels=1).eval()
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


def test_torchvision_segmentation_downloads_no_backbone() -> None:
    model = load_model("torchvision:lraspp_mobilenet_v3_large", num_classes=2).eval()
    assert model(torch.zeros(1, 3, 64, 64))["out"].shape == (1, 2, 64, 64)


def test_file_function_gets_what_it_takes(code: Path) -> None:
    model = load_model(f"{code}:make_model", num_classes=6, in_channels=1)
    assert model(torch.zeros(1, 1, 2, 2)).shape == (1, 6)


def test_package_function() -> None:
    assert load_model("torchvision.models.resnet:resnet18", num_classes=2).fc.out_features == 2


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("builtin:resnet21", "builtin:resnet20"),
        ("torchvision:resnet81", "torchvision:resnet18"),
        ("resnet20", "builtin:resnet20"),
        ("torchvision:mobilnet_v2", "torchvision:mobilenet_v2"),
        ("torchvison:resnet18", "torchvision:resnet18"),
    ],
)
def test_unknown_names_are_answered_with_near_ones(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match="unknown model") as caught:
        load_model(spec)
    assert said in caught.value.cure


def test_a_weights_file_that_is_not_there_is_answered_with_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    with pytest.raises(UsageError, match="no weights file") as caught:
        load_model("builtin:resnet8", str(tmp_path / "bset.safetensors"))
    assert "best.safetensors" in caught.value.cure


def test_function_that_is_not_there_lists_those_that_are(code: Path) -> None:
    with pytest.raises(UsageError, match="make_modle") as caught:
        load_model(f"{code}:make_modle")
    assert "make_model" in caught.value.cure
    assert "make_trouble" in caught.value.cure


def test_function_that_returns_no_module(code: Path) -> None:
    with pytest.raises(UsageError, match=r"returned a int, not a torch\.nn\.Module"):
        load_model(f"{code}:make_nothing")


def test_function_that_fails_names_its_line(code: Path) -> None:
    with pytest.raises(UsageError, match="no such luck") as caught:
        load_model(f"{code}:make_trouble")
    assert "mine.py, line 11" in caught.value.cure


def test_file_that_does_not_import(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(UsageError, match="failed to import"):
        load_model(f"{path}:f")


def test_timm_models_take_the_classes_and_channels_of_the_data() -> None:
    model = load_model("timm:resnet10t", num_classes=7, in_channels=1)
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 7)
    with pytest.raises(UsageError, match="unknown model") as caught:
        load_model("timm:resnet10s")
    assert "timm:resnet10t" in caught.value.cure


def test_timm_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EnvironmentProblem) as caught:
        load_model("timm:resnet18")
    assert caught.value.cure == "pip install timm"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_are_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    trained, path = CifarResNet(8), tmp_path / f"weights{suffix}"
    state = trained.state_dict()
    if suffix == ".pt":
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    else:
        save_file(state, path)
    loaded = load_model("builtin:resnet8", weights=path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_weights_of_another_number_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(CifarResNet(8, num_classes=7).state_dict(), path)
    with pytest.raises(UsageError, match=r"fc\.weight is \(7, 64\) in the file, \(10, 64\) in the model") as caught:
        load_model("builtin:resnet8", weights=path, num_classes=10)
    assert "trained for 7 classes, the data has 10" in caught.value.cure


def test_weights_of_another_architecture_name_the_first_few(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(CifarResNet(8).state_dict(), path)
    with pytest.raises(UsageError, match=r"missing .* and \d+ more"):
        load_model("builtin:resnet14", weights=path)


def test_nan_is_named(tmp_path: Path) -> None:
    state, path = CifarResNet(8).state_dict(), tmp_path / "weights.safetensors"
    state["bn1.weight"][3] = float("nan")
    save_file(state, path)
    with pytest.raises(UsageError, match=r"bn1\.weight holds NaN or infinity \(1 of 16 values\)"):
        load_model("builtin:resnet8", weights=path)


def test_nan_in_a_given_module_is_named_too() -> None:
    model = CifarResNet(8)
    model.fc.bias.data[0] = float("inf")
    with pytest.raises(UsageError, match=r"fc\.bias"):
        load_model(model)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "weights.pt"

    class Evil:
        def __reduce__(self) -> object:
            return Path.touch, (marker,)

    torch.save({"a": Evil()}, path)
    with pytest.raises(UsageError, match="would run code"):
        load_model("builtin:resnet8", weights=path)
    assert not marker.exists()


def test_truncated_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(CifarResNet(8).state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot be read"):
        load_model("builtin:resnet8", weights=path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "small.pt2"
    torch.export.save(torch.export.export(CifarResNet(8).eval(), (torch.zeros(1, 1, 8, 8),)), path)
    return path


def test_exported_program_answers(exported: Path) -> None:
    assert load_model(str(exported))(torch.ones(1, 1, 8, 8)).shape == (1, 10)


def test_exported_program_takes_batches_and_modes_like_the_model_it_was(tmp_path: Path) -> None:
    model = CifarResNet(8).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 1, 8, 8),)), tmp_path / "net.pt2")
    loaded = load_model(str(tmp_path / "net.pt2"))
    images = torch.from_numpy(load_digits().images[:6, None]).float()
    with torch.inference_mode():
        for network in (loaded, loaded.train(), loaded.eval(), copy.deepcopy(loaded)):
            assert torch.equal(network(images), model(images))


@pytest.mark.parametrize("part", ["sample_inputs", "use_pickle", "target", "twice"])
def test_exported_program_that_could_run_code_is_refused(exported: Path, tmp_path: Path, part: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pt2"

    class Evil:
        def __reduce__(self) -> object:
            return Path.touch, (marker,)

    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    with zipfile.ZipFile(exported) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if part == "sample_inputs" and "/sample_inputs/" in name:
                content = buffer.getvalue()
            if part == "use_pickle" and name.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            if part == "use_pickle" and name.endswith("weight_0"):
                content = pickle.dumps(Evil())
            if part == "target" and name.endswith("model.json"):
                content = content.replace(b"torch.ops.aten.relu_.default", b"torch.os.system")
            new.writestr(name, content)
            if part == "twice" and name.endswith("model.json"):
                new.writestr(name.upper(), content)
    with pytest.raises(UsageError, match="is refused"):
        load_model(str(path))
    assert not marker.exists()
