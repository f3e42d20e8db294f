"""Train a dense network from scratch: the starting point of the demo and of the benchmarks.

python -m benchmarks.train_baseline --model builtin:resnet20 --data fashion-mnist:/usr/share/datasets/fashion-mnist \
    --epochs 7 --lr 0.2 --seed 0 -o build/fashion/resnet20-0.safetensors
"""

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from edgeprune.recover.finetune import finetune
from edgeprune.recover.scratch import reinitialise
from edgeprune.sources.batches import default_batch_size, loaders
from edgeprune.sources.data import load_data
from edgeprune.sources.models import load_model
from edgeprune.task import Classification


def train(model_spec: str, data_spec: str, epochs: int, lr: float, seed: int, output: Path) -> float:
    """Train and save `output` (safetensors), whole or not at all. Returns the best val accuracy; test is not read."""
    data = load_data(data_spec, seed=seed)
    model = load_model(model_spec, num_classes=len(data.class_names), in_channels=data.input_shape[0])
    reinitialise(model, seed)
    train_batches, val_batches, _ = loaders(data, default_batch_size(data), seed)
    task = Classification(len(data.class_names), data.class_names)
    started = time.monotonic()

    def on_epoch(epoch: int, total: int, metrics: dict[str, float], best: float) -> None:
        elapsed = time.monotonic() - started
        print(f"epoch {epoch}/{total}: val {metrics['accuracy']:.4f}, best {best:.4f}, {elapsed:.0f} s", flush=True)

    result = finetune(
        model, train_batches, val_batches, task, epochs=epochs, lr=lr, seed=seed, on_epoch=on_epoch,
        resume_path=output.with_suffix(".checkpoint"),
    )  # fmt: skip
    partial = output.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial)
    partial.replace(output)
    output.with_suffix(".checkpoint").unlink(missing_ok=True)
    return result.best


def main() -> None:
    """Command line; does nothing when the output is there already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    if args.output.exists():
        print(f"{args.output} is there already")
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    best = train(args.model, args.data, args.epochs, args.lr, args.seed, args.output)
    print(f"{args.output}: val accuracy {best:.4f}")


if __name__ == "__main__":
    main()
