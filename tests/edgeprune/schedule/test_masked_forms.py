"""The masked forms of `--masked`: each keeps what its paper promises, and the promise would be seen to fail."""

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.recipe import load_recipe, masked_recipes
from edgeprune.recover.work import Length
from edgeprune.registry import make
from edgeprune.schedule.masked import Masked
from edgeprune.schedule.masked_forms import MASKED, AtInit, MaskedPerp, OneShot, Rounds, shuffle
from edgeprune.schedule.masked_network import exact_layers, exact_total, kept_minimum, silent
from edgeprune.schedule.masks import WeightMasks
from edgeprune.schedule.updates import prune_globally

SCORES = {"small": torch.tensor([0.1, 0.2, 0.3, 0.4]), "large": torch.linspace(1, 9, 36).reshape(6, 6)}


def test_the_floor_takes_from_the_others_and_the_total_stays_exact() -> None:
    plain = prune_globally(SCORES, 0.5)
    assert int(plain["small"].sum()) == 0, "the smallest weights are all in one layer"
    floored = prune_globally(SCORES, 0.5, minimum=5.0)  # 5 % of 40 weights: 2 in each layer
    assert {name: int(mask.sum()) for name, mask in floored.items()} == {"small": 2, "large": 18}
    assert floored["small"].tolist() == [False, False, True, True]
    none = prune_globally(SCORES, 0.5, minimum=1e-9)
    assert all(torch.equal(none[name], plain[name]) for name in plain)


def test_what_a_paper_promises_is_looked_up_not_believed(dense) -> None:
    masks = WeightMasks(dense)
    alive = {name: torch.ones_like(mask) for name, mask in masks.alive.items()}
    assert silent(dense, alive).holds
    alive["fc.weight"][0, 0] = False
    found = silent(dense, alive)
    assert (found.holds, found.found) == (False, "1 are not")
    assert not exact_total(alive, 1.0).holds
    assert exact_layers(alive, 1.0).found == "fc.weight"
    alive["conv1.weight"][:] = False
    assert not kept_minimum(alive, 1.0).holds


@pytest.mark.parametrize(
    "form",
    [OneShot(0.1), OneShot(0.1, minimum=0.0), Masked(0.1, globally=True, minimum=0.05, updates=4), MaskedPerp(rank=2),
     AtInit(0.2), AtInit(0.2, by="snip", shuffled=True), AtInit(0.2, by="grasp"), AtInit(0.2, by="magnitude"),
     Rounds(1)],
    ids=lambda form: f"{type(form).__name__}-{getattr(form, 'by', '')}",
)  # fmt: skip
def test_the_promises_hold_and_the_dense_network_is_not_touched(work, form) -> None:
    given = work()
    before = {name: tensor.clone() for name, tensor in given.dense.state_dict().items()}
    made = form(given)
    assert [entry.what for entry in made.properties if not entry.holds] == []
    assert all(torch.equal(before[name], tensor) for name, tensor in given.dense.state_dict().items())
    shapes = {name: tensor.shape for name, tensor in made.network.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in before.items()}, "nothing gets smaller"
    zeros = sum(int((made.network.get_parameter(name) == 0).sum()) for name in made.alive)
    assert zeros == sum(int((~mask).sum()) for mask in made.alive.values())
    if isinstance(form, Rounds):
        assert made.facts["densities"][1] == pytest.approx(1 - made.facts["pq_index"][0], abs=2e-3)


def test_a_shuffled_mask_keeps_the_density_of_every_layer() -> None:
    alive = {"a": torch.tensor([[True, False, False], [True, False, False]]), "b": torch.rand(50, 8) < 0.3}
    drawn = shuffle(alive, 0)
    assert {n: int(m.sum()) for n, m in drawn.items()} == {n: int(m.sum()) for n, m in alive.items()}
    assert not torch.equal(drawn["b"], alive["b"])


def test_every_form_of_a_recipe_can_be_made() -> None:
    names = ("global-mp", "global-mp-gradual", "gradual", "granet", "perp", "precropping", "sap")
    assert set(names) <= set(masked_recipes())
    for name in masked_recipes():
        form = make(load_recipe(name).masked, MASKED)
        form.check(Length(epochs=20, steps_per_epoch=20))


@pytest.mark.parametrize(
    ("form", "length", "said"),
    [(Masked(0.1, updates=10), Length(1, 10), "the masks change 10 times, but have 7 steps"),
     (Rounds(4), Length(4, 100), "need 5 epochs, and have 4"), (AtInit(), Length(0, 100), "has 0 epochs")],
)  # fmt: skip
def test_a_training_that_is_too_short_is_refused(form, length, said) -> None:
    with pytest.raises(UsageError, match=said):
        form.check(length)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(OneShot, {"density": 0}), (AtInit, {"density": 1.5}), (MaskedPerp, {"rung": "roof"}), (Rounds, {"rounds": 0}),
     (Masked, {"density": 0.5, "initial": 0.4}), (Masked, {"density": 0.5, "regrow": 0.1, "regrow_last": 0.2})],
)  # fmt: skip
def test_settings_that_make_no_sense(kind, settings) -> None:
    with pytest.raises(UsageError):
        kind(**settings)
