"""Time and memory of grouping and surgery, beside Torch-Pruning, in the same run: half of every group removed.

python -m benchmarks.zoo_speed [--models PATTERN]

Ours: trace, groups, surgery (the proof apart: see docs/zoo.md). Torch-Pruning: its dependency graph and one pruning
step, uniform L2, multiples of 8. Both prune a small network first, so that imports do not count. Every row is a process
of its own with one thread, so that peak memory is the model's; it is forked from one that has everything imported.
Seconds are the process's own (processor time): other work on the machine is not in them. A row that takes longer than
LIMIT is given up. Rows are kept in build/bench/zoo_speed.jsonl, the table in docs/zoo-speed.md.
"""

import argparse
import fnmatch
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import table

PAGE = Path("docs/zoo-speed.md")
MIB = 2.0**20
LIMIT = 300  # seconds of the clock, start included
GROWTH = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet169", "densenet201",
)  # fmt: skip


def ours(model: Any, x: Any) -> dict[str, Any]:
    """Seconds of each step."""
    import torch

    from benchmarks.zoo import half
    from edgeprune.graph import find_groups, prune, trace

    start = time.process_time()
    traced = trace(model, (x,))
    after_trace = time.process_time()
    coupling = find_groups(traced)
    after_groups = time.process_time()
    scores = {group: torch.rand(coupling.groups[group].units) for group in coupling.prunable}
    pruned, _ = prune(model, coupling, coupling.select(scores, half(coupling)))
    end = time.process_time()
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
    start = time.process_time()
    pruner = tp.pruner.MagnitudePruner(
        model, x, importance=tp.importance.MagnitudeImportance(p=2), pruning_ratio=0.5, round_to=8,
        ignored_layers=outputs,
    )  # fmt: skip
    pruner.step()
    end = time.process_time()
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
    """One row, in a fork of this process; `failed` says why there are no figures."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(send, name, method))
    child.start()
    send.close()
    try:
        return dict(receive.recv()) if receive.poll(LIMIT) else {"failed": f"not done after {LIMIT} s"}
    except EOFError:
        return {"failed": "killed"}
    finally:
        child.kill()
        child.join()


def _send(pipe: Connection, name: str, method: str) -> None:
    try:
        pipe.send(measure(name, method))
    except Exception as error:  # either tool may raise anything
        first = (str(error).strip() or "no message").splitlines()[0]
        pipe.send({"failed": f"{type(error).__name__}: {first}"[:200]})


def report() -> str:
    """The page."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in table.rows("zoo_speed"):
        rows.setdefault(entry["model"], {})[entry["method"]] = entry
    ordered = sorted(rows.items(), key=lambda item: item[1].get("edgeprune", {}).get("channels", 0))
    both = [r for r in rows.values() if all("seconds" in r.get(m, {}) for m in ("edgeprune", "torch-pruning"))]
    text = "# Speed of grouping and surgery\n\n<!-- Written by `python -m benchmarks.zoo_speed`. -->\n\n"
    if both:
        text += f"{summary(both)}\n\n"
    growth = [(name, found) for name, found in ordered if name in GROWTH]
    return (
        f"{text}## Growth\n\n{table.markdown(GROWTH_HEADING, [growth_line(*item) for item in growth])}\n\n"
        f"## All classifiers\n\n{table.markdown(HEADING, [line(*item) for item in ordered])}\n\n{table.machine()}"
    )


def summary(both: list[dict[str, dict[str, Any]]]) -> str:
    """The sums over the models that both prune."""
    mine = sum(r["edgeprune"]["seconds"] for r in both)
    other = sum(r["torch-pruning"]["seconds"] for r in both)
    fewer = sum(r["edgeprune"]["seconds"] < r["torch-pruning"]["seconds"] for r in both)
    worst = max(r["edgeprune"]["rise_mib"] / r["edgeprune"]["params_mib"] for r in both)
    return (
        f"{len(both)} models that both prune: ours {mine:.1f} s in all, Torch-Pruning {other:.1f} s, "
        f"{other / mine:.1f} times as long; ours takes less on {fewer} of them. Seconds of processor time, one "
        "thread, every model in a process of its own, inputs as in zoo.md; other work ran on the machine. Our peak "
        f"memory above the model and one forward pass is at most {worst:.2f} times the parameters."
    )


HEADING = (
    "model", "channels", "trace, s", "groups, s", "surgery, s", "ours, s", "Torch-Pruning, s", "times faster",
    "parameters, MiB", "our peak above the model and a forward, MiB", "Torch-Pruning's, MiB",
)  # fmt: skip
GROWTH_HEADING = (
    "model", "channels", "ours, s", "microseconds a channel", "Torch-Pruning, s", "microseconds a channel",
)  # fmt: skip


def line(name: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """A model's row."""
    us, them = found.get("edgeprune", {}), found.get("torch-pruning", {})
    if "seconds" not in us:
        return [name, "", us.get("failed", "not run"), *[""] * (len(HEADING) - 3)]
    parts = [f"{us[key]:.2f}" for key in ("trace_s", "group_s", "prune_s", "seconds")]
    theirs_s = f"{them['seconds']:.2f}" if "seconds" in them else f"fails: {them.get('failed', 'not run')[:60]}"
    ratio = f"{them['seconds'] / us['seconds']:.1f}" if "seconds" in them else ""
    memory = [f"{us['params_mib']:.0f}", f"{us['rise_mib']:.0f}", f"{them['rise_mib']:.0f}" if ratio else ""]
    return [name, str(us["channels"]), *parts, theirs_s, ratio, *memory]


def growth_line(name: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """Time against the number of channels."""
    channels = found.get("edgeprune", {}).get("channels", 0)
    cells = []
    for method in ("edgeprune", "torch-pruning"):
        seconds = found.get(method, {}).get("seconds")
        cells += ["", ""] if seconds is None else [f"{seconds:.2f}", f"{seconds / max(channels, 1) * 1e6:.0f}"]
    return [name, str(channels), *cells]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="*", help="only models whose name fits")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(measure(*args.row)))
        return
    import torch_pruning  # noqa: F401  # so that no row has to

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
