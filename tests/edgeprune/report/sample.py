"""A run as `edgeprune optimize` leaves it: ResNet-20 on Fashion-MNIST at half its latency (plausible, invented)."""

import json
import random
from typing import Any

from edgeprune.result import Result
from profilers.measurement import Device, Latency, Measurement

CLASSES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
DENSE_RECALL = [0.883, 0.988, 0.901, 0.934, 0.902, 0.986, 0.785, 0.979, 0.989, 0.967]
PRUNED_RECALL = [0.872, 0.985, 0.893, 0.931, 0.889, 0.982, 0.771, 0.976, 0.988, 0.964]
WIDTHS = {"stem": (16, 16), "layer1.0.conv1": (16, 8), "layer1.1.conv1": (16, 8), "layer1.2.conv1": (16, 8)}
WIDTHS |= {"layer2": (32, 24), "layer2.0.conv1": (32, 16), "layer2.1.conv1": (32, 16), "layer2.2.conv1": (32, 24)}
WIDTHS |= {"layer3": (64, 40), "layer3.0.conv1": (64, 32), "layer3.1.conv1": (64, 24), "layer3.2.conv1": (64, 40)}


def sample(**changes: Any) -> Result:
    """A met latency budget; keyword arguments replace top-level fields of the result."""
    return Result.model_validate({**_run(), **changes})


def static_sample() -> Result:
    """--target ios --macs 50%: nothing was measured."""
    run = _run()
    for name in ("dense", "pruned"):
        run[name] |= {"latency_ms": None, "peak_memory_mib": None}
    limit = {"kind": "macs", "asked": "50%", "limit": 15.8e6, "achieved": 14.2e6, "unit": "MACs", "ratio": 0.449}
    limit |= {"ratio_ci95": None, "source": "counted", "used": 0.899, "met": True, "note": ""}
    run |= {
        "target": "ios",
        "budget": {"text": "macs 50%", "requirements": [limit]},
        "runtime": "litert",
        "outcome": "",
    }
    run["search"] |= {"layers": [], "rounds": [], "candidates_measured": 0, "floor_ms": None}
    return Result.model_validate(run)


def custom_task_sample() -> Result:
    """A segmentation task of the user's own: no accuracy, metrics by name."""
    run = _run()
    nothing = {
        "accuracy": None,
        "balanced_accuracy": None,
        "macro_f1": None,
        "per_class_recall": None,
        "confusion": None,
    }
    run["dense"] |= {**nothing, "metrics": {"mean_iou": 0.7421, "boundary_error_px": 2.31}}
    run["pruned"] |= {**nothing, "metrics": {"mean_iou": 0.7313, "boundary_error_px": 2.44}}
    run["data"] |= {"class_names": None}
    return Result.model_validate({**run, "primary_metric": "mean_iou", "recovery": None})


def quantized_sample(ratio: float = 0.31) -> Result:
    """--quantize int8 whose latency is `ratio` of float32's."""
    run = _run()
    stats = run["dense"]["latency_ms"]
    faster = {key: value if key == "n" else ratio * value for key, value in stats.items() if key != "ci95"}
    twin = {
        "precision": "int8",
        "float_latency_ms": stats,
        "latency_ms": {**faster, "ci95": [ratio * end for end in stats["ci95"]]},
        "ratio": ratio,
        "ratio_ci95": [0.98 * ratio, 1.02 * ratio],
        "float_size_bytes": 1_092_340,
        "size_bytes": 301_220,
        "float_val_metrics": {"accuracy": 0.93},
        "val_metrics": {"accuracy": 0.92},
        "float_metrics": {"accuracy": 0.9314},
        "metrics": {"accuracy": 0.9302},
    }
    note = "int8 is slower than float32 on this target: 1.20 times its latency." if ratio > 1 else "int8 is faster."
    run["quantization"] = {"quantize": "int8", "calibration_images": 256, "dense": twin, "pruned": None, "note": note}
    for artifact in [a for a in run["artifacts"] if a["format"] == "litert"]:
        path = artifact["path"].replace(".tflite", "-int8.tflite")
        run["artifacts"].append({**artifact, "path": path, "precision": "int8"})
        run["artifacts"][-1]["parity"] = {**artifact["parity"], "agreement": 0.985, "snr_db": 33.0}
    return Result.model_validate(run)


