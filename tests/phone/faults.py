"""What can go wrong with a phone. Tests set these before or while it is in use."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals
from typing import Literal


@dataclass
class Vanish:
    """The cable is pulled once `after_bytes` went through a push, a pull, or the output of a shell command.

    `command` is a pattern that the shell command must hold. The phone stays away until `Phone.plug_in`.
    """

    during: Literal["push", "pull", "shell"]
    after_bytes: int = 0
    command: str = ""


@dataclass
class Kill:
    """Programs whose command line holds `program` get `signal`, `after_s` seconds after they were first seen.

    SIGKILL is what low memory does, SIGSEGV a crash: both leave their lines in logcat. SIGSTOP lets it hang.
    """

    program: str
    signal: Signals = Signals.SIGKILL
    after_s: float = 0.0


@dataclass
class Faults:
    """All off by default."""

    unauthorized: bool = False  # nobody taps "allow" on the screen
    offline: bool = False  # plugged in, and never answers
    legacy: bool = False  # adbd before Android 7: no shell_v2, so no exit codes
    vanish: Vanish | None = None
    free_bytes: int | None = None  # pushes beyond it fail: No space left on device
    read_only: bool = False  # /data/local/tmp takes no files
    kill: Kill | None = None
    hang: str = ""  # shell commands that hold this pattern never end
    output: Callable[[str, bytes], bytes] | None = None  # what a shell command prints, replaced: a phone that lies

    def hangs(self, command: str) -> bool:
        """Whether this shell command never ends."""
        return bool(self.hang) and re.search(self.hang, command) is not None
