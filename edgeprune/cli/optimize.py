"""`edgeprune optimize`: a trained CNN and a budget in, the network that meets it out."""

from pathlib import Path
from typing import Annotated

from edgeprune.cli.options import option, quiet_option

EPILOG = """[bold]Examples[/bold]

Halve the measured latency on this machine (what `make demo` runs):

  edgeprune optimize --model builtin:resnet8 --weights digits.safetensors --data builtin:digits --latency 50%

Your own network and pictures, 20 ms with one thread:

  edgeprune optimize --model net.py:make --weights net.safetensors --data folder:pictures --image-size 96 --latency 20ms

The fastest network that loses at most one point of accuracy (up to four runs):

  edgeprune optimize --config edgeprune.yaml --max-drop 1

What is in reach, in a minute, without training:

  edgeprune optimize --config edgeprune.yaml --latency 30% --plan

What would be done, in seconds: everything is checked, nothing is measured or written:

  edgeprune optimize --config edgeprune.yaml --latency 30% --dry-run

On the attached phone, and the finished run's networks in the demo app there:

  edgeprune optimize --config edgeprune.yaml --target android --latency 20ms --install

The method as its paper has it, single weights masked (nothing gets faster, no budget is checked):

  edgeprune optimize --config edgeprune.yaml --recipe granet --masked --density 10%

Trained by four processes, a GPU each; and on two machines with four each (HOST is one of them):

  edgeprune optimize --config edgeprune.yaml --latency 50% --devices 4 --precision auto

  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
    -m edgeprune optimize --config edgeprune.yaml --latency 50% --devices 4 --nodes 2

A slimmer Core ML package (nothing is measured off a phone):

  edgeprune optimize --target ios --macs 50% --formats coreml

[bold]Exit codes[/bold]: 0 done, 1 our bug, 2 usage, 3 environment, 4 budget not met, 5 device, 6 parity failed
"""

_IN, _GOAL, _HOW, _OUT = "Model and data", "Target and budget", "Method", "Output"


