import pytest
import torch
from torch import Tensor

from edgeprune.allocate.pq_index import adaptive_prune, bound, kept_share, pq_index


def test_known_values() -> None:
    one_hot = torch.zeros(100)
    one_hot[7] = -3.0
    assert pq_index(torch.full((50,), 0.2)) == pytest.approx(0.0)
    assert pq_index(one_hot) == pytest.approx(0.99)  # 1 - 100^(1 - 2)
    assert pq_index(torch.tensor([1.0, 4.0])) == pytest.approx(0.1)  # 1 - ((1 + 2) / 2)^2 / 2.5
    assert pq_index(torch.zeros(3)) == pq_index(torch.zeros(0)) == 0.0


def test_of_a_gaussian() -> None:
    normal = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    assert pq_index(normal) == pytest.approx(0.1528, abs=2e-3)
    assert kept_share(normal) == pytest.approx(0.847, abs=2e-3)
    assert pq_index(normal, 1, 2) == pytest.approx(1 - (2 / torch.pi) ** 0.5, abs=2e-3)
    assert kept_share(normal, 1, 2) == pytest.approx(2 / torch.pi, abs=2e-3)


@pytest.mark.parametrize("change", [lambda w: 7e-6 * w, lambda w: torch.cat([w, w]), lambda w: -w])
def test_neither_scale_nor_copies_nor_signs_matter(change) -> None:
    w: Tensor = torch.rand(31, generator=torch.Generator().manual_seed(1))
    assert pq_index(change(w)) == pytest.approx(pq_index(w))


def test_what_a_round_removes() -> None:
    w = torch.tensor([1.0] * 8 + [0.0] * 2)  # I = 1 - .8^2 / .8 = .2, so r = 10 * (1 - .2)^1 = 8
    assert bound(w) == pytest.approx(8.0)
    assert adaptive_prune(w) == 2
    assert adaptive_prune(w, gamma=3) == 6
    assert adaptive_prune(w, gamma=9) == 9  # beta
    assert bound(w, eta=1.0) == pytest.approx(2.0)  # (1 + 1)^-2
    assert adaptive_prune(torch.ones(10)) == 0
