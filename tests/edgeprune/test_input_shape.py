"""A shape as people type it."""

import pytest

from edgeprune.errors import UsageError
from edgeprune.input_shape import read_input_shape


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("3x224x224", (3, 224, 224)),
        ("3,224,224", (3, 224, 224)),
        ("1,3,224,224", (3, 224, 224)),
        ("1x1x8x8", (1, 8, 8)),
        ("1X28X28", (1, 28, 28)),
        ("3x16x112x112", (3, 16, 112, 112)),  # three axes in space
        ("16", (16,)),
    ],
)
def test_with_or_without_the_batch(text: str, shape: tuple[int, ...]) -> None:
    assert read_input_shape(text) == shape


@pytest.mark.parametrize("text", ["", "1,x", "3x0x8", "3x-1x8", "a"])
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_input_shape(text)
    assert repr(text) in caught.value.message
    assert "3x224x224" in caught.value.cure
