"""Look into a converted file: parameters, widths, operations. The proof that pruning reached the file."""

import importlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

from converters.artifact import SUFFIXES, Format, TensorSpec, size_bytes
from converters.chatter import silenced
from converters.contents import Contents
from converters.errors import InspectionError, MissingExtra


@dataclass(frozen=True)
class Inspection:
    """Facts read from a file, none from the network it was made of.

    `params` counts the elements of all float constants in the file. `widths` are the output channels of its
    convolution and linear layers in the file's order, and `weight_shapes` their weights as (outputs, inputs per group,
    kernel height, kernel width). `ops` counts operations by the format's names, outside and inside delegates;
    `delegated` those inside (None where the runtime decides when it loads the file) and `delegated_share` their part
    of all, 0 to 1.
    """

    format: Format
    params: int
    widths: tuple[int, ...]
    weight_shapes: tuple[tuple[int, ...], ...]
    ops: dict[str, int]
    delegated: dict[str, int] | None
    delegated_share: float | None
    transposes: int
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def ops_by_backend(self) -> dict[str, dict[str, int]]:
        """The operations by who runs them: a delegate, ExecuTorch's portable kernels, or the format's own runtime."""
        if self.delegated is None:
            return {_RUNTIMES[self.format]: self.ops}
        delegates = {op: "xnnpack" if op.startswith("XNN") else op for op in self.delegated}
        found = {
            name: {op: count for op, count in self.delegated.items() if delegates[op] == name}
            for name in dict.fromkeys(delegates.values())
        }
        outside = {op: count - self.delegated.get(op, 0) for op, count in self.ops.items()}
        portable = {op: count for op, count in outside.items() if count}
        return {**found, "portable": portable} if portable else found


_RUNTIMES = {"litert": "LiteRT (delegates chosen at load)", "coreml": "Core ML", "onnx": "ONNX runtime"}


def read(path: Path, format: Format) -> Contents:
    """Everything in the file, weights included. Raises `InspectionError` if it is missing or not of that format."""
    if not path.exists():
        raise InspectionError(f"There is no file {path}", "Convert the model first.")
    try:
        with silenced():
            contents: Contents = importlib.import_module(f"converters.{format}_file").read(path)
    except (InspectionError, OSError):
        raise
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"Reading {path.name} needs {error.name}, which is not installed", f'pip install "edgeprune[{format}]"'
        ) from error
    except Exception as error:  # a damaged file makes the formats' parsers raise whatever they like
        raise InspectionError(
            f"{path} is damaged: {type(error).__name__} while reading it", "Convert the model again."
        ) from error
    return contents


def format_of(path: Path) -> Format:
    """The format that a file's name says. Raises `InspectionError`."""
    for format, suffix in SUFFIXES.items():
        if path.suffix == suffix:
            return format
    raise InspectionError(
        f"{path.name} is no kind of file that can be inspected", f"Known are {', '.join(SUFFIXES.values())}."
    )


def inspect(path: Path, format: Format | None = None) -> Inspection:
    """Facts about a converted file; without `format` its name decides.

    Raises `InspectionError` if it is missing, damaged or not of that format, `MissingExtra`.
    """
    format = format or format_of(path)
    contents = read(path, format)
    n_ops = sum(contents.ops.values())
    delegated = contents.delegated
    return Inspection(
        format=format,
        params=contents.params,
        widths=tuple(layer.weight.shape[0] for layer in contents.layers),
        weight_shapes=tuple(layer.weight.shape for layer in contents.layers),
        ops=contents.ops,
        delegated=delegated,
        delegated_share=None if delegated is None else sum(delegated.values()) / max(n_ops, 1),
        transposes=contents.transposes,
        size_bytes=size_bytes(path),
        inputs=contents.inputs,
        outputs=contents.outputs,
    )


def same_layers_reduced(dense: Inspection, other: Inspection) -> bool:
    """Whether `other` holds the same layers in fewer bits: every weight's shape the same, at most three quarters of
    the bytes. Nothing was pruned then, and the file did get smaller."""
    return other.weight_shapes == dense.weight_shapes and other.size_bytes <= 0.75 * dense.size_bytes


def check_smaller(dense: Inspection, pruned: Inspection) -> list[str]:
    """What in `pruned` is not smaller than in `dense`, a sentence each; an empty list is success.

    Parameters and bytes must be fewer, no layer wider and some narrower, operations and transposes not more, the
    delegated share not less. Layers are compared in the files' order.
    """
    failures = []
    for name, before, after in (
        ("parameters", dense.params, pruned.params),
        ("bytes", dense.size_bytes, pruned.size_bytes),
    ):
        if after >= before:
            failures.append(f"{after} {name}, not fewer than the dense file's {before}")
    if len(dense.widths) != len(pruned.widths):
        failures.append(f"{len(pruned.widths)} layers, the dense file has {len(dense.widths)}")
    elif wider := [i for i, (a, b) in enumerate(zip(dense.widths, pruned.widths, strict=True)) if b > a]:
        i = wider[0]
        failures.append(f"layer {i} has {pruned.widths[i]} outputs, more than the dense file's {dense.widths[i]}")
    if sum(map(prod, pruned.weight_shapes)) >= sum(map(prod, dense.weight_shapes)):
        failures.append("no layer is narrower than in the dense file")
    for name, before, after in (
        ("operations", sum(dense.ops.values()), sum(pruned.ops.values())),
        ("transposes", dense.transposes, pruned.transposes),
    ):
        if after > before:
            failures.append(f"{after} {name}, more than the dense file's {before}")
    if dense.delegated_share is not None and (pruned.delegated_share or 0.0) < dense.delegated_share - 1e-9:
        share = pruned.delegated_share or 0.0
        failures.append(f"{share:.0%} of the operations delegated, {dense.delegated_share:.0%} in the dense file")
    return failures
