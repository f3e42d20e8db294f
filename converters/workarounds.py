"""What to write instead of an operation that a format lacks: those that were met and tried."""

import re

_WORKAROUNDS = {
    r"upsample_bicubic2d": 'Scale with F.interpolate(..., mode="bilinear"), which every format has',
    r"_?fft_\w+": "Multiply by a fixed matrix of cosines and sines, or take the spectrum before the network",
    r"(_?linalg_)?svd\w*": "Take the decomposition out of the network: no mobile format has one",
}


def workaround(name: str | None) -> str:
    """What is known to help against aten.`name`; general advice where nothing is."""
    for pattern, text in _WORKAROUNDS.items():
        if name is not None and re.fullmatch(pattern, name):
            return text
    return "Replace that operation by supported ones"
