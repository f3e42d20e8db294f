"""Time and memory of grouping and surgery, beside Torch-Pruning, in the same run: half of every group removed.

python -m benchmarks.zoo_speed [--models PATTERN]

Ours: torch.export, groups, surgery (the proof apart: see docs/zoo.md). Torch-Pruning: its dependency graph and one
pruning step, uniform L2, multiples of 8. Both prune a small network first, so that imports do not count. Every row is a
process of its own, so that peak memory is the model's; rows are kept in build/bench/zoo_speed.jsonl, the table in
docs/zoo-speed.md.
"""

import argparse
import fnmatch
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import table

PAGE = Path("docs/zoo-speed.md")
MIB = 2.0**20


def ours(model: Any, x: Any) -> dict[str, Any]:
    """Seconds of each step."""
    import torch

    from benchmarks.zoo import half
    from edgeprune.graph import find_groups, prune, trace

    start = time.perf_counter()
    traced = trace(model, (x,))
    after_trace = time.perf_counter()
    coupling = find_groups(traced)
    after_groups = time.perf_counter()
    scores = {group: torch.rand(coupling.groups[group].units) for group in coupling.prunable}
    pruned, _ = prune(model, coupling, coupling.select(scores, half(coupling)))
    end = time.perf_counter()
    channels = sum(group.channels for group in coupling.groups.values())
    params = sum(p.numel() for p in pruned.parameters())
    return {
        "trace_s": after_trace - start,
        "group_s": after_groups - after_trace,
        "prune_s": end - after_groups,
        "seconds": end - start,
        "channels": channels,
        "kept": params,
    }


def theirs(model: Any, x: Any) -> dict[str, Any]:
    """Seconds of Torch-Pruning's whole run; raises what it raises."""
    import torch
    import torch_pruning as tp
    from torch import nn

    outputs = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
    start = time.perf_counter()
    pruner = tp.pruner.MagnitudePruner(
        model, x, importance=tp.importance.MagnitudeImportance(p=2), pruning_ratio=0.5, round_to=8,
        ignored_layers=outputs,
    )  # fmt: skip
    pruner.step()
    end = time.perf_counter()
    with torch.inference_mode():
        model(x)
    return {"seconds": end - start, "kept": sum(p.numel() for p in model.parameters())}


def measure(name: str, method: str) -> dict[str, Any]:
    """One row, in this process. `rise_mib`: peak memory above what the model and one forward pass left in use."""
    import torch

    from benchmarks.zoo import _SIZES, make, setting

    torch.set_num_threads(1)
    model = make(name)
    size, _ = setting(_SIZES, name, (64, 96))
    x = torch.randn(1, 3, size, size)
    params = sum(p.numel() * p.element_size() for p in model.parameters())
    work = ours if method == "edgeprune" else theirs
    work(make("squeezenet1_1"), torch.randn(1, 3, 64, 64))
    with torch.inference_mode():
        model(x)
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is in use
    found = work(model, x)
    return {**found, "params_mib": params / MIB, "rise_mib": (memory("VmHWM") - before) / MIB}


def memory(key: str) -> float:
    """A field of this process's status, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def row(name: str, method: str) -> dict[str, Any]:
    """One row, in a process of its own; `failed` says why there are no figures."""
    command = [sys.executable, "-m", "benchmarks.zoo_speed", "--row", name, method]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:200]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def report() -> str:
    """The page."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in table.rows("zoo_speed"):
        rows.setdefault(entry["model"], {})[entry["method"]] = entry
    both = [r for r in rows.values() if all("seconds" in r.get(m, {}) for m in ("edgeprune", "torch-pruning"))]
    mine = sum(r["edgeprune"]["seconds"] for r in both)
    other = sum(r["torch-pruning"]["seconds"] for r in both)
    body = []
    for name, found in sorted(rows.items(), key=lambda item: item[1].get("edgeprune", {}).get("channels", 0)):
        us, them = found.get("edgeprune", {}), found.get("torch-pruning", {})
        if "seconds" not in us:
            body.append([name, "", us.get("failed", "not run"), *[""] * 7])
            continue
        parts = [f"{us[key]:.2f}" for key in ("trace_s", "group_s", "prune_s", "seconds")]
        theirs_s = f"{them['seconds']:.2f}" if "seconds" in them else f"fails: {them.get('failed', 'not run')[:60]}"
        ratio = f"{them['seconds'] / us['seconds']:.1f}" if "seconds" in them else ""
        memory = [f"{us['params_mib']:.0f}", f"{us['rise_mib']:.0f}"]
        body.append([name, str(us["channels"]), *parts, theirs_s, ratio, *memory])
    heading = [
        "model", "channels", "export, s", "groups, s", "surgery, s", "ours, s", "Torch-Pruning, s", "times faster",
        "parameters, MiB", "peak memory above the model, MiB",
    ]  # fmt: skip
    return (
        "# Speed of grouping and surgery\n\n<!-- Written by `python -m benchmarks.zoo_speed`. -->\n\n"
        f"{len(both)} models that both prune: ours {mine:.0f} s in all, Torch-Pruning {other:.0f} s, "
        f"{other / mine:.1f} times as long. One thread, every model in a process of its own, inputs as in zoo.md.\n\n"
        if both
        else "# Speed of grouping and surgery\n\n"
    ) + table.markdown(heading, body)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="only models whose name fits")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measure(*args.row)))
        return
    from benchmarks.zoo import names
    from edgeprune.files import write_text

    for name in names("classification"):
        if fnmatch.fnmatch(name, args.models):
            for method in ("edgeprune", "torch-pruning"):
                table.once("zoo_speed", {"model": name, "method": method}, lambda n=name, m=method: row(n, m))
            write_text(PAGE, report() + "\n")
    print(report().split("\n\n")[2])


if __name__ == "__main__":
    main()
