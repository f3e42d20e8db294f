"""Data pruning keeps exactly as many images as asked for, of every class its share."""

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.sources.subset import keep

LABELS = torch.tensor([0] * 60 + [1] * 30 + [2] * 9 + [3] * 1)


def counts(kept: torch.Tensor) -> list[int]:
    return torch.bincount(LABELS[kept], minlength=4).tolist()


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.33, 0.5, 0.777, 1.0])
@pytest.mark.parametrize("stratified", [True, False])
def test_exact_counts(fraction: float, stratified: bool) -> None:
    kept = keep(LABELS, fraction, stratified=stratified)
    assert len(kept) == len(set(kept.tolist())) == round(100 * fraction)
    assert kept.tolist() == sorted(kept.tolist())


def test_every_class_keeps_its_share_by_largest_remainder() -> None:
    """20 of 100: shares 12, 6, 1.8 and 0.2."""
    assert counts(keep(LABELS, 0.2)) == [12, 6, 2, 0]


@pytest.mark.parametrize("stratified", [True, False])
def test_floors_of_rare_classes(stratified: bool) -> None:
    scores = torch.arange(100.0).flip(0)  # class 0 is the hardest, class 3 the easiest
    kept = counts(keep(LABELS, 0.2, scores, floor=4, stratified=stratified))
    assert kept == ([10, 5, 4, 1] if stratified else [11, 4, 4, 1])


def test_the_hardest_or_the_easiest_stay() -> None:
    scores = torch.arange(100.0)
    hard, easy = keep(LABELS, 0.1, scores), keep(LABELS, 0.1, scores, hardest=False)
    assert hard.tolist() == [*range(54, 60), 87, 88, 89, 98]
    assert easy.tolist() == [*range(6), 60, 61, 62, 90]
    assert keep(LABELS, 0.05, scores, stratified=False).tolist() == [95, 96, 97, 98, 99]


def test_random_choice_is_the_seeds() -> None:
    assert torch.equal(keep(LABELS, 0.5, seed=1), keep(LABELS, 0.5, seed=1))
    assert not torch.equal(keep(LABELS, 0.5, seed=1), keep(LABELS, 0.5, seed=2))


def test_what_cannot_be_kept_is_told() -> None:
    with pytest.raises(UsageError, match=r"fraction of 1\.5"):
        keep(LABELS, 1.5)
    with pytest.raises(UsageError, match="4 images are kept, but 5 of each of 4 classes are 16"):
        keep(LABELS, 0.04, floor=5)
