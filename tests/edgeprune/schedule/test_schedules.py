"""What each schedule promises of the slim network and of what it did on the way."""

import copy

import pytest
import torch

from edgeprune.errors import UsageError
from edgeprune.recover.work import Length
from edgeprune.schedule import SCHEDULES
from edgeprune.schedule.gradual import Gradual, GraNet, Pruner, Regenerator
from edgeprune.schedule.mask_sparsity import MaskSparsity, Penalty, scales
from edgeprune.schedule.masks import ChannelMasks
from edgeprune.schedule.sap import SAP, turn_up


def widths_of(network) -> dict[str, int]:
    return {"conv1": network.conv1.out_channels, "conv3": network.conv3.out_channels}


@pytest.mark.parametrize("name", ["gradual", "granet", "sap", "mask-sparsity"])
def test_the_widths_are_those_of_the_search_whatever_is_ranked(work, name) -> None:
    """Exact final ratio; the dense network is untouched; the schedule's epochs are taken from the recovery's."""
    task = work()
    before = copy.deepcopy(task.dense.state_dict())
    settings = {"sap": {"rounds": 2, "share": 1.0}, "mask-sparsity": {}}.get(name, {"updates": 4})
    start = SCHEDULES[name](**settings)(task)
    assert widths_of(start.network) == {"conv1": 4, "conv3": 8}
    assert start.widths.kept["fc.weight"][1] == start.widths.kept["bn3.weight"][0]
    assert 1 <= len(start.epochs) <= task.training.epochs
    assert [epoch.epoch for epoch in start.epochs] == list(range(1, len(start.epochs) + 1))
    assert all(torch.equal(before[key], tensor) for key, tensor in task.dense.state_dict().items())


def test_units_follow_the_cubic_and_end_exactly(work) -> None:
    task = work()
    start = Gradual(share=1.0, updates=5)(task)
    total = sum(group.units for group in task.coupling.prunable.values())
    final = sum(task.counts.values())
    assert [u["units"] for u in start.facts["updates"]][-1] == final
    for number, update in enumerate(start.facts["updates"], start=1):
        expected = final + (total - final) * (1 - number / 5) ** 3
        assert update["units"] == pytest.approx(expected, abs=len(task.counts) / 2)


def test_channels_are_ranked_anew(work) -> None:
    """A rank that turns around in the training turns around who stays."""
    calls = []

    def rank(_):
        calls.append(len(calls))
        sign = 1.0 if len(calls) < 3 else -1.0
        return {name: sign * torch.arange(group.units) for name, group in work().coupling.prunable.items()}

    task = work(rank=rank)
    start = Gradual(share=0.5, updates=4)(task)
    assert len(calls) == 4
    assert start.widths.kept["fc.weight"][1] == tuple(range(8))


def test_masks_stay_after_the_last_update(work) -> None:
    task = work()
    network = copy.deepcopy(task.dense)
    masks = ChannelMasks(network, task.coupling, task.kept)
    pruner = Pruner(task, masks, [2, 4])
    sizes = []

    class Spy(Pruner):
        def after_step(self, step, optimizer):
            super().after_step(step, optimizer)
            sizes.append((step, int((network.fc.weight.abs().sum(0) > 0).sum())))

    pruner.__class__ = Spy
    task.finetune(network, epochs=1, companion=pruner)
    assert [size for step, size in sizes if step >= 4] == [8] * (len(sizes) - 3)
    assert dict(sizes)[2] == 9  # 16 - round(8 * (1 - (1/2)^3)) units are left after the first of two updates


def test_granet_without_regrowth_is_gradual_pruning(work) -> None:
    task = work()
    plain = Gradual(updates=4)(task)
    none = GraNet(updates=4, regrow=0.0, regrow_last=0.0, pruned=1.0)(task)
    assert none.widths.kept == plain.widths.kept
    state = plain.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in none.network.state_dict().items())


def test_granet_exchanges_channels_and_keeps_their_number(work) -> None:
    task = work()
    masks = ChannelMasks(copy.deepcopy(task.dense), task.coupling, task.kept)
    pruner = Regenerator(task, masks, [10, 20, 30, 40], GraNet(updates=4, pruned=0.5))
    scores = task.rank(task.dense)
    (name,) = [name for name, group in masks.groups.items() if group.units == 16]
    pruner.growth = {group: -scores[group] for group in scores}  # the weakest would grow most
    counts = []
    for number in range(1, 5):
        alive = pruner.update(number, scores)
        counts.append(int(alive[name].sum()))
    assert counts == [9, 8, 8, 8]  # final after half of the updates, then regeneration alone
    weakest = int(scores[name].argmin())
    assert bool(pruner.update(1, scores)[name][weakest]), "the weakest came back"