def emulated_sample() -> Result:
    """An emulated phone."""
    run = _run()
    run["budget"]["requirements"][0]["source"] = "emulated"
    return Result.model_validate({**run, "target": "android"})


def measurements(seed: int = 0) -> dict[str, dict[str, Any]]:
    """Both networks as in measurements.jsonl, with raw samples."""
    draw = random.Random(seed)
    made = {}
    for name, centre in (("dense", 0.570), ("pruned", 0.279)):
        samples = [centre * (0.99 + draw.expovariate(50)) for _ in range(600)]
        measured = Measurement(
            artifact_sha256="3f2a" * 16,
            latency=Latency(centre, 0.98 * centre, 1.07 * centre, min(samples), (0.995 * centre, 1.005 * centre), 600),
            samples_ms=tuple(samples),
            load_ms=1.2,
            first_ms=2.0 * centre,
            peak_memory_mib=2.0,
            device=Device("build-7", "AMD EPYC 7B13", "Linux 6.1", 2, "litert", "2.3.0", 1, (0,), (0,)),
            conditions_before=_conditions(0.8, 91_000.0),
            conditions_after=_conditions(1.2, 91_030.0),
            flags=("machine busy: load 2.3 on 2 cores",) if name == "pruned" else (),
        )
        made[name] = json.loads(json.dumps(measured.to_json()))
    return made


def _conditions(load: float, monotonic: float) -> dict[str, Any]:
    seen = {"time": "2026-11-22T23:46:00Z", "monotonic_s": monotonic, "load_1min": load, "cores": 2}
    return {**seen, "governor": "performance", "clock_mhz": None, "busy_s": 45_123.4, "steal_s": 12.0}


def _network(recall: list[float], macs: int, params: int, size: int, median: float, memory: float) -> dict[str, Any]:
    accuracy = sum(recall) / len(recall)
    latency = {"median": median, "p10": 0.98 * median, "p90": 1.07 * median, "n": 1200}
    return {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "macro_f1": accuracy - 0.0011,
        "per_class_recall": recall,
        "metrics": {"accuracy": accuracy, "balanced_accuracy": accuracy, "macro_f1": accuracy - 0.0011},
        "val_metrics": {"accuracy": accuracy + 0.003},
        "macs": macs,
        "params": params,
        "size_bytes": size,
        "latency_ms": {**latency, "ci95": [0.995 * median, 1.005 * median]},
        "peak_memory_mib": memory,
        "confusion": [_answers(index, share) for index, share in enumerate(recall)],
    }


def _answers(index: int, share: float) -> list[int]:
    """Of 1000 images of a class: the missed ones are taken for the next class."""
    row = [0] * len(CLASSES)
    row[index] = round(1000 * share)
    row[(index + 1) % len(CLASSES)] = 1000 - row[index]
    return row


def _artifact(network: str, fmt: str, suffix: str, size: int, compared: str, delegated: float | None) -> dict[str, Any]:
    return {
        "network": network,
        "format": fmt,
        "path": f"artifacts/{network}{suffix}",
        "sha256": "3f2a" * 16,
        "size_bytes": size,
        "precision": "float32",
        "parity": {"max_rel_error": 2.4e-6, "inputs": 16, "compared": compared},
        "delegated_share": delegated,
        "transposes": 0 if fmt == "litert" else None,
        "versions": {"torch": "2.14.1", fmt: "1.0"},
    }


def _artifacts() -> list[dict[str, Any]]:
    formats = (("litert", ".tflite", "outputs", 1.0), ("executorch", ".pte", "outputs", 0.97))
    return [
        _artifact(net, fmt, suffix, size, compared, share)
        for fmt, suffix, compared, share in (*formats, ("coreml", ".mlpackage", "weights", None))
        for net, size in (("dense", 1_092_340), ("pruned", 431_220))
    ]


