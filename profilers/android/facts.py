"""What a phone is: read once, in one round trip. Its serial number leaves this machine only hashed."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from profilers.android.adb import Phone
from profilers.android.serials import digest
from profilers.errors import DeviceError
from profilers.measurement import Device, Kind

FOLDER = "/data/local/tmp"
EMULATED = "ro.edgeprune.emulated"
_PROPERTIES = (
    "ro.product.manufacturer", "ro.product.model", "ro.product.device", "ro.soc.manufacturer", "ro.soc.model",
    "ro.board.platform", "ro.hardware", "ro.product.cpu.abilist", "ro.product.cpu.abi", "ro.build.version.release",
    "ro.build.version.sdk", "ro.build.fingerprint", "ro.build.type", EMULATED,
)  # fmt: skip
_SCRIPT = "\n".join(
    [
        "getprop",
        "echo kernel=$(uname -r)",
        "echo memory_kb=$(grep MemTotal: /proc/meminfo)",
        "for cpu in /sys/devices/system/cpu/cpu[0-9]*; do",
        "  echo cpu=${cpu##*/cpu} $(cat $cpu/cpufreq/cpuinfo_max_freq 2>/dev/null || echo 0)"
        " $(cat $cpu/cpu_capacity 2>/dev/null || echo 0)",
        "done",
        f"echo free=$(df -k {FOLDER} | tail -n 1)",
        "true",
    ]
)


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind. `max_mhz` and `capacity` (1024: the fastest core) are 0 where the phone does not tell."""

    cores: tuple[int, ...]
    max_mhz: int
    capacity: int

    def __str__(self) -> str:
        speed = f" at {self.max_mhz / 1000:.2f} GHz" if self.max_mhz else ""
        return f"{len(self.cores)}{speed}"


@dataclass(frozen=True)
class Facts:
    """A phone. `clusters` go from the slowest to the fastest; `free_mib` is what FOLDER has left."""

    serial: str = field(repr=False)
    manufacturer: str
    model: str
    soc: str
    android: str
    sdk: int
    abis: tuple[str, ...]
    build: str
    kernel: str
    clusters: tuple[Cluster, ...]
    memory_mib: float | None
    free_mib: float | None
    emulated: bool

    @property
    def name(self) -> str:
        """Maker and model."""
        return self.model if self.model.startswith(self.manufacturer) else f"{self.manufacturer} {self.model}".strip()

    @property
    def cores(self) -> int:
        """Number of cores."""
        return sum(len(cluster.cores) for cluster in self.clusters)

    @property
    def kind(self) -> Kind:
        """What its numbers are: measured, or emulated."""
        return "emulated" if self.emulated else "measured"

    @property
    def serial_sha256(self) -> str:
        """The first 16 hex digits of the serial number's hash."""
        return digest(self.serial)

    def fingerprint(self) -> str:
        """16 hex digits over what decides its speed: phones of one model share it, an emulated phone never does."""
        speed = [f"{cluster.cores}@{cluster.max_mhz}" for cluster in self.clusters]
        facts = (self.kind, self.manufacturer, self.model, self.soc, self.abis[:1], speed, self.android)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]

    def describe(
        self,
        runtime: str,
        runtime_version: str,
        threads: int,
        affinity: tuple[int, ...] = (),
        affinity_seen: tuple[int, ...] = (),
        delegate: str = "xnnpack",
        libc: str = "",
    ) -> Device:
        """This phone as the `Device` of a measurement."""
        return Device(
            name=self.name,
            soc=self.soc,
            os=f"Android {self.android} (API {self.sdk}), Linux {self.kernel}, {self.abis[0] if self.abis else ''}",
            cores=self.cores,
            runtime=runtime,
            runtime_version=runtime_version,
            threads=threads,
            affinity=affinity,
            affinity_seen=affinity_seen,
            delegate=delegate,
            memory_mib=self.memory_mib,
            libc=libc,
            serial_sha256=self.serial_sha256,
        )


