"""What a library refused, in the user's terms: the operation, the module and line that call it, and what may help."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from converters.artifact import Format
from converters.errors import ConversionError
from converters.fold import module_path
from converters.options import Inputs
from converters.workarounds import workaround


def explain(error: Exception, graph_module: fx.GraphModule, inputs: Inputs, format: Format) -> ConversionError:
    """Name the op, and the module that calls it, from a library's error."""
    error = _root(error)
    text = str(error)
    op = re.search(r"(?:aten[.:]+|torch\.ops\.aten\.|prims\.)(\w+)", text) or re.search(
        r"(?:for (?:op|function|node)|fx node) '?(\w+)", text
    )
    name = op[1] if op else None
    if "complex" in text:  # the library fails at what it made of the operation that gives complex numbers
        name = next((_name(node) for node in graph_module.graph.nodes if _is_complex(node)), name)
    path, line = next(iter(_callers(graph_module, name, inputs)), (None, "")) if name else (None, "")
    places = [f"module {path}" if path else "the model itself", line]
    where = f" ({', '.join(place for place in places if place)})" if path is not None else ""
    message = f"{format} has no way to express aten.{name}{where}" if name else f"{format} refused the model"
    return ConversionError(
        f"{message}: {type(error).__name__}: {first_line(error)}",
        f"{workaround(name)}, or leave this format out (--formats, --to).",
        op=f"aten.{name}" if name else None,
        module_path=path,
    )


def _is_complex(node: fx.Node) -> bool:
    return isinstance(value := node.meta.get("val"), Tensor) and value.is_complex()


def _name(node: fx.Node) -> str:
    """conv2d of aten.conv2d.default."""
    return str(node.target).split(".")[1] if node.op == "call_function" else str(node.target)


def _root(error: Exception) -> Exception:
    """What an error was raised from, in the end: libraries wrap theirs."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _callers(graph_module: fx.GraphModule, name: str, inputs: Inputs) -> list[tuple[str, str]]:
    """Calls of aten.`name`: the path of the user's module ("" for the model itself), and "file.py:line" if known.

    An operation that is not in the graph itself is looked for in what the graph is decomposed into.
    """
    found = _calls(graph_module.graph, name)
    if not found:
        own = {node.name: node for node in graph_module.graph.nodes}
        try:
            parts = torch.export.export(graph_module, inputs).run_decompositions()
        except Exception:  # then the graph alone has to tell
            return []
        sources = [source.name for node in _calls(parts.graph, name) for source in _sources(node)]
        found = [own[source] for source in sources if source in own]
    return [(module_path(node), _line(node)) for node in found]


def _calls(graph: fx.Graph, name: str) -> list[fx.Node]:
    """Calls of an operation; relu_ counts as relu, and prims.erf_inv is aten.erfinv."""
    calls = [(node, str(node.target).split(".")) for node in graph.nodes if node.op == "call_function"]
    plain = name.replace("_", "")
    return [node for node, parts in calls if len(parts) > 1 and parts[1].replace("_", "") == plain]


def _sources(node: fx.Node) -> Iterator[Any]:
    """The nodes that a node was made from, nearest first."""
    pending = list(node.meta.get("from_node", ()))
    while pending:
        source = pending.pop(0)
        yield source
        pending += source.from_node


def _line(node: fx.Node) -> str:
    frames = re.findall(r'File "([^"]+)", line (\d+)', str(node.meta.get("stack_trace") or ""))
    own = [(file, line) for file, line in frames if f"{os.sep}torch{os.sep}" not in file]
    return f"{Path(own[-1][0]).name}:{own[-1][1]}" if own else ""


def refuse_portable(ops: dict[str, int], delegate: str, graph_module: fx.GraphModule, inputs: Inputs) -> None:
    """Raise ConversionError if a file holds `ops`, those that the delegate left to ExecuTorch's portable kernels."""
    if not ops:
        return
    places = {op: _callers(graph_module, op.rpartition("::")[2].removesuffix("_copy"), inputs) for op in ops}
    told = [f"{op}{f' (module {at[0][0]})' if at and at[0][0] else ''}" for op, at in places.items()]
    first = next(iter(ops))
    raise ConversionError(
        f"{delegate} does not take {', '.join(told)}: ExecuTorch would run it in slow portable kernels",
        "Allow it with --allow-portable (allow_portable=True), or replace the operation.",
        op=first,
        module_path=next((path for path, _ in places[first]), None),
    )


def first_line(error: Exception) -> str:
    """The first line of an error's text that is not empty."""
    text = (
        str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    )  # a KeyError quotes its text
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")
