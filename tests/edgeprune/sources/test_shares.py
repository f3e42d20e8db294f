"""Shares of a batch: nothing twice, nothing left out, and their weighted mean is the batch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from edgeprune.sources.augment import Augmentation
from edgeprune.sources.batches import Loader
from edgeprune.sources.shares import share, shares


@given(n=st.integers(1, 300), world=st.integers(1, 40))
def test_shares_are_the_batch(n, world):
    values, found = list(range(n)), [share(n, rank, world) for rank in range(world)]
    parts = [values[start:stop] for start, stop, _ in found]
    if n < world:
        assert all(part == values for part in parts)
    else:
        assert [value for part in parts for value in part] == values
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    mean = sum(weight * sum(part) / len(part) for part, (_, _, weight) in zip(parts, found, strict=True)) / world
    assert mean == pytest.approx(sum(values) / n)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_a_loader_reads_its_share_alone_and_draws_what_it_would_draw_in_the_whole(world):
    torch.manual_seed(0)
    read: list[int] = []

    class Counted(torch.utils.data.Dataset):
        images = torch.rand(51, 1, 8, 8)

        def __len__(self):
            return 51

        def __getitem__(self, index):
            read.append(index)
            return self.images[index], index

    augmented = Augmentation(shift=2, flip=True, crop=0.7)
    loader = Loader(Counted(), 16, shuffle=True, augmentation=augmented, seed=3)
    loader.epoch = 2
    whole = list(loader)
    read.clear()
    parts = [list(loader.shares(rank, world)) for rank in range(world)]
    assert sorted(read) == list(range(51))
    for number, (images, targets) in enumerate(whole):
        assert torch.equal(torch.cat([part[number][0] for part in parts]), images)
        assert torch.equal(torch.cat([part[number][1] for part in parts]), targets)


def test_any_loader_any_structure():
    inputs = (torch.arange(10), torch.arange(10, 20))
    targets = {"boxes": torch.arange(20).view(10, 2), "more": [torch.arange(10)]}
    (first, first_targets, weight), (second, second_targets, _) = (
        next(iter(shares([(inputs, targets)], rank, 2))) for rank in (0, 1)
    )
    assert weight == 1
    assert torch.equal(torch.cat([first[1], second[1]]), inputs[1])
    assert torch.equal(torch.cat([first_targets["boxes"], second_targets["boxes"]]), targets["boxes"])
    assert torch.equal(torch.cat([first_targets["more"][0], second_targets["more"][0]]), targets["more"][0])
    data = TensorDataset(torch.rand(6, 3), torch.arange(6))
    assert [targets.tolist() for _, targets, _ in shares(Loader(data, 4), 1, 2)] == [[2, 3], [5]]
