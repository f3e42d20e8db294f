"""The recorded graph against torch.export's: the same operators, arguments, names and parameters."""

import pytest
import torch
import torchvision
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from benchmarks import zoo
from edgeprune.graph import TraceError, trace
from edgeprune.graph.record import Program, record
from edgeprune.graph.trace import bound, export, parameters_of, switched, tied_names

FAMILIES = [
    "resnet18", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "densenet121", "squeezenet1_1", "googlenet",
    "shufflenet_v2_x0_5", "convnext_tiny", "vgg11_bn", "swin_t", "swin_v2_t", "vit_b_32", "maxvit_t",
]  # fmt: skip


def written(program: Program, tied: dict[str, str] | None = None) -> list[str]:
    """Every operator with its arguments and the shapes that come out; parameters by their first names."""
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    owned = {placeholder: (tied or {}).get(name, name) for name, placeholder in parameters_of(program).items()}
    others = (n for n in inputs if n.name not in owned and n.users)
    names = {node: owned.get(node.name) or f"input {position}" for position, node in enumerate(others)}
    names |= {node: owned[node.name] for node in inputs if node.name in owned}

    def text(value: object) -> str:
        if isinstance(value, fx.Node):
            return names.get(value, value.name)
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(text(part) for part in value)}]"
        return repr(value)

    lines = []
    for node in program.graph.nodes:
        if node.op == "call_function":
            shapes = [tuple(v.shape) for v in pytree.tree_leaves(node.meta["val"]) if isinstance(v, Tensor)]
            arguments = [f"{key}={text(value)}" for key, value in bound(node).items() if "cudnn" not in key]
            lines.append(f"{node.name} = {node.target}({', '.join(arguments)}) {shapes}")
        elif node.op == "output":
            lines.append(text([leaf for leaf in node.args[0] if leaf is not None]))
    return lines


@pytest.mark.parametrize("name", FAMILIES)
def test_same_graph_as_torch_export(name: str) -> None:
    model = zoo.make(name)
    size, _ = zoo.setting(zoo._SIZES, name, (64, 96))
    x = torch.randn(1, 3, size, size)
    recorded = record(model, (x,))
    assert written(recorded) == written(Program.of(export(model, (x,))))
    assert set(recorded.state_dict) == {n for n, _ in [*model.named_parameters(), *model.named_buffers()]}


@pytest.mark.parametrize("name", ["googlenet", "densenet121"])
def test_same_graph_in_train_mode_and_statistics_untouched(name: str) -> None:
    model, x = zoo.make(name), torch.randn(2, 3, 64, 64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with switched(model, training=True):
        recorded = record(model, (x,))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with switched(model, training=True):
        assert written(recorded) == written(Program.of(export(model, (x,))))


class Odd(nn.Module):
    """Constants, a shared layer, a tied weight, a parameter by itself, a loop over the batch, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.other = nn.Conv2d(3, 8, 3, padding=1)
        self.other.weight = self.stem.weight
        self.twice = nn.Conv2d(8, 8, 1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.table = torch.arange(8.0)  # no buffer
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = functional.relu(self.stem(x) + self.other(x)) * self.scale + torch.tensor(2.0)
        y = self.twice(self.twice(y)) * self.table.reshape(8, 1, 1)
        mask = y.new_zeros(y.shape[2], y.shape[3])
        mask[1:, 1:] = 3
        tokens = (y + mask).flatten(2).transpose(1, 2)
        tokens, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        first, second = tokens.chunk(2, dim=1)
        return {"first": first.mean(1), "second": second[..., :4]}


def test_same_graph_of_an_odd_network_that_stays_as_it_was() -> None:
    model, x = Odd().eval(), torch.randn(2, 3, 4, 4)
    before = {(m, name): id(value) for m in model.modules() for name, value in vars(m).items()}
    recorded = record(model, (x,))
    assert {(m, name): id(value) for m in model.modules() for name, value in vars(m).items()} == before
    tied = tied_names(model)
    assert tied == {"other.weight": "stem.weight"}
    assert written(recorded, tied) == written(Program.of(export(model, (x,))), tied)
    assert type(model.stem.weight) is nn.Parameter
    assert [value.numel() for value in recorded.constants.values()] == [1, 8, 1]
    assert torch.compiler.is_exporting() is False
    assert type(torch.ones(2)) is Tensor


class Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if x.sum() > 0 else x


class Keeps(Asks):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.layer(x)
        return self.last


class Conditional(Asks):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda y: self.layer(y), lambda y: y.clone(), (x,))


def test_what_depends_on_values_is_refused_as_by_torch_export() -> None:
    with pytest.raises(Exception, match=r"data-dependent|DataDependent|local_scalar"):
        record(Asks(), (torch.ones(1, 4),))
    with pytest.raises(TraceError, match=r"x\.sum\(\) > 0"):
        trace(Asks(), (torch.ones(1, 4),))


def test_a_tensor_kept_in_an_attribute_is_refused_and_leaves_nothing_behind() -> None:
    model = Keeps()
    with pytest.raises(RuntimeError, match=r"Keeps\.last"):
        record(model, (torch.ones(1, 4),))
    assert not hasattr(model, "last")


def test_what_cannot_be_recorded_is_exported() -> None:
    model = Conditional().eval()
    with pytest.raises(AssertionError, match="not registered"):
        record(model, (torch.ones(1, 4),))
    assert "cond" in {node.name for node in trace(model, (torch.ones(1, 4),)).program.graph.nodes}


def test_errors_name_the_users_line() -> None:
    program = record(torchvision.models.resnet18(), (torch.randn(1, 3, 64, 64),))
    add = next(node for node in program.graph.nodes if node.name == "add_")
    assert "resnet.py" in add.meta["stack_trace"]
