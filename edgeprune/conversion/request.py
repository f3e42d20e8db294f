"""What one conversion is asked: plain values that travel to a process of its own as JSON. Imports no torch."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import converters
from converters.artifact import SUFFIXES, Format

_TOOLS = {
    "litert": ("litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer"),
    "executorch": ("executorch", "torchao"),
    "coreml": ("coremltools",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


@dataclass(frozen=True)
class Request:
    """One network to one file. Specs are those of `edgeprune optimize`; `model` may also be a run directory."""

    model: str
    format: Format
    output: str
    weights: str | None = None
    data: str | None = None
    input_shape: tuple[int, ...] | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    quantize: str = "none"
    delegate: str = "xnnpack"
    allow_portable: bool = False
    nhwc: bool = False
    via: str = "litert-torch"
    image_input: bool = False
    max_batch: int = 1
    sides: tuple[int, int] | None = None
    calibration: int = 256
    check: int = 2000
    seed: int = 0

    @property
    def path(self) -> Path:
        """The file to write."""
        return Path(self.output)

    def key(self) -> str:
        """A hash of everything that decides the file except what is in the user's files."""
        settings = {**asdict(self), "output": self.path.name, "here": str(Path.cwd())}
        text = json.dumps([settings, self.versions(), _sources()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def versions(self) -> dict[str, str]:
        """Versions of the tools that take part; "none" for one that is not installed."""
        found = {}
        for tool in ("torch", "torchvision", "timm", "scikit-learn", *_TOOLS[self.format]):
            try:
                found[tool] = version(tool)
            except PackageNotFoundError:
                found[tool] = "none"
        if self.via == "onnx2tf":
            from converters.onnx2tf_environment import versions

            found |= versions()
        return found


def make_request(
    model: str, format: Format, folder: Path, name: str | None, quantize: str | None, **settings: object
) -> Request:
    """A request with its file's name: NAME[-QUANTIZE].SUFFIX in `folder`; Core ML is float16 unless told otherwise."""
    chosen = quantize or ("fp16" if format == "coreml" else "none")
    stem = (name or _name(model)) + ("" if quantize in (None, "none") else f"-{quantize}")
    output = str(folder / f"{stem}{SUFFIXES[format]}")
    return Request(model, format, output, quantize=chosen, **settings)  # type: ignore[arg-type]


def _name(model: str) -> str:
    """builtin:resnet20 -> resnet20, nets/net.py:make -> make, runs/demo -> demo, x.pt2 -> x, x.onnx -> x."""
    last = Path(model.rstrip("/")).name
    return last.rpartition(":")[2] if ":" in last else last.removesuffix(".pt2").removesuffix(".onnx")


def _sources() -> str:
    """A hash of the code that converts, so that a changed EdgePrune converts again."""
    import edgeprune

    digest = hashlib.sha256()
    for folder in (Path(str(converters.__file__)).parent, Path(str(edgeprune.__file__)).parent / "sources"):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
