import json

import pytest

from profilers.layers import LayerKey


@pytest.mark.parametrize(
    ("key", "weights", "macs"),
    [
        (LayerKey("conv2d", 16, 32, (28, 28), (14, 14), (3, 3), (2, 2), (1, 1)), 4608, 4608 * 196),
        (LayerKey("grouped", 16, 32, (14, 14), (14, 14), (3, 3), groups=4), 32 * 4 * 9, 32 * 4 * 9 * 196),
        (LayerKey("depthwise", 16, 16, (14, 14), (14, 14), (3, 3), groups=16), 144, 144 * 196),
        (LayerKey("conv_transpose2d", 8, 4, (7, 7), (14, 14), (2, 2), (2, 2)), 128, 128 * 49),
        (LayerKey("linear", 64, 10), 640, 640),
        (LayerKey("add", 16, 16, (7, 7), (7, 7)), 0, 0),
    ],
)
def test_weights_and_macs_by_hand(key: LayerKey, weights: int, macs: int) -> None:
    assert (key.weights(), key.macs()) == (weights, macs)


def test_json_round_trip_keeps_keys_equal() -> None:
    key = LayerKey("conv2d", 16, 32, (28, 28), (14, 14), (3, 3), (2, 2), (1, 1))
    again = LayerKey.from_json(json.loads(json.dumps(key.to_json())))
    assert again == key
    assert hash(again) == hash(key)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"op": "pool"}, "unknown op"), ({"c_in": 0}, "positive"), ({"groups": 3}, "3 groups"), ({"colour": 1}, "colour")],
)
def test_nonsense_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LayerKey.from_json({"op": "conv2d", "c_in": 8, "c_out": 8, **change})
