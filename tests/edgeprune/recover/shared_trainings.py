"""Trainings that one process and several must end alike; `shared_trainings.py FOLDER WHAT` under torchrun runs them."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from edgeprune.recover.engine import Engine
from edgeprune.recover.finetune import finetune
from edgeprune.recover.scratch import reinitialise
from edgeprune.sources.augment import Augmentation
from edgeprune.sources.batches import Loader, loaders
from edgeprune.sources.cifar_resnet import CifarResNet
from edgeprune.sources.data import load_data
from edgeprune.task import Classification

EPOCHS, LR = 2, 0.05
SEEDS = range(6)


class Net(nn.Module):
    """Convolution, batch norm with a forward of its own, an ordinary one after it, an unused parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3, padding=1), OwnForward(8)
        self.deep, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8, momentum=None)
        self.fc, self.unused = nn.Linear(128, 10), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.deep(self.bn(self.conv(x)).relu())).relu()
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


class OwnForward(nn.BatchNorm2d):
    """As timm writes them."""

    def forward(self, x: Tensor) -> Tensor:
        self.num_batches_tracked.add_(self.training)
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )


class Decay:
    """A companion that acts on gradients and on weights."""

    def __init__(self, net: Net) -> None:
        self.net = net

    def before_step(self, step: int) -> None:
        assert self.net.bn.weight.grad is not None
        self.net.bn.weight.grad += 0.1 * step

    def after_step(self, step: int, optimizer: torch.optim.SGD) -> None:  # noqa: ARG002
        with torch.no_grad():
            self.net.fc.weight[:, :4] = 0

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None: ...


def digits(n: int) -> TensorDataset:
    """The first n training images."""
    return TensorDataset(*(tensor[:n] for tensor in load_data("builtin:digits").train.tensors))


def make(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def trainings(engine: Engine) -> dict[str, tuple[nn.Module, list[Any]]]:
    """name -> (trained network, history)."""
    augmented = Augmentation(shift=1, flip=True, crop=0.9)
    uneven = Loader(digits(120), 33, shuffle=True, augmentation=augmented, drop_last=True, seed=1)
    val, task, found = Loader(digits(100), 50), Classification(10), {}

    def run(name: str, net: nn.Module, train: Any = uneven, **settings: Any) -> None:
        settings = {"epochs": EPOCHS, "lr": LR, "engine": engine, **settings}
        done = finetune(net, train, val, task, **settings)
        found[name] = net, [[entry.loss, entry.metrics["accuracy"]] for entry in done.history]

    run("uneven shares", make())
    run("distilled", make(), teacher=make(1), alpha=0.7)
    net = make()
    run("companion", net, companion=Decay(net))
    images, labels = digits(65).tensors
    run("batches of one's own", make(), [(images[i : i + 16], labels[i : i + 16]) for i in range(0, 65, 16)])
    net = make()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    run("nothing trained", net, epochs=0)
    return found


def accuracies(engine: Engine) -> list[float]:
    """Test accuracy of a small residual network after six epochs from random weights, by seed."""
    found = []
    for seed in SEEDS:
        net, task = CifarResNet(8), Classification(10)
        reinitialise(net, seed)
        train, val, test = loaders(load_data("builtin:digits"), 64, seed)
        finetune(net, train, val, task, epochs=6, lr=0.1, seed=seed, engine=engine)
        found.append(task.evaluate(net, test)["accuracy"])
    return found


def main(folder: Path, what: str) -> None:
    """Run all, leave what each process ended with."""
    from edgeprune.recover.fabric import fabric_engine

    torch.set_num_threads(1)
    engine = fabric_engine("cpu", "32", 2, 1)
    if what == "accuracies":
        (folder / f"{engine.rank}.json").write_text(json.dumps(accuracies(engine)))
        return
    for name, (net, history) in trainings(engine).items():
        save_file(net.state_dict(), folder / f"{name}-{engine.rank}.safetensors")
        (folder / f"{name}-{engine.rank}.json").write_text(json.dumps(history))
    assert engine.shared(lambda: {"rank": engine.rank, "text": "ü" * 1000}) == {"rank": 0, "text": "ü" * 1000}
    own = torch.full((2, 3), float(engine.rank + 1)).t()
    assert engine.same({"a": own})["a"].eq(1).all()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
