"""Coverage of torchvision: every model grouped, halved in multiples of 8, proved, run, trained and exported again.

python -m benchmarks.zoo [--models PATTERN] [--only classification|segmentation|detection]

Freezing does not count: a row fails above the share of dense MACs that its family may keep. Inputs are noise and the
weights are generic (batch-norm scale and variance in [0.5, 1.5], Kaiming weights); shares depend on neither.
Rows are kept in build/bench/zoo.jsonl, the table in docs/zoo.md.
"""

import argparse
import fnmatch
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision.models as zoo
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from benchmarks import table
from edgeprune.files import write_text
from edgeprune.graph import Coupling, find_groups, prune_proved, trace
from edgeprune.graph.generic import generic_copy

PAGE = Path("docs/zoo.md")
KINDS = ("classification", "segmentation", "detection")
MOST_PARAMS = 100e6
HEADER = (
    "model", "input", "params (M)", "kept", "MACs (G)", "kept", "frozen", "why", "other size", "trace + group (s)",
    "proof (s)",
)  # fmt: skip

# Two input sizes a model; the first is traced. The smallest that the architecture takes keep the table quick.
_SIZES = {
    "inception_v3": (299, 331),
    "ssd300_vgg16": (300, 320),
    "vit_*": (224, 256),
    "maxvit_t": (224, 256),
    "swin_v2_*": (256, 224),
    "swin_*": (224, 256),
}
# The share of the dense MACs that may be left at half of every channel group.
_MOST_MACS = {"shufflenet_*": 0.65, "vit_*": 0.70, "swin_*": 0.70, "maxvit_*": 0.70}
_CNN = 0.40


def names(kind: str) -> list[str]:
    """torchvision's models of a kind, smallest first; classifiers of up to 100 M parameters."""
    module = {"classification": zoo, "segmentation": zoo.segmentation, "detection": zoo.detection}[kind]
    sizes = {}
    for name in zoo.list_models(module=module):
        weights = zoo.get_model_weights(name)
        sizes[name] = min(entry.meta["num_params"] for entry in weights)
    return sorted((n for n in sizes if sizes[n] <= MOST_PARAMS or kind != "classification"), key=lambda n: sizes[n])


def setting(options: dict[str, Any], name: str, default: Any) -> Any:
    """The first entry whose pattern fits a model's name."""
    return next((value for pattern, value in options.items() if fnmatch.fnmatch(name, pattern)), default)


def most_macs(name: str) -> float:
    """The share of the dense MACs that a row may keep."""
    return float(setting(_MOST_MACS, name, _CNN))


