"""`edgeprune init`: a commented edgeprune.yaml. What it holds need not be typed."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

EPILOG = """[bold]Examples[/bold]

Write edgeprune.yaml here, fill in model, weights and data, then name only the budget:

  edgeprune init
  edgeprune optimize --target android --latency 20ms

One file per project:

  edgeprune init settings/cats.yaml
  edgeprune optimize --config settings/cats.yaml --latency 50%
"""

SECTIONS = {
    "Model and data": ("model", "weights", "data", "task", "image_size", "mean", "std", "long_tail"),
    "Target and budget (at least one limit)": (
        "target",
        "serial",
        "farm",
        "phone_model",
        "runner",
        "cores",
        "latency",
        "memory",
        "file_size",
        "macs",
        "max_drop",
        "pareto",
        "min_class_recall",
        "max_class_drop",
    ),
    "Method": (
        "recipe",
        "score",
        "allocate",
        "schedule",
        "recover",
        "multiple",
        "runtime",
        "threads",
        "formats",
        "quantize",
    ),
    "What may not be pruned": ("keep", "min_channels", "max_ratio"),
    "Training": (
        "epochs",
        "control",
        "dense_epochs",
        "calibration",
        "batch_size",
        "lr",
        "seed",
        "accelerator",
        "devices",
        "nodes",
        "precision",
        "log",
    ),
}

EXAMPLES: dict[str, Any] = {
    "model": "torchvision:mobilenet_v2",
    "weights": "mobilenet_v2.safetensors",
    "data": "folder:pictures",
    "task": "segmentation.py:Task",
    "image_size": 96,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "long_tail": 100,
    "latency": "20ms",
    "memory": "30MB",
    "file_size": "4MB",
    "macs": "50%",
    "min_class_recall": 0.6,
    "max_class_drop": 2,
    "score": "l1",
    "allocate": "uniform",
    "keep": ["features.0*", "classifier.0=50%"],
    "max_ratio": 0.75,
    "formats": ["litert", "coreml"],
    "calibration": "folder:other-pictures",
    "lr": 0.01,
    "log": "tensorboard",
}

HEAD = """\
# Settings of EdgePrune. What stands here need not be typed; what is typed wins.
# Every line that starts with "#" and a key is a setting with its default: remove the "#" and change the value.
"""


def template() -> str:
    """The text of the file: every key of Config with its meaning, the values it takes and its default."""
    return HEAD + "".join(_section(title, keys) for title, keys in SECTIONS.items())


def _section(title: str, keys: tuple[str, ...]) -> str:
    return f"\n# ---- {title} ----\n" + "".join(_setting(key) for key in keys)


def _setting(key: str) -> str:
    from edgeprune.config import Config

    field = Config.model_fields[key]
    choices = Config.model_json_schema()["properties"][key].get("enum")
    about = [field.description or key]
    about += [f"One of: {', '.join(choices)}"] if choices else []
    about += [f"Example: {_yaml(EXAMPLES[key])}"] if key in EXAMPLES else []
    default = field.get_default(call_default_factory=True)
    value = "" if default is None else f" {_yaml(default)}"
    return "\n" + "".join(f"# {line}\n" for line in about) + f"#{key}:{value}\n"


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, default_flow_style=True, width=200)).removesuffix("...\n").strip()


def write_template(path: Path, *, force: bool = False) -> None:
    """Write the template, whole or not at all.

    Raises UsageError when `path` is there and `force` is off, EnvironmentProblem when it cannot be written.
    """
    from edgeprune.errors import UsageError
    from edgeprune.files import write_text

    if path.exists() and not force:
        raise UsageError(f"{path} is there already.", "Pass --force to replace it, or name another file.")
    write_text(path, template())


def init(
    path: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")] = Path("edgeprune.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Path and keys as JSON on stdout.")] = False,
) -> None:
    """Write a commented edgeprune.yaml: every setting, what it means, its default."""
    from edgeprune.cli.failure import reported

    with reported(json):
        write_template(path, force=force)
        if json:
            keys = [key for section in SECTIONS.values() for key in section]
            typer.echo(jsonlib.dumps({"path": str(path), "keys": keys}))
        else:
            typer.echo(f"Wrote {path}. Fill in model, weights, data, then: edgeprune optimize --latency 50%", err=True)
