"""Completion in bash, which cuts words at ":" and "=": builtin:resnet8 would come as three.

The words are put together again before they are completed, and what was offered is cut where bash cut.
"""

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from itertools import pairwise

VARIABLE = "_EDGEPRUNE_COMPLETE"
_CUTS = (":", "=")


def asked() -> bool:
    """True when bash called this program to complete a line."""
    return os.environ.get(VARIABLE) == "complete_bash" and "COMP_WORDS" in os.environ


def complete(app: Callable[[], object]) -> None:
    """Run the program, which then completes and ends, between the two corrections."""
    text = os.environ["COMP_WORDS"]
    words = text.split("\n") if "\n" in text else text.split(" ")
    words, number = join(words, int(os.environ["COMP_CWORD"]))
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(number)
    incomplete = words[number]
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            app()
    finally:
        value = incomplete.partition("=")[2] if incomplete.startswith("--") and "=" in incomplete else incomplete
        typed = value[: max(value.rfind(cut) for cut in _CUTS) + 1]
        for line in said.getvalue().splitlines():
            sys.stdout.write(line.removeprefix(typed) + "\n")


def join(words: list[str], number: int) -> tuple[list[str], int]:
    """The words of a line as they were typed, up to the one being completed, and that one's number."""
    words = [*words, *[""] * (number + 1 - len(words))][: number + 1]
    joined = words[:1]
    for before, word in pairwise(words):
        if word in _CUTS or before in _CUTS:
            joined[-1] += word
        else:
            joined.append(word)
    return joined, len(joined) - 1
