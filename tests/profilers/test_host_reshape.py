"""Reshaped files against truly converted ones: the same operators on the same shapes, and they run."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

import converters
from edgeprune.graph import Coupling, find_groups, prune, trace
from edgeprune.graph.generic import generic_copy
from edgeprune.sources.cifar_resnet import CifarResNet
from profilers.host.litert_reshape import NotReshapable, Reshaper, reshaped

interpreters = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")


def operators(content: bytes) -> Counter[Any]:
    """(operator, shapes it reads, shapes it writes), each as often as it occurs."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    graph = model.subgraphs[0]

    def shape(index: int) -> tuple[int, ...]:
        found = graph.tensors[index].shape
        return () if found is None else tuple(int(n) for n in found)

    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return Counter(
        (codes[op.opcodeIndex], tuple(shape(i) for i in op.inputs if i >= 0), tuple(shape(i) for i in op.outputs))
        for op in graph.operators
    )


def dense_file(model: nn.Module, x: Tensor, folder: Path) -> tuple[bytes, Coupling, Reshaper]:
    content = converters.convert(model, (x,), "litert", folder / "dense.tflite").path.read_bytes()
    coupling = find_groups(trace(model, (x,)))
    parameters = dict(model.named_parameters())
    weights = {layer.name: parameters[layer.weight].detach().numpy() for layer in coupling.layers}
    return content, coupling, Reshaper(content, weights)


def outputs(coupling: Coupling, counts: dict[str, int]) -> dict[str, int]:
    return {layer.name: coupling.channels(layer, counts)[1] for layer in coupling.layers}


def check(model: nn.Module, x: Tensor, folder: Path, seed: int = 0) -> None:
    """Random widths: the reshaped file has the converted one's operators and shapes, and the runtime takes it."""
    model = generic_copy(model, 0).float().eval()
    dense, coupling, reshaper = dense_file(model, x, folder)
    assert operators(reshaper.file({})) == operators(dense)
    generator = np.random.default_rng(seed)
    counts = {group: int(generator.choice(menu[:-1] or menu)) for group, menu in coupling.menu(4).items()}
    kept = coupling.select({g: torch.rand(coupling.groups[g].units) for g in counts}, counts)
    pruned, _ = prune(model, coupling, kept)
    truth = converters.convert(pruned, (x,), "litert", folder / "pruned.tflite").path.read_bytes()
    found = reshaper.file(outputs(coupling, counts))
    assert operators(found) == operators(truth) != operators(dense)
    interpreter = interpreters.Interpreter(model_content=found)
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_a_residual_network_with_its_values_when_nothing_changes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = CifarResNet(8).eval(), torch.randn(1, 1, 28, 28)
    check(model, x, tmp_path)
    dense, _, reshaper = dense_file(generic_copy(model, 0).float().eval(), x, tmp_path)
    found = []
    for content in (dense, reshaper.file({})):
        interpreter = interpreters.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.numpy())
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*found)
    assert np.ptp(found[0]) > 0.1


def test_widths_come_back_after_narrower_ones(tmp_path: Path) -> None:
    """One reshaper serves many candidates: the second does not inherit from the first."""
    model, x = CifarResNet(8).eval(), torch.randn(1, 1, 28, 28)
    dense, coupling, reshaper = dense_file(generic_copy(model, 0).float().eval(), x, tmp_path)
    narrow = {group: menu[0] for group, menu in coupling.menu(8).items()}
    assert operators(reshaper.file(outputs(coupling, narrow))) != operators(dense)
    assert operators(reshaper.file(outputs(coupling, {}))) == operators(dense)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121", "googlenet",
     "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "mnasnet0_5", "squeezenet1_1"],
)  # fmt: skip
def test_families(name: str, tmp_path: Path) -> None:
    settings = {"init_weights": True} if name == "googlenet" else {}
    model = torchvision.models.get_model(name, weights=None, **settings).eval()
    check(model, torch.randn(1, 3, 64, 64), tmp_path)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    model, x = CifarResNet(8).eval(), torch.randn(1, 1, 28, 28)
    content, _, _ = dense_file(generic_copy(model, 0).float().eval(), x, tmp_path)
    other = {name: value.detach().numpy() for name, value in generic_copy(model, 1).named_parameters()}
    with pytest.raises(NotReshapable, match="is no layer of the network"):
        Reshaper(content, other)


def test_two_equal_layers_are_refused(tmp_path: Path) -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    model, x = nn.Sequential(nn.Conv2d(3, 4, 1), conv, nn.ReLU(), conv), torch.randn(1, 3, 8, 8)
    content = converters.convert(model, (x,), "litert", tmp_path / "twice.tflite").path.read_bytes()
    weights = {"first": model[0].weight, "one": conv.weight, "other": conv.weight}
    with pytest.raises(NotReshapable, match="could be one or other"):
        Reshaper(content, {name: value.detach().numpy() for name, value in weights.items()})


def test_what_is_not_known_is_refused_only_where_channels_change(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.cumsum(self.a(x), 2))

    model, x = Odd().eval(), torch.randn(1, 3, 8, 8)
    content = converters.convert(model, (x,), "litert", tmp_path / "odd.tflite").path.read_bytes()
    reshaper = Reshaper(content, {"a": model.a.weight.detach().numpy(), "b": model.b.weight.detach().numpy()})
    assert reshaper.file({"b": 4})
    with pytest.raises(NotReshapable, match=r"CUMSUM at .* is not known here"):
        reshaper.file({"a": 4})


@pytest.mark.parametrize(
    ("old", "new", "target", "result"),
    [
        ((1, 4, 4, 24), (1, 4, 4, 16), (1, 4, 4, 2, 12), (1, 4, 4, 2, 8)),  # shuffle: split into two halves
        ((1, 4, 4, 12, 2), (1, 4, 4, 8, 2), (1, 4, 4, 24), (1, 4, 4, 16)),  # and merged again
        ((1, 1, 1, 64), (1, 1, 1, 40), (1, 64), (1, 40)),
        ((1, 64), (1, 40), (1, 1, 1, 64), (1, 1, 1, 40)),
        ((1, 7, 7, 64), (1, 7, 7, 40), (1, 3136), (1, 1960)),
        ((1, 6), (1, 5), (2, 3), None),  # no halves of five
        ((1, 24), (1, 16), (1, 24), (1, 16)),
    ],
)
def test_reshapes(
    old: tuple[int, ...], new: tuple[int, ...], target: tuple[int, ...], result: tuple[int, ...] | None
) -> None:
    assert reshaped(old, new, target) == result