def make(name: str) -> nn.Module:
    """A model with generic float32 weights, in eval mode."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    if name in zoo.list_models(module=zoo.segmentation) or name in zoo.list_models(module=zoo.detection):
        options["weights_backbone"] = None
    return generic_copy(zoo.get_model(name, weights=None, **options), 0).float()


def half(coupling: Coupling) -> dict[str, int]:
    """Of every group the legal width nearest to half, in multiples of 8; the smaller of two."""
    return {
        name: min(menu, key=lambda u, n=coupling.groups[name].units: (abs(u - n / 2), u))
        for name, menu in coupling.menu(8).items()
    }


def row(name: str, kind: str) -> dict[str, Any]:
    """One model through everything. `failed` is empty, or says what did not hold."""
    try:
        return check(name, kind) | {"failed": ""}
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return {"failed": f"{type(error).__name__}: {first}"[:300]}


def check(name: str, kind: str) -> dict[str, Any]:
    """The figures of one row. Raises AssertionError, or what the graph raised, if anything does not hold."""
    whole = make(name)
    model = whole.backbone if kind == "detection" else whole  # a detector's heads read what its backbone gives
    size, other = setting(_SIZES, name, (64, 96))
    x = torch.randn(1, 3, size, size)
    trace_s, traced = seconds(lambda: trace(model, (x,)))
    group_s, coupling = seconds(lambda: find_groups(traced))
    scores = {group: torch.rand(coupling.groups[group].units) for group in coupling.prunable}
    kept = coupling.select(scores, half(coupling))
    proof_s, (pruned, _, proof) = seconds(lambda: prune_proved(model, traced, coupling, kept))
    counts = {group: len(units) for group, units in kept.items() if group not in proof.frozen}
    share = coupling.macs(counts) / coupling.macs()
    again = find_groups(trace(pruned, (x,)))
    assert again.macs() == coupling.macs(counts), "the exported pruned network has other MACs than were counted"
    assert parameters(pruned) == coupling.params(counts), "the pruned network has other parameters than were counted"
    for batch in (1, 4):
        same_shapes(model, pruned, torch.randn(batch, 3, size, size))
    two_sizes = runs(model, torch.randn(1, 3, other, other))
    if two_sizes:
        same_shapes(model, pruned, torch.randn(1, 3, other, other))
    if kind == "detection":
        detects(whole, pruned)
    else:
        gradients(model, pruned, torch.randn(4, 3, size, size))
    assert share <= most_macs(name), f"{share:.0%} of the MACs are left, {most_macs(name):.0%} may be: {why(coupling)}"
    return {
        "input": size,
        "params": [parameters(model), parameters(pruned)],
        "macs": [coupling.macs(), coupling.macs(counts)],
        "frozen": frozen_share(coupling, proof.frozen),
        "why": why(coupling) | proof.frozen,
        "error": proof.max_rel_error,
        "miswired": proof.miswired_rel_change,
        "other_size": other if two_sizes else None,
        "trace_s": trace_s,
        "group_s": group_s,
        "proof_s": proof_s,
    }


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, what `work` returned)."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def runs(model: nn.Module, x: Tensor) -> bool:
    """Whether the dense network takes this input."""
    try:
        with torch.no_grad():
            model(x)
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True


def same_shapes(model: nn.Module, pruned: nn.Module, x: Tensor) -> None:
    """Dense and pruned network answer in the same shapes."""
    with torch.no_grad():
        shapes = [[tuple(y.shape) for y in pytree.tree_leaves(network(x))] for network in (model, pruned)]
    assert shapes[0] == shapes[1], f"outputs of {shapes[1]} where the dense network gives {shapes[0]}"


def gradients(model: nn.Module, pruned: nn.Module, x: Tensor) -> None:
    """A train step reaches every parameter that it reaches in the dense network."""
    missing = []
    for network in (model, pruned):
        network.train()
        outputs = [y for y in pytree.tree_leaves(network(x)) if y is not None]
        sum(y.float().pow(2).mean() for y in outputs).backward()
        missing.append({n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.any())})
        network.zero_grad(set_to_none=True)
        network.eval()
    lost = sorted(missing[1] - missing[0])
    assert not lost, f"no gradient at {lost}"


def detects(detector: nn.Module, backbone: nn.Module) -> None:
    """The detector works on the pruned backbone: it finds boxes, and trains."""
    dense, detector.backbone = detector.backbone, backbone
    images = [torch.rand(3, 96, 128), torch.rand(3, 128, 96)]
    target = {
        "boxes": torch.tensor([[8.0, 8.0, 64.0, 64.0]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 128, 128, dtype=torch.uint8),
        "keypoints": torch.tensor([[[20.0, 20.0, 1.0]] * 17]),
    }
    with torch.no_grad():
        assert {"boxes", "labels", "scores"} <= set(detector(images)[0])
    losses = detector.train()(images, [target, target])
    sum(losses.values()).backward()
    lost = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not lost, f"no gradient at {lost}"
    detector.zero_grad(set_to_none=True)
    detector.eval().backbone = dense


def frozen_share(coupling: Coupling, unproved: dict[str, str]) -> float:
    """Share of the dense MACs in layers that can be narrowed on neither side."""
    free = set(coupling.prunable) - set(unproved)
    stuck = [x for x in coupling.layers if not any(p.group in free for p in (*x.in_parts, *x.out_parts))]
    dense = {x: x.macs(*coupling.channels(x, {})) for x in coupling.layers}
    return sum(dense[x] for x in stuck) / sum(dense.values())


def why(coupling: Coupling) -> dict[str, str]:
    """Reasons of the frozen groups, outputs left out."""
    reasons = {name: group.frozen for name, group in coupling.groups.items() if group.frozen}
    return {name: reason for name, reason in reasons.items() if "is an output" not in reason}


def line(found: dict[str, Any]) -> list[str]:
    """A row of the table."""
    if found["failed"]:
        return [found["model"], found["failed"].replace("|", "/")] + [""] * (len(HEADER) - 2)
    (params, params_left), (macs, macs_left) = found["params"], found["macs"]
    reasons = sorted(
        {reason.split(" (")[0].split(": ")[0].split(" in ")[0].split(" at ")[0] for reason in found["why"].values()}
    )
    return [
        found["model"],
        str(found["input"]),
        f"{params / 1e6:.2f}",
        f"{params_left / params:.0%}",
        f"{macs / 1e9:.3f}",
        f"{macs_left / macs:.0%}",
        f"{found['frozen']:.0%}",
        "; ".join(reasons),
        str(found["other_size"] or "fixed"),
        f"{found['trace_s'] + found['group_s']:.1f}",
        f"{found['proof_s']:.1f}",
    ]


def forget_failures() -> None:
    """A row that failed is tried again by the next run."""
    kept = [json.dumps(found) + "\n" for found in table.rows("zoo") if not found["failed"]]
    if kept:
        write_text(table.BUILD / "zoo.jsonl", "".join(kept))


def write() -> None:
    """The page, from all rows kept so far."""
    for kind in KINDS:
        order = names(kind)
        done = [found for found in table.rows("zoo") if found["kind"] == kind]
        done.sort(key=lambda found: order.index(found["model"]))
        if done:
            passed = sum(not found["failed"] for found in done)
            text = f"{passed} of {len(done)} pass.\n\n{table.markdown(HEADER, [line(found) for found in done])}"
            table.write_section(PAGE, kind.capitalize(), text)


def main() -> None:
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="*", help="pattern of names, such as 'resnet*'")
    parser.add_argument("--only", choices=KINDS, help="one kind of models")
    chosen = parser.parse_args()
    forget_failures()
    for kind in KINDS if chosen.only is None else (chosen.only,):
        for name in fnmatch.filter(names(kind), chosen.models):
            table.once("zoo", {"model": name, "kind": kind}, lambda n=name, k=kind: row(n, k))
    write()


if __name__ == "__main__":
    main()
