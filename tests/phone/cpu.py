"""big.LITTLE as the kernel shows it: /sys/devices/system/cpu and /proc/cpuinfo of a phone.

A phone has no more cores than the host, so that pinning a program to some of them is real.
"""

from pathlib import Path
from typing import NamedTuple


class Cluster(NamedTuple):
    """Cores of one kind; `part` is Arm's number of the design, `capacity` the kernel's (1024 is the fastest core)."""

    cores: int
    part: int
    khz: int
    capacity: int


LITTLE, BIG, PRIME = (0xD05, 1_804_800, 250), (0xD41, 2_419_200, 800), (0xD44, 2_841_600, 1024)  # A55, A78, X1
FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"


def clusters(cores: int) -> tuple[Cluster, ...]:
    """4 + 3 + 1 from eight cores on; else half LITTLE, half big."""
    if cores >= 8:
        return Cluster(4, *LITTLE), Cluster(3, *BIG), Cluster(1, *PRIME)
    little = cores // 2
    return tuple(c for c in (Cluster(little, *LITTLE), Cluster(cores - little, *BIG)) if c.cores)


def write(root: Path, parts: tuple[Cluster, ...]) -> None:
    """Write the files below `root`."""
    kinds = [(index, cluster) for index, cluster in enumerate(parts) for _ in range(cluster.cores)]
    base = "sys/devices/system/cpu"
    files = {f"{base}/{name}": f"0-{len(kinds) - 1}" for name in ("possible", "present", "online")}
    files[f"{base}/kernel_max"] = str(len(kinds) - 1)
    cpuinfo = []
    for core, (index, cluster) in enumerate(kinds):
        siblings = [other for other, (kind, _) in enumerate(kinds) if kind == index]
        folder = f"{base}/cpu{core}"
        files |= {
            f"{folder}/cpu_capacity": str(cluster.capacity),
            f"{folder}/cpufreq/cpuinfo_max_freq": str(cluster.khz),
            f"{folder}/cpufreq/cpuinfo_min_freq": "300000",
            f"{folder}/cpufreq/scaling_cur_freq": str(cluster.khz),
            f"{folder}/cpufreq/scaling_governor": "schedutil",
            f"{folder}/cpufreq/related_cpus": " ".join(map(str, siblings)),
            f"{folder}/topology/physical_package_id": str(index),
            f"{folder}/topology/core_id": str(core),
            f"{folder}/topology/thread_siblings_list": str(core),
            f"{folder}/topology/thread_siblings": f"{1 << core:02x}",
            f"{folder}/topology/core_cpus_list": str(core),
        }
        spread = str(siblings[0]) if len(siblings) == 1 else f"{siblings[0]}-{siblings[-1]}"
        mask = f"{sum(1 << sibling for sibling in siblings):02x}"
        for name in ("core_siblings", "cluster_cpus", "package_cpus"):
            files[f"{folder}/topology/{name}_list"] = spread
            files[f"{folder}/topology/{name}"] = mask
        cpuinfo.append(
            f"processor\t: {core}\nBogoMIPS\t: 38.40\nFeatures\t: {FEATURES}\nCPU implementer\t: 0x41\n"
            f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {cluster.part:#05x}\nCPU revision\t: 0\n\n"
        )
    files["proc/cpuinfo"] = "".join(cpuinfo) + "Hardware\t: EdgePrune emulated phone"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
