"""Fine-tuning, distillation, resume."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from edgeprune.errors import UsageError
from edgeprune.recover.distill import distillation_loss
from edgeprune.recover.finetune import FinetuneResult, finetune, parameter_groups, warmup_cosine
from edgeprune.recover.scratch import reinitialise
from edgeprune.sources.batches import Loader, loaders
from edgeprune.sources.cifar_resnet import CifarResNet
from edgeprune.sources.data import load_data
from edgeprune.task import Classification, make_task

TASK = Classification(10)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def run(model: nn.Module, epochs: int = 3, **settings: object) -> FinetuneResult:
    train, val, _ = loaders(load_data("builtin:digits"), 64, seed=0)
    return finetune(model, train, val, TASK, epochs=epochs, lr=settings.pop("lr", 0.1), **settings)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_learns_digits_and_keeps_the_best_epoch() -> None:
    model = small_net()
    result = run(model)
    assert result.best > 0.85
    assert result.best == max(entry.metrics["accuracy"] for entry in result.history)
    assert [entry.epoch for entry in result.history] == [0, 1, 2, 3]
    _, val, _ = loaders(load_data("builtin:digits"), 64)
    assert TASK.evaluate(model, val)["accuracy"] == result.best
    assert not model.training


def test_the_latest_of_equal_epochs_stays() -> None:
    """A handful of val images is soon all right; the epochs after that still learn, at a lower rate."""
    model = small_net()
    data = load_data("builtin:digits")
    train, _, _ = loaders(data, 64)
    result = finetune(model, train, Loader(Subset(data.val, range(20)), 20), TASK, epochs=8, lr=0.1)
    equals = [entry.epoch for entry in result.history if entry.metrics["accuracy"] == result.best]
    assert len(equals) > 1
    assert result.best_epoch == equals[-1]


def test_never_worse_than_before() -> None:
    model = small_net()
    run(model)
    good = state(model)
    result = run(model, epochs=1, lr=50.0)
    assert result.best_epoch == 0
    assert same(good, state(model))


def test_the_seed_decides() -> None:
    models = [small_net() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        run(model, epochs=1, seed=seed)
    assert same(state(models[0]), state(models[1]))
    assert not same(state(models[0]), state(models[2]))


def test_resume_repeats_nothing_and_ends_the_same(tmp_path: Path) -> None:
    whole, stopped = small_net(), small_net()
    run(whole, epochs=3, teacher=small_net())
    path = tmp_path / "checkpoint.safetensors"

    class Stop(Exception):
        pass

    def stop(epoch: int, *_: object) -> None:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        run(stopped, epochs=3, teacher=small_net(), resume_path=path, on_epoch=stop)
    seen: list[int] = []
    fresh = small_net()
    result = run(fresh, teacher=small_net(), resume_path=path, on_epoch=lambda epoch, *_: seen.append(epoch))
    assert seen == [3]
    assert same(state(whole), state(fresh))
    assert len(result.history) == 4
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_resume_of_a_finished_run_trains_nothing(tmp_path: Path) -> None:
    path, model, again = tmp_path / "c.safetensors", small_net(), small_net()
    run(model, epochs=1, resume_path=path)
    steps: list[int] = []
    run(again, epochs=1, resume_path=path, on_step=lambda step, *_: steps.append(step))
    assert steps == []
    assert same(state(model), state(again))


def test_resume_with_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    run(small_net(), epochs=1, resume_path=path)
    with pytest.raises(UsageError, match="epochs 1 there, 2 now"):
        run(small_net(), epochs=2, resume_path=path)
    path.write_bytes(b"broken")
    with pytest.raises(UsageError, match="is no checkpoint"):
        run(small_net(), epochs=1, resume_path=path)


def test_a_loss_that_is_not_finite_says_what_to_do() -> None:
    broken = make_task(lambda out, _: out.sum() * math.nan, lambda *_: 0.0)
    train, val, _ = loaders(load_data("builtin:digits"), 64)
    with pytest.raises(UsageError, match="the loss became nan at step 1") as caught:
        finetune(small_net(), train, val, broken, epochs=1, lr=0.1)
    assert "learning rate" in caught.value.cure


def test_alpha_0_is_the_plain_loss_bit_for_bit() -> None:
    plain, taught = small_net(), small_net()
    run(plain, epochs=1)
    run(taught, epochs=1, teacher=CifarResNet(8), alpha=0.0)
    assert same(state(plain), state(taught))


def test_alpha_1_with_the_teachers_own_outputs_is_nothing() -> None:
    logits = torch.randn(8, 10, requires_grad=True)
    loss = distillation_loss(TASK, logits, logits.detach(), torch.zeros(8).long(), alpha=1.0, tau=4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_gradient_is_about_the_same_at_every_temperature() -> None:
    torch.manual_seed(0)
    student, teacher, sizes = torch.randn(64, 10), torch.randn(64, 10), []
    for tau in (2.0, 4.0, 8.0):
        logits = student.clone().requires_grad_()
        distillation_loss(TASK, logits, teacher, torch.zeros(64).long(), alpha=1.0, tau=tau).backward()
        sizes.append(logits.grad.norm().item())
    assert max(sizes) / min(sizes) < 1.5


def test_the_teacher_is_not_touched_and_the_student_follows_it() -> None:
    teacher, student = small_net(), small_net()
    run(teacher, epochs=3)
    before = state(teacher.train())
    reinitialise(student, seed=5)
    run(student, epochs=3, teacher=teacher, alpha=1.0)
    assert same(before, state(teacher))
    assert teacher.training
    data = load_data("builtin:digits").val.tensors[0]
    agree = (teacher.eval()(data).argmax(1) == student(data).argmax(1)).float().mean()
    assert agree > 0.8


def test_weight_decay_spares_vectors() -> None:
    model = CifarResNet(8)
    decayed, spared = parameter_groups(model)
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert spared["weight_decay"] == 0
    assert sum(len(group["params"]) for group in (decayed, spared)) == len(list(model.parameters()))


def test_schedule_by_hand() -> None:
    values = [warmup_cosine(step, 100) for step in range(101)]
    assert values[0] == pytest.approx(0.1)
    assert values[9] == values[10] == pytest.approx(1.0)
    assert values[55] == pytest.approx(0.5)
    assert values[100] == pytest.approx(0.0)


def test_another_task_with_two_inputs_and_two_outputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(2, 1), nn.Linear(2, 1)

        def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
            return {"sum": self.first(a) + self.second(b), "first": self.first(a)}

    def evaluate(model: nn.Module, loader: object) -> dict[str, float]:
        return {"r": -sum((model(*x)["sum"] - y).square().mean().item() for x, y in loader)}

    torch.manual_seed(0)
    a, b = torch.randn(64, 2), torch.randn(64, 2)
    batches = [((a, b), a[:, :1] - 2 * b[:, 1:])]
    task = make_task(lambda out, y: (out["sum"] - y).square().mean(), evaluate)
    model = Two()
    result = finetune(model, batches, batches, task, epochs=30, lr=0.1, teacher=Two(), alpha=0.0)
    assert result.best > result.history[0].metrics["r"]
    assert result.best > -0.5


def test_reinitialise_draws_everything_anew_by_the_seed() -> None:
    first, second, other = CifarResNet(8), CifarResNet(8), CifarResNet(8)
    first.bn1.weight.data.fill_(5.0)
    assert reinitialise(first, 3) == ()
    reinitialise(second, 3)
    reinitialise(other, 4)
    assert same(state(first), state(second))
    assert not torch.equal(first.fc.weight, other.fc.weight)
    assert torch.equal(first.bn1.weight, torch.ones(16))


def test_reinitialise_names_what_it_cannot_draw() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.fc = nn.Linear(3, 3)

    assert reinitialise(Scaled(), 0) == ("scale",)
