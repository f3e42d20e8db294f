"""How long things take: MobileNetV2 at 224x224 from tracing to chosen widths, and `edgeprune --help`.

python -m benchmarks.speed

The network has generic weights and the images are noise: times depend on neither. Nothing is trained.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torchvision.models import mobilenet_v2

from benchmarks import table
from edgeprune.graph import find_groups, prune, prune_proved, trace


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds, what `work` returned)."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def surgery() -> dict[str, Any]:
    """Trace, group and slice MobileNetV2 at 224; the proof apart."""
    torch.manual_seed(0)
    model, x = mobilenet_v2().eval(), torch.randn(1, 3, 224, 224)
    trace_s, traced = seconds(lambda: trace(model, (x,)))
    group_s, coupling = seconds(lambda: find_groups(traced))
    counts = {name: min(menu, key=lambda u: abs(u - menu[-1] / 2)) for name, menu in coupling.menu(8).items()}
    kept = coupling.select({name: torch.rand(coupling.groups[name].units) for name in counts}, counts)
    prune_s, _ = seconds(lambda: prune(model, coupling, kept))
    proof_s, (_, _, proof) = seconds(lambda: prune_proved(model, traced, coupling, kept))
    assert proof.ok
    return {
        "trace_s": trace_s,
        "group_s": group_s,
        "prune_s": prune_s,
        "proof_s": proof_s,
    }


def search() -> dict[str, Any]:
    """The whole search for half the latency, as `optimize` runs it up to the chosen widths."""
    folder = table.BUILD / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "noise.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n\ndef make():\n"
        "    g = torch.Generator().manual_seed(0)\n    x = torch.randn(64, 3, 224, 224, generator=g)\n"
        "    y = torch.arange(64) % 4\n"
        "    return {'train': TensorDataset(x, y), 'val': TensorDataset(x[:16], y[:16])}\n"
    )
    from edgeprune.config import make_config
    from edgeprune.pipeline.choose import search_stage
    from edgeprune.pipeline.job import job_from_config
    from edgeprune.pipeline.stages import dense_stage
    from edgeprune.progress import LoggedProgress
    from edgeprune.recover import batchnorm
    from edgeprune.run import Run

    settings = {"model": "torchvision:mobilenet_v2", "data": f"{folder}/noise.py:make", "latency": "50%"}
    config = make_config({**settings, "formats": "litert"})
    job = job_from_config(config, LoggedProgress())
    torch.manual_seed(0)
    for module in job.model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.5)
    batchnorm.reestimate(job.model, [(x, None) for x in torch.randn(4, 8, 3, 224, 224)])
    traced = trace(job.model, job.example_inputs)
    coupling = find_groups(traced)
    run = Run.open(folder / f"run-{time.time_ns()}", config, resume=False)
    dense, files = dense_stage(job, run, coupling)
    whole_s, (stage, _) = seconds(lambda: search_stage(job, run, traced, coupling, dense, files, 1.0, 0))
    run.close()
    return {"search_s": whole_s, "rounds": len(stage.summary.rounds), "reason": stage.summary.reason}


def help_time() -> dict[str, Any]:
    """Wall time of `edgeprune --help`, 10 runs."""
    command = [sys.executable, "-m", "edgeprune", "--help"]
    times = [seconds(lambda: subprocess.run(command, capture_output=True, check=True))[0] for _ in range(10)]
    return {"min_s": min(times), "median_s": median(times)}


def main() -> None:
    """Command line."""
    cut, start = surgery(), help_time()
    lines = [
        ["trace (torch.export)", f"{cut['trace_s']:.1f} s"],
        ["groups + surgery", f"{cut['group_s'] + cut['prune_s']:.1f} s"],
        ["surgery with its proof", f"{cut['proof_s']:.1f} s"],
    ]
    try:
        found = search()
        lines.append([f"whole search, {found['rounds']} candidates ({found['reason']})", f"{found['search_s']:.0f} s"])
    finally:
        lines.append(["`edgeprune --help`, best of 10", f"{start['min_s']:.2f} s"])
        text = "MobileNetV2 at 224x224, generic weights.\n\n" + table.markdown(["what", "time"], lines)
        table.write_section(Path("docs/benchmarks.md"), "Speed", text)
        print(text)


if __name__ == "__main__":
    main()
