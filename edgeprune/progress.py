"""What a run tells while it works. Library code speaks to this interface and never prints."""

import logging
from typing import Protocol

log = logging.getLogger("edgeprune")


class Progress(Protocol):
    """Receiver of progress. `advance` may be called often; `note` is a line that stays."""

    def stage(self, title: str) -> None:
        """A stage begins."""

    def advance(self, done: float, total: float, text: str = "") -> None:
        """The stage stands at `done` of `total`; `text` tells the best value so far."""

    def note(self, text: str) -> None:
        """Something the user should know."""


class LoggedProgress:
    """Progress as log records; the default of the Python API."""

    def stage(self, title: str) -> None:
        log.info("%s", title)

    def advance(self, done: float, total: float, text: str = "") -> None:
        log.debug("%g/%g %s", done, total, text)

    def note(self, text: str) -> None:
        log.info("%s", text)
