"""Android's own programs (getprop, dumpsys, am, pm, ...): Python functions that the phone's shell can call anywhere.

Each is a small shell script in /system/bin that leaves its arguments in /.phone and waits for the answer there, so
pipes, quoting and loops are the real shell's.
"""

import asyncio
import contextlib
import os
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tests.phone import packages

if TYPE_CHECKING:
    from tests.phone.phone import Phone

CALLS = ".phone"
SCRIPT = r"""#!/system/bin/sh
call=/.phone/$$
rm -f $call.*
case " $* " in *" -S "*) size=${*##*-S }; head -c "${size%% *}" > $call.in;; esac
printf '%s\0' "${0##*/}" "$@" > $call.arguments
mkfifo $call.done
echo $$ > /.phone/calls
read -r code < $call.done
cat $call.out
cat $call.err >&2
rm -f $call.*
exit "$code"
"""
RUN_AS = """#!/system/bin/sh
package=$1; shift
[ -d "/data/data/$package" ] || { echo "run-as: unknown package: $package" >&2; exit 1; }
dumpsys package "$package" | grep -q DEBUGGABLE || { echo "run-as: package not debuggable: $package" >&2; exit 1; }
cd "/data/data/$package" && exec "$@"
"""
NOHUP = """#!/system/bin/sh
trap '' HUP
exec "$@"
"""


class Call(NamedTuple):
    """A program's arguments, its name first, and what `-S` streamed into it."""

    arguments: tuple[str, ...]
    stdin: bytes = b""


class Answer(NamedTuple):
    """What a program prints, and its exit code."""

    out: str = ""
    err: str = ""
    code: int = 0


Program = Callable[["Phone", Call], Answer]


def getprop(phone: "Phone", call: Call) -> Answer:
    if len(call.arguments) > 1:
        default = call.arguments[2] if len(call.arguments) > 2 else ""
        return Answer(phone.properties.get(call.arguments[1], default) + "\n")
    return Answer("".join(f"[{key}]: [{value}]\n" for key, value in sorted(phone.properties.items())))


def setprop(phone: "Phone", call: Call) -> Answer:
    name, value = call.arguments[1:3]
    if name.startswith("ro."):
        return Answer(err=f"Failed to set property '{name}' to '{value}'.\nSee dmesg for error reason.\n", code=1)
    phone.properties[name] = value
    return Answer()


def dumpsys(phone: "Phone", call: Call) -> Answer:
    state, service = phone.state, call.arguments[1] if len(call.arguments) > 1 else ""
    if service == "battery":
        return Answer(
            "Current Battery Service state:\n  AC powered: false\n"
            f"  USB powered: {str(state.plugged).lower()}\n  Wireless powered: false\n"
            f"  status: {2 if state.plugged else 3}\n  health: 2\n  present: true\n  level: {state.battery_percent}\n"
            f"  scale: 100\n  voltage: 4201\n  temperature: {round(state.temperature_c() * 10)}\n  technology: Li-ion\n"
        )
    if service == "thermalservice":
        status = state.thermal_status()
        return Answer(
            f"IsStatusOverride: false\nThermalEventListeners:\nThermal Status: {status}\nCached temperatures:\n"
            f"\tTemperature{{mValue={state.skin_c():.1f}, mType=3, mName=skin, mStatus={status}}}\nHAL Ready: true\n"
        )
    if service == "power":
        wakefulness = "Awake" if state.screen_on else "Asleep"
        return Answer(
            f"POWER MANAGER (dumpsys power)\n\nPower Manager State:\n  mWakefulness={wakefulness}\n"
            f"  mIsPowered={str(state.plugged).lower()}\n  mBatteryLevel={state.battery_percent}\n"
        )
    if service == "package":
        return Answer(packages.describe(phone, call.arguments[2]))
    if service == "meminfo":
        name = call.arguments[2] if len(call.arguments) > 2 else ""
        return Answer(f"No process found for: {name}\n")
    return Answer(err=f"Can't find service: {service}\n", code=0)


def settings(phone: "Phone", call: Call) -> Answer:
    verb, space, name, *value = call.arguments[1:]
    if verb == "get":
        if name == "low_power":
            return Answer(f"{int(phone.state.low_power)}\n")
        return Answer(phone.state.settings.get(f"{space}/{name}", "null") + "\n")
    if verb == "put":
        if name == "low_power":
            phone.state.low_power = value == ["1"]
        phone.state.settings[f"{space}/{name}"] = value[0]
        return Answer()
    return Answer(err=f"Invalid command: {verb}\n", code=255)


def input_(phone: "Phone", call: Call) -> Answer:
    wakes = {"KEYCODE_WAKEUP", "224", "KEYCODE_POWER", "26"}
    if call.arguments[1:2] == ("keyevent",) and wakes & set(call.arguments) and not phone.state.screen_stuck:
        phone.state.screen_on = True
    return Answer()


