"""What a training may run on: the accelerator, how many of it, and its number formats.

These are of forward passes; weights, gradients and evaluation stay in float32.
"""

from typing import Literal

import torch

from edgeprune.errors import EnvironmentProblem

Precision = Literal["32", "bf16", "16"]


def training_device(accelerator: str, processes: int = 1) -> torch.device:
    """Where training runs. Raises EnvironmentProblem when the accelerator asked for is not there, or too few of it for
    so many processes on this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    name = accelerator
    if accelerator == "auto":
        name = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[name]:
        raise EnvironmentProblem(f"This torch sees no {name} device.", "Use --accelerator auto.")
    count = {"cuda": torch.cuda.device_count(), "mps": 1}.get(name, processes)
    if processes > count:
        raise EnvironmentProblem(
            f"--devices {processes}, but this machine has {count} {name} device(s).",
            f"Use --devices {count}, or --accelerator cpu.",
        )
    return torch.device(name)


def choose(asked: str, accelerator: str) -> Precision:
    """ "32", "bf16" or "16" for "auto": the fastest that a GPU has arithmetic for, and 32 on everything else.

    `accelerator`: cpu, cuda or mps. Raises EnvironmentProblem where the device cannot compute what is asked for.
    """
    if asked == "auto":
        if accelerator != "cuda":
            return "32"
        return "bf16" if can(accelerator, "bf16") else "16"
    if asked == "bf16" and not can(accelerator, "bf16"):
        raise _lacking(asked, accelerator)
    if asked == "16" and not can(accelerator, "16"):
        raise _lacking(asked, accelerator)
    return asked  # type: ignore[return-value]


def can(accelerator: str, precision: str) -> bool:
    """Whether the device has instructions for it; bfloat16 on a CPU is AVX512-BF16 or AMX."""
    if precision == "32":
        return True
    if accelerator == "cuda":
        return precision == "16" or torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerator == "cpu" and precision == "bf16" and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    asks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(ask()) for ask in asks if ask is not None)


def _lacking(asked: str, accelerator: str) -> EnvironmentProblem:
    has = [name for name in ("32", "bf16", "16") if can(accelerator, name)]
    return EnvironmentProblem(
        f"--precision {asked}: torch reports no such arithmetic on this {accelerator} device.",
        f"It has {' and '.join(has)}; --precision auto chooses.",
    )