def read_facts(phone: Phone) -> Facts:
    """Ask a phone what it is. Raises DeviceError."""
    return parse_facts(phone.serial, phone.run(_SCRIPT))


def parse_facts(serial: str, text: str) -> Facts:
    """Read what the script of `read_facts` prints. Raises DeviceError if the phone tells no properties."""
    properties = dict(re.findall(r"^\[([^\]]+)\]: \[(.*)\]$", text, re.MULTILINE))
    pairs = [line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line)]
    told = {key: value.strip() for key, value in pairs if key != "cpu"}
    told |= {name: properties.get(name, "") for name in _PROPERTIES}
    if not told.get("ro.build.version.release"):
        raise DeviceError(f"Phone {serial} does not tell its Android version.", "Is it an Android phone?")
    memory = re.search(r"\d+", told.get("memory_kb", ""))
    return Facts(
        serial=serial,
        manufacturer=told["ro.product.manufacturer"],
        model=told["ro.product.model"],
        soc=_soc(told),
        android=told["ro.build.version.release"],
        sdk=_whole(told["ro.build.version.sdk"]),
        abis=tuple(filter(None, (told["ro.product.cpu.abilist"] or told["ro.product.cpu.abi"]).split(","))),
        build=told["ro.build.fingerprint"],
        kernel=told.get("kernel", ""),
        clusters=_clusters([value.split() for key, value in pairs if key == "cpu" and re.match(r"\d", value)]),
        memory_mib=round(int(memory[0]) / 1024, 1) if memory else None,
        free_mib=_free_mib(told.get("free", "")),
        emulated=told[EMULATED] not in ("", "0", "false"),
    )


def _soc(told: Mapping[str, str]) -> str:
    """ro.soc.* exists from Android 12 on; before it the board platform is the best there is."""
    named = f"{told['ro.soc.manufacturer']} {told['ro.soc.model']}".strip()
    return named or told["ro.board.platform"] or told["ro.hardware"]


def _clusters(cores: list[list[str]]) -> tuple[Cluster, ...]:
    found: dict[tuple[int, int], list[int]] = {}
    for core, *speeds in cores:
        khz, capacity = (_whole(word) for word in (*speeds, "", "")[:2])
        found.setdefault((khz // 1000, capacity), []).append(_whole(core))
    return tuple(
        Cluster(tuple(sorted(numbers)), mhz, capacity)
        for (mhz, capacity), numbers in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    )


def _whole(text: str) -> int:
    """The number that a text begins with, 0 without one: phones tell the oddest things."""
    number = re.match(r"\d+", text)
    return int(number[0]) if number else 0


def _free_mib(df: str) -> float | None:
    """The "Available" column of a `df -k` line: device, size, used, available, share, place."""
    columns = df.split()
    return round(int(columns[3]) / 1024, 1) if len(columns) >= 6 and columns[3].isdigit() else None


def parse_cores(text: str, clusters: tuple[Cluster, ...]) -> tuple[int, ...]:
    """Cores by "big", "little" or a hexadecimal mask. Raises ValueError saying what is allowed."""
    if text in ("big", "little"):
        if len(clusters) < 2:
            raise ValueError(f"--cores {text}: all cores of this phone are alike: leave it out")
        if text == "little":
            return clusters[0].cores
        return tuple(sorted(core for cluster in clusters[1:] for core in cluster.cores))
    try:
        mask = int(text, 16)
    except ValueError as error:
        raise ValueError(f"--cores {text} is none of big, little, or a hexadecimal mask such as f0") from error
    there = {core for cluster in clusters for core in cluster.cores}
    cores = tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
    absent = sorted(set(cores) - there)
    if not cores or (there and absent):
        raise ValueError(f"--cores {text} asks for {absent or 'no core'}, the phone has cores {sorted(there)}")
    return cores
