import pytest
import torch

from edgeprune.schedule.updates import minimum_threshold, prune_globally, prune_to, regenerate, with_minimum


def draw(seed: int, **sizes: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, generator=generator) for name, size in sizes.items()}


def test_the_strongest_stay() -> None:
    scores = {"a": torch.tensor([0.3, 0.9, 0.1, 0.5]), "b": torch.tensor([2.0, 1.0, 3.0])}
    alive = prune_to(scores, {"a": 2, "b": 1})
    assert alive["a"].tolist() == [False, True, False, True]
    assert alive["b"].tolist() == [False, False, True]
    together = prune_globally(scores, 3 / 7)
    assert [mask.tolist() for mask in together.values()] == [[False] * 4, [True] * 3]


@pytest.mark.parametrize("fraction", [0.0, 0.005, 0.3, 0.5, 1.0])
def test_regeneration_keeps_the_number_of_every_layer(fraction) -> None:
    scores, growth = draw(0, a=40, b=7), draw(1, a=40, b=7)
    alive = prune_to(scores, {"a": 11, "b": 3})
    grown = regenerate(alive, scores, growth, fraction)
    assert {name: int(mask.sum()) for name, mask in grown.items()} == {"a": 11, "b": 3}


def test_without_regrowth_it_is_gradual_magnitude_pruning() -> None:
    scores, growth = draw(0, a=40), draw(1, a=40)
    alive = prune_to(scores, {"a": 11})
    assert torch.equal(regenerate(alive, scores, growth, 0.0)["a"], alive["a"])


def test_what_goes_and_what_comes_back_by_hand() -> None:
    scores = {"a": torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])}
    growth = {"a": torch.tensor([0.0, 0.0, 0.0, 7.0, 9.0, 8.0])}
    alive = {"a": torch.tensor([True, True, True, True, False, False])}
    # ceil(.5 * 4) = 2 go: those of score 3 and 2; the largest growth among the four masked: 9 and 8.
    assert regenerate(alive, scores, growth, 0.5)["a"].tolist() == [True, True, False, False, True, True]
    growth["a"][3] = 8.5  # one that just went may come back
    assert regenerate(alive, scores, growth, 0.5)["a"].tolist() == [True, True, False, True, True, False]


def test_the_minimum_of_every_layer_and_the_exact_total() -> None:
    sizes = {"stem": 20, "thin": 300, "wide": 10_000, "head": 2_000}  # m = int(12320 * 1 / 100) = 123
    found = with_minimum(sizes, {"stem": 0.9, "thin": 0.99, "wide": 0.9, "head": 0.5}, 0.9, percent=1.0)
    kept = {name: (1 - found[name]) * size for name, size in sizes.items()}
    assert sum(found[n] * sizes[n] for n in sizes) == pytest.approx(0.9 * 12_320)
    assert found["stem"] == 0.0, "a layer smaller than the minimum stays dense"
    assert all(kept[name] >= min(size, 123) - 1e-6 for name, size in sizes.items())
    assert max(found.values()) <= 1


def test_without_a_minimum_nothing_changes() -> None:
    sizes = {"a": 100, "b": 300}
    assert minimum_threshold(sizes, 0.75, percent=0.0) == pytest.approx({"a": 0.75, "b": 0.75})
    own = {"a": 0.6, "b": 0.8}
    assert with_minimum(sizes, own, 0.75, percent=0.0) == pytest.approx(own)
    with pytest.raises(ValueError, match="leave less than"):
        minimum_threshold(sizes, 0.9, percent=10.0)
