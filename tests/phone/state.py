"""What the phone says about itself: properties, battery, temperature, screen. Plausible, and plainly emulated."""

import time
from dataclasses import dataclass, field

AMBIENT_C = 25.0
SKIN_ABOVE_BATTERY_C = 3.4
THERMAL_STATUS_C = (39.0, 42.0, 45.0, 50.0, 55.0, 60.0)  # skin temperature at which status 1 ... 6 begins (ours)


def properties(model: str, serial: str, abi: str) -> dict[str, str]:
    """System properties. `ro.edgeprune.emulated` is the mark that the profiler reads."""
    return {
        "ro.edgeprune.emulated": "1",
        "ro.product.manufacturer": "EdgePrune",
        "ro.product.brand": "EdgePrune",
        "ro.product.name": "edgeprune_emulated",
        "ro.product.device": "emulated",
        "ro.product.model": model,
        "ro.product.cpu.abi": abi,
        "ro.product.cpu.abilist": abi,
        "ro.product.cpu.abilist64": abi,
        "ro.build.version.sdk": "34",
        "ro.build.version.release": "14",
        "ro.build.fingerprint": "EdgePrune/edgeprune_emulated/emulated:14/EMULATED/1:user/test-keys",
        "ro.build.type": "user",
        "ro.debuggable": "0",
        "ro.soc.manufacturer": "EdgePrune",
        "ro.soc.model": "emulated",
        "ro.board.platform": "emulated",
        "ro.hardware": "emulated",
        "ro.serialno": serial,
        "sys.boot_completed": "1",
    }


@dataclass
class State:
    """What changes on a phone. `battery_c` is its temperature at the start; `heating_c_per_s` lets it rise, or fall."""

    battery_percent: int = 87
    battery_c: float = 28.1
    heating_c_per_s: float = 0.0
    plugged: bool = True
    screen_on: bool = True
    screen_stuck: bool = False  # keys do not wake it
    low_power: bool = False
    settings: dict[str, str] = field(default_factory=dict)  # "global/airplane_mode_on" -> "0"
    log: list[str] = field(default_factory=list)  # logcat, oldest first
    _since: float = field(default_factory=time.monotonic)

    def temperature_c(self) -> float:
        """Of the battery, now."""
        return max(AMBIENT_C, self.battery_c + self.heating_c_per_s * (time.monotonic() - self._since))

    def skin_c(self) -> float:
        """Of the case, now."""
        return self.temperature_c() + SKIN_ABOVE_BATTERY_C

    def thermal_status(self) -> int:
        """Android's: 0 none, 1 light, 2 moderate, 3 severe, ..."""
        return sum(self.skin_c() >= limit for limit in THERMAL_STATUS_C)

    def write_log(self, priority: str, tag: str, message: str, pid: int = 1) -> None:
        """Add lines to logcat, in its `threadtime` format."""
        when = time.strftime("%m-%d %H:%M:%S.000")
        self.log += [f"{when} {pid:5d} {pid:5d} {priority} {tag}: {line}" for line in message.splitlines()]