def test_a_training_that_was_interrupted_ends_the_same(work, tmp_path) -> None:
    class Stop(Exception):
        pass

    def stop(epoch, *_):
        if epoch == 2:
            raise Stop

    length = {"training": work().training.model_copy(update={"epochs": 3})}
    whole = Gradual(share=1.0, end=1.0, updates=4)(work(**length))
    broken = work(**length, checkpoint=tmp_path / "c", on_epoch=stop)
    with pytest.raises(Stop):
        Gradual(share=1.0, end=1.0, updates=4)(broken)
    again = Gradual(share=1.0, end=1.0, updates=4)(work(**length, checkpoint=tmp_path / "c"))
    assert again.facts == whole.facts
    state = again.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.network.state_dict().items())


def test_the_penalty_touches_only_what_will_go(work, digits) -> None:
    """The gradient that is added is exactly strength * sign on pruned scales and exactly 0 everywhere else."""
    task = work()
    network = copy.deepcopy(task.dense)
    with torch.no_grad():
        network.bn3.weight[::3] *= -1
    images, labels = digits.train.tensors
    torch.nn.functional.cross_entropy(network(images[:64]), labels[:64]).backward()
    before = {name: p.grad.clone() for name, p in network.named_parameters()}
    gone = scales(network, task.coupling, task.kept, pruned=True)
    assert set(gone) == {"bn1.weight", "bn2.weight", "bn3.weight"}
    assert int(gone["bn3.weight"].sum()) == 8
    Penalty(network, gone, 0.25).before_step(1)
    for name, parameter in network.named_parameters():
        added = parameter.grad - before[name]
        mask = gone.get(name, torch.zeros_like(parameter, dtype=torch.bool))
        assert not bool(added[~mask].any()), name
        torch.testing.assert_close(added[mask], 0.25 * parameter.detach()[mask].sign())


def test_mask_sparsity_parts_the_scales_and_global_sparsity_does_not(work) -> None:
    """The gap of the paper: largest pruned < 0.01 < smallest kept. Penalising all scales damages those that stay."""
    task = work(training=work().training.model_copy(update={"epochs": 6}))
    masked = MaskSparsity(share=1.0)(task).facts
    everywhere = MaskSparsity(share=1.0, everywhere=True)(task).facts
    assert masked["largest_pruned_scale"] < 0.01 < masked["smallest_kept_scale"]
    assert everywhere["smallest_kept_scale"] < 0.5 * masked["smallest_kept_scale"]


def test_sap_puts_the_survivors_back_to_where_they_started(work) -> None:
    task = work()
    start = SAP(rounds=2, share=1.0)(task)
    inherited = start.widths.apply(task.dense).state_dict()
    state = start.network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in inherited.items())
    kept = SAP(rounds=2, share=1.0, rewind=False)(task)
    assert not torch.equal(kept.network.conv3.weight, kept.widths.apply(task.dense).conv3.weight)
    assert [r["units"] for r in start.facts["rounds"]] == [18, 12]  # of 24: half of the way, then all of it


def test_the_index_turns_up_where_it_rises_after_a_fall() -> None:
    assert turn_up([0.3, 0.25, 0.2, 0.22, 0.3, 0.1]) == 4
    assert turn_up([0.3, 0.2, 0.1]) is None
    assert turn_up([0.1, 0.2, 0.3]) is None


def test_a_schedule_longer_than_the_training_is_refused_before_any_work() -> None:
    for schedule, length in (
        (Gradual(updates=10), Length(epochs=1, steps_per_epoch=12)),
        (Gradual(), Length(epochs=0, steps_per_epoch=100)),
        (SAP(rounds=3), Length(epochs=4, steps_per_epoch=100)),
        (MaskSparsity(), Length(epochs=0, steps_per_epoch=100)),
    ):
        with pytest.raises(UsageError, match=r"steps of training|rounds of pruning|0 epochs"):
            schedule.check(length)
    Gradual().check(Length(epochs=1, steps_per_epoch=14))
    SAP(rounds=3).check(Length(epochs=5, steps_per_epoch=1))


@pytest.mark.parametrize(
    "make",
    [lambda: Gradual(share=0.0), lambda: GraNet(regrow=0.1, regrow_last=0.2), lambda: SAP(p=2.0),
     lambda: MaskSparsity(strength=-1.0)],
)  # fmt: skip
def test_settings_that_make_no_sense(make) -> None:
    with pytest.raises(UsageError):
        make()
