"""What a phone tells the cluster: labels of its Ray node, and the resource by which work asks for phones like it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Self

from profilers.android.facts import Facts

PREFIX = "edgeprune.org/"
SERIAL = "EDGEPRUNE_FARM_SERIAL"  # of the phone beside a Ray node, in the environment there: it never travels


@dataclass(frozen=True)
class FarmPhone:
    """One phone of a farm. `kind`: phones of one kind are equal, by `Facts.fingerprint` and their runner's LiteRT.

    Ray's labels hold letters, digits, "-", "_" and "."; other characters of names are "_" here.
    """

    kind: str
    model: str
    soc: str
    android: str
    serial_sha256: str
    measures: str
    litert: str
    edgeprune: str
    host: str = ""

    @classmethod
    def of(cls, facts: Facts, litert: str) -> Self:
        """The phone with these facts, whose native runner has this LiteRT."""
        return cls(
            kind=f"{facts.fingerprint()}-{litert}",
            model=facts.name,
            soc=facts.soc,
            android=facts.android,
            serial_sha256=facts.serial_sha256,
            measures=facts.kind,
            litert=litert,
            edgeprune=version("edgeprune"),
        )

    @classmethod
    def read(cls, labels: Mapping[str, str], host: str) -> Self | None:
        """The phone of a node with these labels, on this host; None for a node without one."""
        told = {key.removeprefix(PREFIX): value for key, value in labels.items() if key.startswith(PREFIX)}
        try:
            return cls(**told, host=host)
        except TypeError:
            return None

    def labels(self) -> dict[str, str]:
        """For `ray start --labels`."""
        return {f"{PREFIX}{key}": _label(value) for key, value in asdict(self).items() if key != "host"}

    @property
    def name(self) -> str:
        """The model as people write it."""
        return self.model.replace("_", " ")

    @property
    def resource(self) -> str:
        """What work for this kind of phone asks Ray for."""
        return resource_of(self.kind)


def resource_of(kind: str) -> str:
    """The custom resource of a kind of phone: every node has one of it."""
    return f"phone:{kind}"


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:63].strip("_.-")