def _run() -> dict[str, Any]:
    predicted = [(0.270, 0.301), (0.262, 0.288), (0.271, 0.2795)]
    rounds = [
        {"predicted_ms": p, "measured_ms": m, "measured_ratio": m / 0.570, "macs": 14_000_000, "loss": 0.021}
        | {"widths": {name: kept for name, (_, kept) in WIDTHS.items()}}
        for p, m in predicted
    ]
    limit = {"kind": "latency", "asked": "50%", "limit": 0.285, "achieved": 0.279, "unit": "ms", "ratio": 0.4895}
    limit |= {"ratio_ci95": [0.4851, 0.4933], "source": "measured", "used": 0.9866, "met": True, "note": ""}
    groups = [{"name": n, "dense": d, "kept": k, "reason": ""} for n, (d, k) in WIDTHS.items() if d != k]
    frozen = {"name": "fc", "dense": 10, "kept": 10, "reason": "network output"}
    clamped = {"name": "stem", "dense": 16, "kept": 16, "reason": "asked 14, widths are multiples of 8"}
    device = {"name": "AMD EPYC 7B13", "soc": "x86_64", "os": "Linux 6.1", "cores": 2, "runtime": "litert"}
    device |= {"runtime_version": "2.3.0", "threads": 1, "affinity": [0], "affinity_seen": [0], "delegate": "xnnpack"}
    epochs = [{"accuracy": 0.911 + 0.005 * i, "loss": 0.4 - 0.05 * i} for i in range(3)]
    return {
        "edgeprune_version": "0.1.0",
        "command": "edgeprune optimize --model builtin:resnet20 --weights r20.safetensors --latency 50% --epochs 3",
        "started": "2026-11-22T23:41:07+00:00",
        "seconds": 412.0,
        "seed": 0,
        "recipe": "beta-rank",
        "model": "builtin:resnet20",
        "primary_metric": "accuracy",
        "data": {
            "name": "fashion-mnist",
            "sizes": {"train": 54000, "val": 6000, "test": 10000},
            "class_names": CLASSES,
            "input_shape": [1, 28, 28],
            "mean": [0.286],
            "std": [0.353],
            "long_tail": None,
            "final_split": "test",
        },
        "target": "host",
        "runtime": "litert",
        "threads": 1,
        "budget": {"text": "latency 50%", "requirements": [limit]},
        "met": True,
        "outcome": "The final, trained, converted file keeps the budget in a fresh process.",
        "dense": _network(DENSE_RECALL, 31_640_000, 268_336, 1_092_340, 0.570, 3.1),
        "pruned": _network(PRUNED_RECALL, 14_210_000, 103_120, 431_220, 0.279, 2.0),
        "widths": {name: {"dense": dense, "kept": kept} for name, (dense, kept) in WIDTHS.items()},
        "groups": {"pruned": groups, "frozen": [frozen], "clamped": [clamped]},
        "proof": {"max_rel_error": 6e-16, "miswired_rel_change": 0.21},
        "artifacts": _artifacts(),
        "search": {
            "allocate": "latency",
            "score": "beta-rank",
            "multiple": 8,
            "rounds": rounds,
            "candidates_measured": 3,
            "seconds": 64.0,
            "floor_ms": 0.118,
            "reason": "98 % of the budget.",
            "layers": [
                {"name": name, "op": "conv2d", "dense_channels": (dense, dense), "channels": (kept, kept)}
                | {"dense_ms": 0.001 * dense, "predicted_ms": 0.001 * kept}
                for name, (dense, kept) in WIDTHS.items()
            ],
        },
        "recovery": {
            "schedule": "3 epochs with distillation",
            "epochs": epochs,
            "before": {"accuracy": 0.412},
            "after_bn": {"accuracy": 0.803},
            "after": {"accuracy": 0.924},
            "seconds": 188.0,
        },
        "warnings": [],
        "versions": {"torch": "2.14.1", "litert_torch": "0.10.0", "executorch": "1.5.1", "coremltools": "9.0"},
        "device": device,
        "conditions": {"load_before": [0.8, 0.9, 1.1], "load_after": [1.2, 1.0, 1.1], "affinity": [0]},
    }
