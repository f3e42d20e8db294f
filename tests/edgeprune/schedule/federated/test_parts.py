"""The parts of FedTiny by hand: messages, the split, merged statistics, progressive pruning, candidates."""

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.schedule.federated.message import Message, pack, pack_masks, unpack, unpack_masks
from edgeprune.schedule.federated.norms import local_statistics, merge
from edgeprune.schedule.federated.pool import weight_pool, whole_counts
from edgeprune.schedule.federated.progressive import adjust, blocks, exchanged, fraction, gathered, largest
from edgeprune.schedule.federated.split import dirichlet_split
from edgeprune.schedule.updates import regenerate


def test_only_what_is_alive_travels() -> None:
    state = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([7.0, 8.0]), "steps": torch.tensor(3)}
    dead = {"w": torch.tensor([[True, False, True], [False, True, True]])}
    sent = pack(state, dead)
    assert {name: array.tolist() for name, array in sent.items()} == {"w": [1.0, 3.0], "b": [7.0, 8.0]}
    assert Message("train", sent, {"round": 1}).bytes == 4 * 4 + 8
    other = {"w": torch.full((2, 3), -1.0), "b": torch.zeros(2), "steps": torch.tensor(5)}
    found = unpack(sent, dead, other)
    assert found["w"].tolist() == [[-1.0, 1.0, -1.0], [3.0, -1.0, -1.0]], "what is dead stays as it was there"
    assert (found["b"].tolist(), int(found["steps"])) == ([7.0, 8.0], 5)
    assert float(other["w"].sum()) == -6, "and the original is not touched"


def test_masks_travel_as_bits() -> None:
    alive = {"a": torch.rand(5, 7) < 0.5, "b": torch.ones(3, dtype=torch.bool)}
    bits = pack_masks(alive)
    assert {name: array.nbytes for name, array in bits.items()} == {"a": 5, "b": 1}
    back = unpack_masks(bits, {name: torch.zeros_like(mask) for name, mask in alive.items()})
    assert all(torch.equal(back[name], mask) for name, mask in alive.items())


def test_every_image_has_one_owner_and_a_small_concentration_parts_the_classes() -> None:
    labels = torch.arange(10).repeat(100)
    most = {}
    for concentration in (0.1, 100.0):
        parts = dirichlet_split(labels, 5, concentration, seed=0)
        assert torch.equal(torch.cat(parts).sort().values, torch.arange(1000))
        assert min(map(len, parts)) >= 8
        shares = [torch.bincount(labels[part], minlength=10) / len(part) for part in parts]
        most[concentration] = float(torch.stack([share.max() for share in shares]).mean())
    assert most[0.1] > 0.35 > 0.15 > most[100.0]
    again = dirichlet_split(labels, 5, 100.0, seed=0)
    assert all(torch.equal(one, other) for one, other in zip(parts, again, strict=True))
    with pytest.raises(UsageError, match="cannot be shared out to 200 clients"):
        dirichlet_split(labels, 200, 0.1, seed=0)


