"""One way into all formats: export and fold the network once, hand it to the format's writer, look at the file."""

import contextlib
import errno
import gc
import importlib
import importlib.metadata
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from torch import Tensor, fx, nn

from converters.artifact import SUFFIXES, Artifact, Format, TensorSpec, sha256, size_bytes
from converters.chatter import silenced
from converters.dynamic import dynamic_shapes, ranges, to_trace, variants
from converters.errors import ConversionError, ConverterError, MissingExtra, WriteError
from converters.explanation import explain, first_line, refuse_portable
from converters.fold import export_folded
from converters.inspection import read
from converters.options import PRECISIONS, Inputs, Options
from converters.parity import reference


def convert(
    module: nn.Module,
    example_inputs: Tensor | tuple[Tensor, ...],
    format: Format,
    path: Path | None = None,
    options: Options | None = None,
    *,
    log: Path | None = None,
) -> Artifact:
    """Write `module` in eval mode as a file of the given format, float32 unless `options` ask for less.

    `module` is not touched. Inputs have the shapes and layout (N, C, H, W) of `example_inputs`. `path` (default:
    "model" and the suffix, in the current folder) must end in the format's suffix, its folder is made if missing, and
    it appears whole or not at all. What the libraries print goes to `log`, or nowhere.
    Raises `ConversionError` (names the op and where it is known its module), `MissingExtra`, `WriteError`.
    """
    options = options or Options()
    options.check(format)
    if options.quantize == "int8" and not options.calibration:
        raise ConversionError(
            f"int8 for {format} needs representative inputs to find the range of every activation",
            "Give calibration inputs, a hundred or more.",
        )
    path = Path(f"model{SUFFIXES[format]}") if path is None else path
    given = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    example_inputs = tuple(x.detach().cpu().contiguous() for x in given)
    _check_calibration(example_inputs, options)
    if path.suffix != SUFFIXES[format]:
        raise ConversionError(f"{path.name} is not a name for a {format} file", f"Let it end in {SUFFIXES[format]}.")
    _backend(format, options)
    with silenced(log), _no_garbage_collection():
        graph_module = _export(module, example_inputs, options)
    return convert_graph(graph_module, example_inputs, format, path, options, log=log)


def convert_graph(
    graph_module: fx.GraphModule,
    example_inputs: tuple[Tensor, ...],
    format: Format,
    path: Path,
    options: Options,
    *,
    log: Path | None = None,
) -> Artifact:
    """`convert` for a graph of `converters.fold.export_folded`, which may be changed by it."""
    backend = _backend(format, options)
    with _whole_or_not(path) as temporary, silenced(log), _no_garbage_collection():
        try:
            backend.write(graph_module, example_inputs, temporary, options)
        except (ConverterError, OSError):
            raise
        except Exception as error:  # the libraries raise whatever their compilers raise
            raise explain(error, graph_module, example_inputs, format) from error
        contents = read(temporary, format)
        if format == "executorch" and not options.allow_portable:
            refuse_portable(backend.portable(contents), options.delegate, graph_module, example_inputs)
    return Artifact(
        format=format,
        path=path,
        inputs=tuple(_input_specs(contents.inputs, example_inputs, options)),
        outputs=contents.outputs,
        precision=PRECISIONS[options.quantize],
        sha256=sha256(path),
        size_bytes=size_bytes(path),
        versions={name: importlib.metadata.version(name) for name in backend.DISTRIBUTIONS}
        | (backend.versions() if options.via == "onnx2tf" else {}),
        normalisation=options.image,
    )


def _input_specs(found: Sequence[TensorSpec], example_inputs: Inputs, options: Options) -> Iterator[TensorSpec]:
    """What the file says of its inputs, with their layout and what is left open of their shapes."""
    layout = "NHWC" if options.nhwc else "NCHW"
    for spec, x in zip(found, example_inputs, strict=True):
        named = replace(spec, layout=layout if len(spec.shape) == 4 else "")
        if options.dynamic:
            open_axes = ranges(x.shape, options)
            shape = tuple(n if low == high else -1 for n, (low, high) in zip(x.shape, open_axes, strict=True))
            named = replace(named, shape=shape, ranges=open_axes)
        yield named


def _backend(format: Format, options: Options) -> ModuleType:
    backend = importlib.import_module("converters.onnx2tf" if options.via == "onnx2tf" else f"converters.{format}")
    for name in backend.DISTRIBUTIONS:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtra(
                f"Converting to {format} needs {name}, which is not installed", f'pip install "edgeprune[{format}]"'
            ) from None
    return backend


def _check_calibration(example_inputs: Inputs, options: Options) -> None:
    wanted = [tuple(x.shape) for x in example_inputs]
    for sample in options.calibration:
        found = [tuple(x.shape) for x in sample]
        if found != wanted:
            raise ConversionError(
                f"calibration inputs have the shapes {_listed(found)}, the example input {_listed(wanted)}",
                f"Give calibration inputs of {_listed(wanted)}, one at a time.",
            )


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def _check_forward(module: nn.Module, example_inputs: Inputs) -> None:
    """Raise ConversionError if the model itself does not take the inputs."""
    try:
        reference(module, [example_inputs])
    except Exception as error:  # the model's own code raises whatever it likes
        shapes = _listed([tuple(x.shape) for x in example_inputs])
        raise ConversionError(
            f"the model does not take {len(example_inputs)} inputs of shapes {shapes}: "
            f"{type(error).__name__}: {first_line(error)}",
            "Give inputs that the model takes: check their number, channels and size.",
        ) from error


def _export(module: nn.Module, example_inputs: Inputs, options: Options) -> fx.GraphModule:
    try:
        for others in variants([example_inputs], options).values():
            reference(module, others)  # torch.export alone would pass a network that answers one size only
        return export_folded(module, to_trace(example_inputs, options), dynamic_shapes(example_inputs, options))
    except Exception as error:  # torch.export raises whatever the model's own code raises
        if options.dynamic:
            raise ConversionError(
                f"the model does not take every shape of batches to {options.max_batch} and sides {options.sides}: "
                f"{type(error).__name__}: {first_line(error)}",
                "Some networks fix their sizes: leave --max-batch or --sides out.",
            ) from error
        _check_forward(module, example_inputs)
        where = re.search(r'File "([^"]+)", line (\d+), in (forward|_forward_impl)', str(error))
        place = f" at {Path(where[1]).name}:{where[2]}" if where else ""
        raise ConversionError(
            f"torch.export cannot trace the model{place}: {type(error).__name__}: {first_line(error)}",
            "Make the model exportable: no data-dependent Python control flow, no untraceable libraries.",
        ) from error


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Tracing makes millions of small objects; scanning them again and again takes 40 % of a LiteRT conversion."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _whole_or_not(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` (file or folder) that becomes `path` on success and vanishes otherwise."""
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.is_dir():
            remove(path)
        os.replace(temporary, path)
    except OSError as error:
        why = {errno.ENOSPC: "the disk is full", errno.EACCES: "no permission", errno.EROFS: "the disk is read-only"}
        reason = why.get(error.errno or 0, error.strerror or str(error))
        raise WriteError(f"Cannot write {path}: {reason}", "Free some space or choose another folder.") from error
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Delete a file or folder; nothing happens if there is none."""
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
