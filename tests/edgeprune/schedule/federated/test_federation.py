"""Server and clients together, in one process: sizes of messages, votes, lost clients, what stays and what moves."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.recipe import Recovery
from edgeprune.recover.work import Length, Work
from edgeprune.schedule.federated.carriers import InTurn
from edgeprune.schedule.federated.masking import Masking
from edgeprune.schedule.federated.message import Message
from edgeprune.schedule.federated.pool import weight_pool
from edgeprune.schedule.federated.server import Server
from edgeprune.schedule.federated.settings import Federation
from edgeprune.schedule.fedtiny import FedTiny, MaskedFedTiny, clients
from edgeprune.schedule.masks import strongest

QUICK = {"clients": 4, "per_round": 2, "concentration": 0.5, "candidates": 3}


class Watched(InTurn):
    """A carrier that keeps what was asked and answered."""

    def ask(self, messages):
        found = super().ask(messages)
        self.log = [*getattr(self, "log", []), (dict(messages), dict(found))]
        return found


@pytest.fixture
def federation(work) -> Callable[..., tuple[Server, Watched]]:
    """federation(settings, loses=) is a server of single weights at a tenth of them, and its carrier."""

    def make(settings: Federation, loses=None, masking: Masking | None = None) -> tuple[Server, Watched]:
        given = work()
        masking = masking or Masking()
        carrier = Watched(clients(settings, given, masking), loses)
        return Server(given.dense, masking, carrier, settings, 0.05, 0), carrier

    return make


def pool_of(server: Server, count: int = 3):
    masks = server.masking.masks(copy.deepcopy(server.carrier._clients[0].network))
    return weight_pool(server.masking.strengths(server.state, masks.alive), 0.1, count, 0)


def free(server: Server) -> int:
    """Floating-point values that are no masked weights: batch norms and biases."""
    return sum(t.numel() for n, t in server.state.items() if t.is_floating_point() and n not in server.alive)


def test_messages_are_as_large_as_specified(federation) -> None:
    server, carrier = federation(Federation(**QUICK, every=2, until=1.0, blocks=1))
    server.choose(pool_of(server))
    alive = sum(int(mask.sum()) for mask in server.alive.values())
    weights = 4 * (alive + free(server))
    bits = sum(-(-mask.numel() // 8) for mask in server.alive.values())
    norms = 4 * sum(tensor.numel() for name, tensor in server.state.items() if "running" in name)
    asked, answered = carrier.log[0]
    assert {m.bytes for m in asked.values()} == {weights + bits + 8}, "a candidate: weights, mask, its number"
    assert {m.bytes for m in answered.values()} == {norms + 8}, "statistics and a count: no weights, no images"
    asked, answered = carrier.log[1]
    assert {m.bytes for m in asked.values()} == {norms + 8}
    assert {m.bytes for m in answered.values()} == {2 * 8}, "a loss and a count"
    start = len(carrier.log)
    server.train(4)
    rounds = carrier.log[start:]
    numbers = 4 * 8  # version, round, learning rate, epochs
    for number, (asked, answered) in enumerate(rounds, start=1):
        for client, message in asked.items():
            # A mask goes out once after each change, and to nobody who has confirmed it.
            new = bits if message.part("mask") else 0
            grow = {name: int(array[0]) for name, array in message.part("grow").items()}
            assert bool(grow) == (number == 2), "slopes are asked for every second round, and none in the last"
            assert message.bytes == weights + new + numbers + 4 * len(grow)
            assert answered[client].bytes == weights + 2 * 8 + 8 * sum(grow.values()), "4 for an index, 4 for a slope"
    assert len(server.densities) == 1


def test_a_mask_is_sent_until_it_is_confirmed(federation) -> None:
    def loses(asked: int, client: int, _: Message) -> str:
        return "reply" if (asked, client) == (1, 2) else ""

    server, carrier = federation(Federation(**{**QUICK, "per_round": 4}, every=0), loses)
    server.set_masks(pool_of(server, 1)[0][1])
    server.train(3)
    sent = [[bool(message.part("mask")) for message in asked.values()] for asked, _ in carrier.log]
    assert sent == [[True] * 4, [False, False, True, False], [False] * 4]


@pytest.mark.parametrize("fate", ["request", "reply"])
def test_lost_clients_are_survived(federation, fate: str) -> None:
    """Every third message is lost on its way, or its answer is: nothing gets out of step."""
    count = 0

    def loses(*_: object) -> str:
        nonlocal count
        count += 1
        return fate if count % 3 == 0 else ""

    server, carrier = federation(Federation(**QUICK, every=1, until=1.0, blocks=2), loses)
    server.choose(pool_of(server))
    whole = sum(int(mask.sum()) for mask in server.alive.values())
    server.train(6)
    assert server.ledger.lost == sum(len(asked) - len(answered) for asked, answered in carrier.log) > 3
    assert sum(int(mask.sum()) for mask in server.alive.values()) == whole
    assert len(server.densities) >= 3
    state = server.masked_state()
    for name, mask in server.alive.items():
        assert not bool(state[name][~mask].any())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())


def test_a_round_without_answers_changes_nothing_and_three_of_them_end_it(federation) -> None:
    def nobody_after_the_second(asked: int, *_: object) -> str:
        return "request" if asked > 2 else ""

    server, _ = federation(Federation(**QUICK, every=0), nobody_after_the_second)
    server.set_masks(pool_of(server, 1)[0][1])
    states = []
    with pytest.raises(EnvironmentProblem, match="No client answered in 3 rounds"):
        server.train(9, lambda *_: states.append({n: t.clone() for n, t in server.state.items()}))
    assert len(states) == 2
    assert all(torch.equal(states[-1][name], tensor) for name, tensor in server.state.items())
    silent, _ = federation(Federation(**QUICK), lambda *_: "request")
    with pytest.raises(EnvironmentProblem, match="for any candidate"):
        silent.choose(pool_of(silent))


def test_the_votes_choose_and_the_votes_are_the_losses_of_all_clients(federation) -> None:
    server, carrier = federation(Federation(**QUICK))
    pool = pool_of(server, 1)
    worst = {name: strongest(-server.state[name].abs(), int(mask.sum())) for name, mask in pool[0][1].items()}
    chosen = server.choose([("worst", worst), *pool])
    assert chosen == "erk"
    assert server.votes["worst"] > server.votes["erk"]
    _, answered = carrier.log[-1]
    images = {client: reply.numbers["images"] for client, reply in answered.items()}
    mean = sum(r.numbers["loss"] * images[c] for c, r in answered.items()) / sum(images.values())
    assert server.votes["erk"] == pytest.approx(mean)
    assert all(torch.equal(server.alive[name], mask) for name, mask in pool[0][1].items())
    plain, others = federation(Federation(**QUICK, selection="vanilla"))
    assert plain.choose([("worst", worst), *pool]) == "worst", "the server's own statistics mislead them"
    assert all({reply.kind for reply in answers.values()} == {"loss"} for _, answers in others.log)
    assert plain.votes["erk"] > server.votes["erk"]
    assert torch.equal(plain.state["bn1.running_var"], federation(Federation())[0].state["bn1.running_var"])


def test_weights_are_averaged_by_images_and_norms_are_merged(federation) -> None:
    server, carrier = federation(Federation(**{**QUICK, "per_round": 4}, every=0))
    server.set_masks(pool_of(server, 1)[0][1])
    before = {name: tensor.clone() for name, tensor in server.state.items()}
    server.train(1)
    replies = list(carrier.log[0][1].values())
    images = torch.tensor([reply.numbers["images"] for reply in replies], dtype=torch.float64)
    values = torch.stack([torch.from_numpy(reply.part("weights")["fc.weight"]).double() for reply in replies])
    expected = (images / images.sum()) @ values
    torch.testing.assert_close(
        server.state["fc.weight"][server.alive["fc.weight"]].double(), expected, rtol=1e-5, atol=1e-6
    )
    mean, var = (
        torch.stack([torch.from_numpy(reply.part("weights")[f"bn1.running_{kind}"]).double() for reply in replies])
        for kind in ("mean", "var")
    )
    share = (images / images.sum())[:, None]
    spread = (share * (var + mean.square())).sum(0) - (share * mean).sum(0).square()
    torch.testing.assert_close(server.state["bn1.running_var"].double(), spread, rtol=1e-4, atol=1e-6)
    dead = ~server.alive["fc.weight"]
    assert torch.equal(server.state["fc.weight"][dead], before["fc.weight"][dead])


def test_channels_are_sent_slim_and_the_masked_ones_stay_as_they_were(federation, work) -> None:
    given = work()
    masking = Masking(given.coupling, tuple(given.kept))
    server, carrier = federation(Federation(**QUICK, every=0), masking=masking)
    alive = {n: torch.zeros(given.coupling.groups[n].units, dtype=torch.bool) for n in given.kept}
    for name, units in given.kept.items():
        alive[name][units] = True
    server.set_masks(alive)
    before = {name: tensor.clone() for name, tensor in server.state.items()}
    server.train(2)
    slim = given.widths.apply(given.dense).state_dict()
    size = 4 * sum(tensor.numel() for tensor in slim.values() if tensor.is_floating_point())
    assert {reply.bytes for _, answered in carrier.log for reply in answered.values()} == {size + 2 * 8}
    dead = masking.dead(alive, before)
    moved = 0
    for name, tensor in server.state.items():
        if name in dead:
            assert torch.equal(tensor[dead[name]], before[name][dead[name]])
            moved += int((tensor != before[name]).sum())
    assert moved > 0


def test_the_slopes_of_masked_channels_are_those_of_the_stored_weights(federation, work) -> None:
    """A client gets the stored weights of the block, and answers with the slopes of gates on them."""
    given = work()
    masking = Masking(given.coupling, tuple(given.kept))
    server, carrier = federation(Federation(**QUICK, every=1, until=1.0, blocks=1, alpha=1.0), masking=masking)
    alive = {n: torch.zeros(given.coupling.groups[n].units, dtype=torch.bool) for n in given.kept}
    for name, units in given.kept.items():
        alive[name][units] = True
    server.set_masks(alive)
    server.train(2)
    asked, answered = carrier.log[0]
    for client, message in asked.items():
        assert message.part("stored")
        slopes = answered[client].part("slope")
        assert set(slopes) == set(message.part("grow"))
        assert all(bool((array != 0).any()) for array in slopes.values()), "weights of 0 would have no slope"
    assert {n: int(m.sum()) for n, m in server.alive.items()} == {n: len(u) for n, u in given.kept.items()}


def short(make: Callable[..., Work], epochs: int = 2) -> Work:
    return replace(make(), training=Recovery(epochs=epochs, lr=0.05, reestimate=False))


def test_as_a_schedule_the_widths_are_those_of_the_search_and_no_epoch_is_left(work) -> None:
    given = short(work)
    before = {name: tensor.clone() for name, tensor in given.dense.state_dict().items()}
    start = FedTiny(**QUICK, carrier="in-turn")(given)
    slim = given.widths.apply(given.dense)
    assert {n: t.shape for n, t in start.network.state_dict().items()} == {
        n: t.shape for n, t in slim.state_dict().items()
    }
    assert given.after(start, None).training.epochs == 0, "nothing is trained on all images"
    assert start.facts["candidate"] == min(start.facts["votes"], key=start.facts["votes"].get)
    assert start.facts["rounds"] == 4
    assert sum(start.facts["images_of_clients"]) == len(given.data.train)
    assert all(torch.equal(before[name], tensor) for name, tensor in given.dense.state_dict().items())
    metrics = given.task.evaluate(start.network, given.val)
    assert metrics["accuracy"] == pytest.approx(start.epochs[-1].metrics["accuracy"]), "masked and slim are one network"


def test_the_masked_form_keeps_its_promises(work) -> None:
    made = MaskedFedTiny(**QUICK, every=1, until=1.0, carrier="in-turn")(short(work, 3))
    assert [entry.what for entry in made.properties if not entry.holds] == []
    assert made.facts["adjustments"] > 2
    fixed = MaskedFedTiny(**QUICK, selection="none", every=0, carrier="in-turn")(short(work, 1))
    assert (fixed.facts["candidate"], fixed.facts["votes"], fixed.facts["adjustments"]) == ("erk", {}, 0)


def test_what_cannot_be_is_refused_before_any_work() -> None:
    with pytest.raises(UsageError, match="there are 0 epochs"):
        FedTiny().check(Length(0, 10))
    with pytest.raises(UsageError, match="masks change every 9 rounds, and only in the first 2 of 4"):
        FedTiny(every=9).check(Length(2, 10))
    for wrong in ({"per_round": 11}, {"concentration": 0}, {"alpha": 2}, {"carrier": "pigeon"}, {"blocks": 0}):
        with pytest.raises(UsageError):
            FedTiny(**wrong)
    with pytest.raises(UsageError, match="density 0"):
        MaskedFedTiny(density=0)
