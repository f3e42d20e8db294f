"""`--input-shape` of every command: C x H x W, with or without the batch of one. Imports no torch."""

from edgeprune.errors import UsageError


def read_input_shape(text: str) -> tuple[int, ...]:
    """(C, H, W) of "3x224x224" or "3,224,224", and of "1,3,224,224", where the batch was written too.

    Any other number of axes is read as it stands, without a batch. Raises UsageError.
    """
    try:
        shape = tuple(int(part) for part in text.lower().replace(",", "x").split("x"))
        if min(shape) < 1:
            raise ValueError(text)
    except ValueError as error:
        raise UsageError(f"--input-shape {text!r} is no shape.", "Write 3x224x224, or 1,3,224,224.") from error
    return shape[1:] if len(shape) == 4 and shape[0] == 1 else shape