def optimize(
    model: Annotated[
        str | None,
        option(
            "--model",
            help="torchvision:NAME, timm:NAME, builtin:resnet20, file.py:function, pkg.mod:function, x.pt2, x.onnx.",
            panel=_IN,
            metavar="SPEC",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        option("--weights", help="Trained weights: .safetensors or a state dict.", panel=_IN, metavar="FILE"),
    ] = None,
    data: Annotated[
        str | None,
        option(
            "--data",
            help="builtin:digits, folder:DIR, fashion-mnist:DIR or file.py:function.",
            panel=_IN,
            metavar="SPEC",
        ),
    ] = None,
    task: Annotated[
        str | None, option("--task", help="file.py:Task instead of classification.", panel=_IN, metavar="SPEC")
    ] = None,
    image_size: Annotated[
        int | None, option("--image-size", help="Edge of the square input, pixels.", panel=_IN, metavar="PIXELS")
    ] = None,
    mean: Annotated[
        str | None,
        option("--mean", help="Normalisation mean: 0.45 or 0.485,0.456,0.406.", panel=_IN, metavar="X[,Y,Z]"),
    ] = None,
    std: Annotated[
        str | None, option("--std", help="Normalisation deviation, one value or three.", panel=_IN, metavar="X[,Y,Z]")
    ] = None,
    long_tail: Annotated[
        float | None,
        option(
            "--long-tail", help="Cut the training data to this imbalance ratio, e.g. 100.", panel=_IN, metavar="RATIO"
        ),
    ] = None,
    target: Annotated[
        str | None, option("--target", help="host (default), android, mac or ios.", panel=_GOAL, metavar="TARGET")
    ] = None,
    latency: Annotated[
        str | None,
        option("--latency", help="20ms, 0.02s, 50fps, or 50% of the dense network's.", panel=_GOAL, metavar="BUDGET"),
    ] = None,
    memory: Annotated[
        str | None, option("--memory", help="Peak memory: 30MB or 50%.", panel=_GOAL, metavar="BUDGET")
    ] = None,
    file_size: Annotated[
        str | None, option("--file-size", help="Size of the file: 4MB or 50%.", panel=_GOAL, metavar="BUDGET")
    ] = None,
    macs: Annotated[
        str | None, option("--macs", help="Multiply-accumulates: 300M or 50%.", panel=_GOAL, metavar="BUDGET")
    ] = None,
    max_drop: Annotated[
        float | None,
        option(
            "--max-drop", help="Instead: the fastest network that loses at most this.", panel=_GOAL, metavar="POINTS"
        ),
    ] = None,
    pareto: Annotated[
        int | None,
        option("--pareto", help="Instead: a front of N latencies, dense to floor.", panel=_GOAL, metavar="N"),
    ] = None,
    min_class_recall: Annotated[
        float | None,
        option("--min-class-recall", help="No class below this recall, e.g. 0.6.", panel=_GOAL, metavar="SHARE"),
    ] = None,
    max_class_drop: Annotated[
        float | None,
        option("--max-class-drop", help="Points of recall a class may lose.", panel=_GOAL, metavar="POINTS"),
    ] = None,
    runtime: Annotated[
        str | None, option("--runtime", help="litert (default) or executorch.", panel=_GOAL, metavar="NAME")
    ] = None,
    threads: Annotated[
        int | None, option("--threads", help="Threads of the runtime (default 1).", panel=_GOAL, metavar="N")
    ] = None,
    serial: Annotated[
        list[str] | None,
        option("--serial", help="Phone to be fast on; may be repeated: fast on all.", panel=_GOAL, metavar="SERIAL"),
    ] = None,
    farm: Annotated[
        str | None,
        option(
            "--farm", help="Ray cluster of a lab's phones, with --target android.", panel=_GOAL, metavar="HOST:PORT"
        ),
    ] = None,
    phone_model: Annotated[
        list[str] | None,
        option("--phone-model", help="Of the farm; may be repeated: fast on all.", panel=_GOAL, metavar="NAME"),
    ] = None,
    runner: Annotated[
        str | None, option("--runner", help="On a phone: native (default) or app.", panel=_GOAL, metavar="NAME")
    ] = None,
    cores: Annotated[
        str | None,
        option("--cores", help="On a phone: big, little or a mask such as f0.", panel=_GOAL, metavar="CORES"),
    ] = None,
    recipe: Annotated[
        str | None,
        option(
            "--recipe",
            help="beta-rank (default), precropping, obspa, l1, ...; see docs/recipes.md.",
            panel=_HOW,
            metavar="NAME",
        ),
    ] = None,
    score: Annotated[
        str | None, option("--score", help="Criterion instead of the recipe's.", panel=_HOW, metavar="NAME")
    ] = None,
    allocate: Annotated[
        str | None,
        option(
            "--allocate",
            help="latency, uniform, global, pq-index or precropping instead of the recipe's.",
            panel=_HOW,
            metavar="NAME",
        ),
    ] = None,
    schedule: Annotated[
        str | None, option("--schedule", help="When channels go, instead of the recipe's.", panel=_HOW, metavar="NAME")
    ] = None,
    recover: Annotated[
        str | None, option("--recover", help="How to train, instead of the recipe's.", panel=_HOW, metavar="NAME")
    ] = None,
    multiple: Annotated[
        int | None,
        option("--multiple", help="Widths are multiples of this (default 8, or 4).", panel=_HOW, metavar="N"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        option(
            "--keep",
            help="Layers that keep their channels, e.g. 'features.0*', 'conv1=24', 'head=50%'; may be repeated.",
            panel=_HOW,
            metavar="PATTERN",
        ),
    ] = None,
    min_channels: Annotated[
        int | None, option("--min-channels", help="No channel group gets narrower.", panel=_HOW, metavar="N")
    ] = None,
    max_ratio: Annotated[
        float | None,
        option("--max-ratio", help="Largest share of a group that may go (default 1).", panel=_HOW, metavar="SHARE"),
    ] = None,
    epochs: Annotated[
        int | None,
        option("--epochs", help="Epochs of training (mostly 10).", panel=_HOW, metavar="N"),
    ] = None,
    control: Annotated[
        str | None,
        option("--control", help="scratch: also train the widths from random weights.", panel=_HOW, metavar="NAME"),
    ] = None,
    dense_epochs: Annotated[
        int | None,
        option("--dense-epochs", help="Of the dense network's training, for --control.", panel=_HOW, metavar="N"),
    ] = None,
    calibration: Annotated[
        str | None,
        option("--calibration", help="Data for recipes that repair without training.", panel=_HOW, metavar="SPEC"),
    ] = None,
    batch_size: Annotated[
        int | None,
        option("--batch-size", help="Images a training step (128, fewer of few).", panel=_HOW, metavar="N"),
    ] = None,
    lr: Annotated[
        float | None, option("--lr", help="Peak learning rate instead of the recipe's.", panel=_HOW, metavar="RATE")
    ] = None,
    seed: Annotated[
        int | None, option("--seed", help="Seed of all randomness (default 0).", panel=_HOW, metavar="N")
    ] = None,
    log: Annotated[
        str | None, option("--log", help="tensorboard: curves of search and training.", panel=_OUT, metavar="NAME")
    ] = None,
    accelerator: Annotated[
        str | None,
        option("--accelerator", help="auto (default), cpu, cuda or mps, for training.", panel=_HOW, metavar="NAME"),
    ] = None,
    devices: Annotated[
        int | None, option("--devices", help="Processes that train together, a GPU each.", panel=_HOW, metavar="N")
    ] = None,
    nodes: Annotated[
        int | None, option("--nodes", help="Machines that train together, by torchrun.", panel=_HOW, metavar="N")
    ] = None,
    precision: Annotated[
        str | None, option("--precision", help="Of training: 32 (default), bf16, 16, auto.", panel=_HOW, metavar="BITS")
    ] = None,
    formats: Annotated[
        str | None,
        option("--formats", help="litert,executorch,coreml (default: all three).", panel=_OUT, metavar="LIST"),
    ] = None,
    quantize: Annotated[
        str | None,
        option(
            "--quantize", help="fp16 or int8: search, judge and ship files in it (none).", panel=_OUT, metavar="HOW"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        option("-o", "--output", help="Run directory (default runs/MODEL-TARGET-BUDGET).", panel=_OUT, metavar="DIR"),
    ] = None,
    resume: Annotated[bool, option("--resume", help="Finish an interrupted run.", panel=_OUT)] = False,
    dry_run: Annotated[
        bool, option("--dry-run", help="Check everything, tell what would be done, write nothing.", panel=_OUT)
    ] = False,
    plan: Annotated[
        bool, option("--plan", help="Stop before training: what is in reach, where the milliseconds go.", panel=_OUT)
    ] = False,
    masked: Annotated[
        bool,
        option("--masked", help="Instead: the recipe's own form with single weights masked; no speed.", panel=_HOW),
    ] = False,
    density: Annotated[
        str | None,
        option("--density", help="With --masked: weights that stay, e.g. 10%.", panel=_HOW, metavar="SHARE"),
    ] = None,
    install: Annotated[
        bool, option("--install", help="Then the demo app with the run's networks, on the phone.", panel=_OUT)
    ] = False,
    config: Annotated[
        Path | None,
        option(
            "--config",
            help="Settings file (default: edgeprune.yaml, if there is one here).",
            panel=_OUT,
            metavar="FILE",
        ),
    ] = None,
    quiet: Annotated[bool, quiet_option(_OUT)] = False,
    json: Annotated[
        bool, option("--json", help="Result as JSON on stdout, everything else on stderr.", panel=_OUT)
    ] = False,
) -> None:
    """Return the most accurate slimmer network that meets the budget, measured on the target."""
    settings = {name: value for name, value in locals().items() if name not in _NOT_SETTINGS}
    from edgeprune.cli.carry_out import Asked, carry_out
    from edgeprune.cli.failure import reported

    with reported(json, resumable=not (plan or dry_run)):
        given = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items() if v != []}
        asked = Asked(output, resume, dry_run, plan, install, quiet, json)
        file = config or _default_file()
        if masked or density is not None:
            from edgeprune.cli.masked import run_masked

            run_masked(given, file, masked, density, asked)
        else:
            carry_out(given, file, asked)


_NOT_SETTINGS = {
    "config", "output", "resume", "dry_run", "plan", "install", "quiet", "json", "masked", "density"
}  # fmt: skip


def _default_file() -> Path | None:
    file = Path("edgeprune.yaml")
    return file if file.is_file() else None
