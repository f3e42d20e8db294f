"""Where onnx2tf lives: in an environment of its own. Imports no torch."""

import os
import shutil
from pathlib import Path

from converters.errors import MissingExtra


def find() -> Path:
    """The onnx2tf program: $EDGEPRUNE_ONNX2TF, that of `make onnx2tf`, or one on the path. Raises MissingExtra."""
    named, own = os.environ.get("EDGEPRUNE_ONNX2TF"), Path(__file__).parents[1] / ".venv-onnx2tf" / "bin" / "onnx2tf"
    found = named or (str(own) if own.is_file() else shutil.which("onnx2tf"))
    if found is None or not Path(found).is_file():
        raise MissingExtra(
            f"--via onnx2tf needs onnx2tf in an environment of its own: {named or 'none was found'}",
            "Run `make onnx2tf`; or `pip install edgeprune[onnx2tf]` into another environment than this one, and set "
            "EDGEPRUNE_ONNX2TF to the program there.",
        )
    return Path(found)


def versions() -> dict[str, str]:
    """Versions of the tools in that environment."""
    packages = find().parents[1].glob("lib/python*/site-packages/*.dist-info")
    names = dict(folder.name.removesuffix(".dist-info").split("-", 1) for folder in packages)
    return {name.replace("_", "-"): names[name] for name in ("onnx2tf", "tensorflow_cpu") if name in names}