def logcat(phone: "Phone", call: Call) -> Answer:
    """`-d` prints what there is, `-t N` the last N lines, `-c` forgets them, `--pid P` those of a process."""
    arguments, lines = call.arguments, phone.state.log
    if "-c" in arguments:
        lines.clear()
        return Answer()
    shown = list(lines)
    for argument, value in zip(arguments, (*arguments[1:], ""), strict=True):
        if argument == "-t":
            shown = shown[-int(value) :]
        pid = argument.removeprefix("--pid=") if argument.startswith("--pid=") else value if argument == "--pid" else ""
        if pid:
            shown = [line for line in shown if line.split()[2] == pid]
    return Answer("".join(line + "\n" for line in ["--------- beginning of main", *shown]))


def df(phone: "Phone", call: Call) -> Answer:
    """In KiB, as with -k."""
    total, free = 115_343_360, phone.free_bytes() // 1024
    places = [a for a in call.arguments[1:] if not a.startswith("-")] or ["/data"]
    rows = [f"/dev/block/dm-5 {total} {total - free} {free} {100 * (total - free) // total}% /data" for _ in places]
    return Answer("\n".join(["Filesystem     1K-blocks     Used Available Use% Mounted on", *rows]) + "\n")


def am(phone: "Phone", call: Call) -> Answer:
    """`start -n PACKAGE/.ACTIVITY` hands the rest of the line to the app, if there is one."""
    arguments = list(call.arguments[1:])
    if arguments[:1] != ["start"] or "-n" not in arguments:
        return Answer()  # force-stop, broadcast, ...: nothing to see
    component = arguments[arguments.index("-n") + 1]
    package = component.partition("/")[0]
    starting = f"Starting: Intent {{ cmp={component} }}\n"
    app = phone.apps.get(package)
    if package not in phone.packages or app is None:
        missing = f"Error: Activity class {{{component}}} does not exist.\n"
        return Answer(starting, f"Error type 3\n{missing}", 1)
    app(phone, arguments)
    return Answer(starting)


def getconf(phone: "Phone", call: Call) -> Answer:
    cores = str(sum(cluster.cores for cluster in phone.clusters))
    known = {"PAGESIZE": "4096", "PAGE_SIZE": "4096", "_NPROCESSORS_ONLN": cores, "_NPROCESSORS_CONF": cores}
    name = call.arguments[1]
    return Answer(known[name] + "\n") if name in known else Answer(err=f"getconf: bad {name}\n", code=1)


def cmd(phone: "Phone", call: Call) -> Answer:
    if call.arguments[1:2] == ("package",):
        return packages.pm(phone, Call(call.arguments[1:], call.stdin))
    return Answer(err=f"cmd: Can't find service: {' '.join(call.arguments[1:2])}\n", code=20)


def nothing(_phone: "Phone", _call: Call) -> Answer:
    """A program that leaves no trace."""
    return Answer()


PROGRAMS: dict[str, Program] = {
    "am": am,
    "cmd": cmd,
    "df": df,
    "dumpsys": dumpsys,
    "getconf": getconf,
    "getprop": getprop,
    "input": input_,
    "logcat": logcat,
    "pm": packages.pm,
    "setprop": setprop,
    "settings": settings,
    "svc": nothing,
}


class Exchange:
    """The place where scripts leave their calls. `programs` may be changed at any time."""

    def __init__(self, phone: "Phone", programs: dict[str, Program]) -> None:
        self._phone, self.programs = phone, programs
        self._folder = phone.sandbox.root / CALLS
        self._tasks: set[asyncio.Task[None]] = set()

    def write_scripts(self) -> None:
        """Put the programs where the shell finds them."""
        self._folder.mkdir(exist_ok=True)
        for name, script in {**dict.fromkeys(self.programs, SCRIPT), "run-as": RUN_AS, "nohup": NOHUP}.items():
            path = self._phone.sandbox.root / "system/bin" / name
            path.write_text(script)
            path.chmod(0o755)

    async def serve(self) -> None:
        """Answer calls until cancelled."""
        fifo = self._folder / "calls"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        descriptor = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        ready, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(descriptor, ready.set)
        rest = b""
        try:
            while True:
                await ready.wait()
                ready.clear()
                with contextlib.suppress(BlockingIOError):
                    rest += os.read(descriptor, 65536)
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    task = asyncio.create_task(self._answer(line.decode()))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def _answer(self, number: str) -> None:
        def file(kind: str) -> str:
            return str(self._folder / f"{number}.{kind}")

        with open(file("arguments"), "rb") as arguments:
            words = tuple(os.fsdecode(word) for word in arguments.read().split(b"\0")[:-1])
        stdin = b""
        if os.path.exists(file("in")):
            with open(file("in"), "rb") as streamed:
                stdin = streamed.read()
        self._phone.calls.append(words)
        try:
            answer = await asyncio.to_thread(self.programs[words[0]], self._phone, Call(words, stdin))
        except Exception:  # told where the program was called, which would wait for ever otherwise
            answer = Answer(err=traceback.format_exc(), code=255)
        for kind, text in (("out", answer.out), ("err", answer.err)):
            with open(file(kind), "w", encoding="utf-8", errors="surrogateescape") as result:
                result.write(text)
        for _ in range(1000):  # until the script listens; never, if it was killed
            try:
                descriptor = os.open(file("done"), os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                await asyncio.sleep(0.005)
                continue
            os.write(descriptor, f"{answer.code}\n".encode())
            os.close(descriptor)
            return
