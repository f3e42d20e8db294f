"""The Python API on real digits: other tasks than classification, several inputs, pruning alone, loading again."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

import edgeprune
from converters import inspect
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model

SETTINGS = {"macs": "60%", "epochs": 1, "formats": "litert", "target": "host"}


def train(model, dataset, loss, epochs=6):
    """A few epochs of plain Adam: the user's own training."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    *inputs, targets = dataset.tensors
    generator = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for index in torch.randperm(len(targets), generator=generator).split(64):
            optimizer.zero_grad()
            loss(model(*(x[index] for x in inputs)), targets[index]).backward()
            optimizer.step()
    return model.eval()


class Segmenter(nn.Module):
    """Which pixels are ink, and of which digit: (N, 1, 8, 8) -> (N, 11, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.bottom = nn.Sequential(nn.Conv2d(32, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.up = nn.Sequential(nn.Conv2d(64, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.head = nn.Conv2d(48, 11, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(a)
        c = F.interpolate(self.bottom(b), size=(4, 4), mode="nearest")
        d = F.interpolate(self.up(torch.cat([b, c], 1)), size=(8, 8), mode="nearest")
        return self.head(torch.cat([a, d], 1))


class TwoEyes(nn.Module):
    """The left and the right half of a digit, (N, 1, 8, 4) each -> (N, 10)."""

    def __init__(self):
        super().__init__()
        self.left = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.right = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.both = nn.Sequential(nn.Conv2d(40, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.fc = nn.Linear(32, 10)

    def forward(self, left, right):
        return self.fc(self.both(torch.cat([self.left(left), self.right(right)], 1)).mean((2, 3)))


def ink(dataset):
    images, labels = dataset.tensors
    return TensorDataset(images, torch.where(images[:, 0] > 0, labels[:, None, None] + 1, 0))


def halves(dataset):
    images, labels = dataset.tensors
    return TensorDataset(images[..., :4].contiguous(), images[..., 4:].contiguous(), labels)


def share_right(model, loader):
    """The part of targets (pixels or digits) that the model names."""
    right = total = 0
    for inputs, targets in loader:
        outputs = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
        right += int((outputs.argmax(1) == targets).sum())
        total += targets.numel()
    return {"share_right": right / total}


def other_task(network, prepare, path):
    data = load_data("builtin:digits")
    splits = {name: prepare(getattr(data, name)) for name in ("train", "val", "test")}
    torch.manual_seed(0)
    model = train(network(), splits["train"], F.cross_entropy)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    *inputs, _ = (tensor[:1] for tensor in splits["val"].tensors)
    result = edgeprune.optimize(
        model, tuple(inputs), **splits, loss=F.cross_entropy, evaluate=share_right, output=path, **SETTINGS
    )
    return model, before, splits, result


@pytest.mark.parametrize(
    ("network", "prepare"),
    [pytest.param(Segmenter, ink, marks=pytest.mark.slow), (TwoEyes, halves)],
    ids=["segmentation", "two inputs"],
)
def test_another_task_end_to_end(network, prepare, tmp_path):
    model, before, splits, result = other_task(network, prepare, tmp_path / "run")
    assert result.met
    assert result.primary_metric == "share_right"
    assert result.pruned.macs <= 0.6 * result.dense.macs
    assert result.dense.metrics["share_right"] > 0.6
    assert result.pruned.metrics["share_right"] > 0.5
    assert (result.pruned.accuracy, result.pruned.macro_f1) == (None, None)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items()), "model was touched"

    batches = [(inputs[0] if len(inputs) == 1 else tuple(inputs), y) for *inputs, y in [splits["test"].tensors]]
    with torch.inference_mode():
        assert share_right(model, batches)["share_right"] == pytest.approx(result.dense.metrics["share_right"])
        again = share_right(edgeprune.load(result.path, model), batches)
    assert again["share_right"] == pytest.approx(result.pruned.metrics["share_right"])

    *inputs, _ = splits["test"].tensors
    with torch.inference_mode():
        assert torch.equal(edgeprune.load(result.path, network())(*inputs), result.module(*inputs))
    (artifact,) = (a for a in result.artifacts if a.network == "pruned")
    assert artifact.parity.max_rel_error <= 1e-4
    widths = [m.weight.shape[0] for m in result.module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(inspect(result.path / artifact.path, "litert").widths) == sorted(widths)
    assert "share_right" in str(result) or "share right" in str(result).lower()


def test_loss_comes_with_evaluate():
    images = TensorDataset(torch.zeros(8, 1, 8, 8), torch.arange(8))
    for half in ({"loss": F.cross_entropy}, {"evaluate": share_right}):
        with pytest.raises(edgeprune.EdgePruneError, match="come together"):
            edgeprune.optimize(nn.Conv2d(1, 8, 3), train=images, val=images, macs="50%", **half)


def test_prune_halves_every_group_and_touches_nothing_else(trained):
    model = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, _ = load_data("builtin:digits").val.tensors
    pruned, widths = edgeprune.prune(model, images[:1], ratio=0.5)
    shapes = {name: tuple(tensor.shape) for name, tensor in pruned.state_dict().items() if tensor.ndim > 1}
    for name, tensor in model.state_dict().items():
        if tensor.ndim > 1:
            out, into, *kernel = tensor.shape
            halved = (out if name == "fc.weight" else out // 2, into if name == "conv1.weight" else into // 2, *kernel)
            assert shapes[name] == halved
    with torch.inference_mode():
        assert torch.equal(widths.apply(model)(images), pruned(images))
        assert pruned(images[:4]).shape == (4, 10)
    for name, axes in widths.kept.items():
        kept = before[name]
        for axis, index in axes.items():
            kept = kept.index_select(axis, torch.tensor(index))
        assert torch.equal(pruned.state_dict()[name], kept), "surgery keeps values, it does not change them"
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_prune_by_nothing_changes_nothing(trained):
    model = load_model("builtin:resnet8", str(trained), num_classes=10, in_channels=1).eval()
    images, _ = load_data("builtin:digits").val.tensors
    pruned, _ = edgeprune.prune(model, images[:1], ratio=0)
    with torch.inference_mode():
        assert torch.equal(pruned(images), model(images))


@pytest.mark.parametrize("ratio", [1.0, -0.1, 7.0])
def test_prune_by_everything_is_refused(ratio):
    with pytest.raises(edgeprune.EdgePruneError, match="ratio"):
        edgeprune.prune(nn.Conv2d(1, 16, 3), torch.zeros(1, 1, 8, 8), ratio=ratio)


def test_load_needs_a_finished_run_and_its_architecture(fast_run, tmp_path):
    with pytest.raises(edgeprune.EdgePruneError, match="not a finished run"):
        edgeprune.load(tmp_path)
    with pytest.raises(edgeprune.EdgePruneError, match="belong to a model with shape"):
        edgeprune.load(fast_run, load_model("builtin:resnet8", num_classes=10, in_channels=3))
