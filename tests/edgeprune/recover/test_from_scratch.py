from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.recover.from_scratch import Scratch, step_decay
from edgeprune.recover.work import Length


def test_half_the_macs_is_twice_the_epochs() -> None:
    """160 epochs become 320, and the learning rate falls at 160 and 240."""
    scratch = Scratch("compute")
    assert scratch.epochs(160, 200, 100) == 320
    assert scratch.epochs(160, 313_730_000, 206_000_000) == 243  # int(243.67)
    assert Scratch("epochs").epochs(160, 200, 100) == 160
    assert Scratch("compute", cap=2.0).epochs(90, 500, 100) == 180
    rates = [step_decay(step, 320) for step in range(320)]
    assert [step for step in range(1, 320) if rates[step] != rates[step - 1]] == [160, 240]
    assert rates[0] == 1.0
    assert rates[160] == pytest.approx(0.1)
    assert rates[319] == pytest.approx(0.01)


def test_nothing_of_the_dense_network_is_left() -> None:
    """Fresh weights by the seed, no teacher, the number of epochs of the formula."""
    called = {}
    coupling = SimpleNamespace(macs=lambda counts=None: 300 if counts is None else 100)
    work = SimpleNamespace(
        seed=3,
        coupling=coupling,
        counts={"a": 1},
        training=SimpleNamespace(epochs=4),
        finetune=lambda network, **settings: called.update(settings, network=network),
    )
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    Scratch("compute")(work, first)
    Scratch("compute")(work, second)
    assert called["epochs"] == 12
    assert called["teacher"] is None
    assert torch.equal(first.weight, second.weight), "what was there before does not matter"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="0 epochs"):
        Scratch().check(Length(0, 10))
    with pytest.raises(UsageError, match="equal"):
        replace(Scratch(), equal="money")