def test_merged_statistics_are_those_of_all_data_together() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    parts = [(torch.randn(n, 1, 2, 2) * scale + shift, torch.zeros(n)) for n, scale, shift in ((6, 1, 0), (30, 2, 5))]
    found = [local_statistics(network, [part]) for part in parts]
    assert [count for _, count in found] == [6, 30]
    merged = merge([statistics for statistics, _ in found], [count for _, count in found])
    seen = network[0](torch.cat([images for images, _ in parts])).double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(merged["1.running_mean"], seen.mean(1), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(merged["1.running_var"], seen.var(1, unbiased=False), rtol=1e-6, atol=1e-6)
    naive = (6 * found[0][0]["1.running_var"] + 30 * found[1][0]["1.running_var"]) / 36
    assert (merged["1.running_var"] > 1.2 * naive).all(), "the spread of the means is a part of it"
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training


def test_the_share_that_is_exchanged() -> None:
    assert fraction(0, 300, 0.2) == 0.2
    assert fraction(150, 300, 0.2) == pytest.approx(0.1)
    assert fraction(300, 300, 0.2) == fraction(400, 300, 0.2) == 0
    alive = torch.arange(100) < 90
    assert exchanged(alive, 0.1) == 9
    assert exchanged(alive, 0.2) == 10, "there are no more masked ones"


def test_the_last_block_comes_first_and_each_layer_once() -> None:
    assert blocks(["a", "b", "c", "d", "e"], 2) == [["d", "e"], ["a", "b", "c"]]
    assert blocks(["a", "b"], 5) == [["b"], ["a"]]


def test_clients_send_the_largest_slopes_of_masked_entries() -> None:
    alive = {"w": torch.tensor([[True, False, False], [False, True, False]])}
    slopes = {"w": torch.tensor([[9.0, -3.0, 1.0], [2.0, 8.0, 0.5]])}
    index, values = largest(slopes, alive, {"w": 2})["w"]
    assert (index.dtype, values.dtype) == (np.int32, np.float32)
    assert (index.tolist(), values.tolist()) == ([1, 3], [-3.0, 2.0])


def test_the_sum_of_what_was_sent_is_the_dense_sum_on_its_union() -> None:
    torch.manual_seed(0)
    alive = {"w": torch.rand(20) < 0.4}
    slopes = [{"w": torch.randn(20)} for _ in range(3)]
    weights = [10.0, 30.0, 60.0]
    found = gathered([largest(each, alive, {"w": 4}) for each in slopes], weights, alive)["w"]
    dense = torch.zeros(20, dtype=torch.float64)
    union = set()
    for each, weight in zip(slopes, weights, strict=True):
        own = largest(each, alive, {"w": 4})["w"][0].tolist()
        union |= set(own)
        dense[own] += weight / 100 * each["w"][own].double()
    torch.testing.assert_close(found, dense)
    assert set(found.nonzero().flatten().tolist()) == union
    assert not alive["w"][list(union)].any()


def test_an_adjustment_by_hand() -> None:
    alive = {"w": torch.tensor([True, True, True, False, False]), "other": torch.tensor([True, False])}
    strengths = {"w": torch.tensor([0.3, 0.1, 0.2, 9.0, 9.0]), "other": torch.ones(2)}
    slopes = {"w": torch.tensor([0.0, 0.0, 0.0, -5.0, 1.0])}
    found = adjust(alive, strengths, slopes, {"w": 1})
    assert found["w"].tolist() == [True, False, True, True, False]
    assert torch.equal(found["other"], alive["other"])
    none = adjust(alive, strengths, {"w": torch.zeros(5)}, {"w": 1})
    assert none["w"].tolist() == alive["w"].tolist(), "what just went may come back"


def test_one_client_with_all_data_is_the_centralised_update() -> None:
    """RigL's: the weakest share goes, as many of the largest gradients come."""
    torch.manual_seed(1)
    alive = {"w": torch.rand(40) < 0.5}
    strengths, slopes = {"w": torch.rand(40)}, {"w": torch.randn(40)}
    count = exchanged(alive["w"], 0.25)
    sent = [largest(slopes, alive, {"w": count})]
    found = adjust(alive, strengths, gathered(sent, [7.0], alive), {"w": count})
    growth = {"w": slopes["w"].abs().masked_fill(alive["w"], 0)}
    central = regenerate(alive, strengths, growth, count / int(alive["w"].sum()))
    assert torch.equal(found["w"], central["w"])
    assert not torch.equal(found["w"], alive["w"])


def test_candidates_have_one_size_and_unlike_layers() -> None:
    torch.manual_seed(0)
    scores = {"stem": torch.rand(8, 1, 3, 3), "middle": torch.rand(16, 8, 3, 3), "head": torch.rand(10, 16)}
    total = sum(score.numel() for score in scores.values())
    pool = weight_pool(scores, 0.15, 7, seed=0)
    assert [name for name, _ in pool] == ["erk", "global", "uniform", "equal-numbers", "drawn-0", "drawn-1", "drawn-2"]
    assert {sum(int(mask.sum()) for mask in alive.values()) for _, alive in pool} == {round(0.15 * total)}
    assert len({tuple(int(mask.sum()) for mask in alive.values()) for _, alive in pool}) == 7
    for _, alive in pool:
        assert all(bool(mask.any()) for mask in alive.values())
        for name, mask in alive.items():
            assert scores[name][mask].min() >= scores[name][~mask].max() if not mask.all() else True


def test_counts_meet_the_total_where_layers_are_full_or_empty() -> None:
    counts = whole_counts({"a": 10, "b": 1000}, {"a": 5.0, "b": 0.01}, 0.5)
    assert (counts["a"], sum(counts.values())) == (10, 505)
    assert whole_counts({"a": 10, "b": 1000}, {"a": 1e-9, "b": 0.1}, 0.1) == {"a": 1, "b": 100}
