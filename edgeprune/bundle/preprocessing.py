"""How pictures become a network's input, pinned for apps: the very steps of edgeprune/sources/folder.py."""

from typing import Any

from edgeprune.sources.data import Data

KNOWN = ("builtin", "fashion-mnist", "folder")


def preprocessing_of(data: Data, spec: str | None) -> dict[str, Any] | None:
    """The steps as plain JSON types; None where the user's own code prepares the pictures.

    Pixels are 0 to 255, divided by 255 before mean and std.
    """
    channels, height, width = data.input_shape if len(data.input_shape) == 3 else (0, 0, 0)
    if spec is None or spec.partition(":")[0] not in KNOWN or channels not in (1, 3) or height != width:
        return None
    return {
        "exif": "apply",
        "colour": "RGB" if channels == 3 else "L",
        "resize": {
            "fit": "shorter side, centre crop",
            "side": height,
            "filter": "bilinear",
            "antialias": True,
        },
        "mean": list(data.mean),
        "std": list(data.std),
    }
