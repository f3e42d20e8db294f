"""A client: images of its own, which never leave it; it answers three kinds of messages.

statistics  batch-norm statistics of its images through a candidate, which it remembers
loss        the loss of that candidate on a part of its images kept aside, with everybody's statistics
train       local epochs under the masks, and the largest slopes of what is masked where the server asks for them
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune.recover.finetune import MOMENTUM, parameter_groups
from edgeprune.schedule.federated.masking import Masking
from edgeprune.schedule.federated.message import Array, Message, named, pack, unpack, unpack_masks
from edgeprune.schedule.federated.norms import local_statistics
from edgeprune.schedule.federated.progressive import largest
from edgeprune.schedule.masks import Alive, Masks
from edgeprune.sources.batches import gather
from edgeprune.task import Task, call

_DEV = 10  # of so many images of a client one is kept aside, to vote with
Memory = dict[str, Array]


class Forgotten(Exception):
    """The message rests on one that this client has not seen: the server counts it as lost and sends more next time."""


@dataclass(frozen=True)
class Client:
    """`network`: the architecture (its weights are not used). `images`: a dataset, `indices`: those of this client."""

    number: int
    network: nn.Module
    masking: Masking
    images: Any
    indices: Tensor
    task: Task
    batch_size: int
    seed: int
    memory: Memory = field(default_factory=dict)

    def answer(self, message: Message) -> Message:
        """The reply. Raises Forgotten."""
        network = copy.deepcopy(self.network)
        masks = self.masking.masks(network)
        alive = self._alive(message, masks)
        if message.kind == "loss":
            return self._loss(message, network, masks, alive)
        state = self._load(message, network, masks, alive)
        if message.kind == "statistics":
            self.memory.update(named("candidate", pack(state, self.masking.dead(alive, state))))
            found, count = local_statistics(network, self._batches(self._train(), 0))
            arrays = {name: tensor.float().numpy() for name, tensor in found.items()}
            return Message("statistics", named("norm", arrays), {"images": count})
        return self._fit(message, network, masks, alive)

    def _alive(self, message: Message, masks: Masks) -> Alive:
        bits, version = message.part("mask"), message.numbers["version"]
        if bits:
            for name in [name for name in self.memory if name.startswith("mask/")]:
                del self.memory[name]
            self.memory.update(named("mask", bits))
            self.memory["version"] = torch.tensor([version]).numpy()
        elif float(self.memory.get("version", torch.tensor([-1.0]).numpy())[0]) != version:
            raise Forgotten(f"client {self.number} does not know mask {version:g}")
        own = {name.split("/", 1)[1]: array for name, array in self.memory.items() if name.startswith("mask/")}
        return unpack_masks(own, masks.alive)

    def _load(self, message: Message, network: nn.Module, masks: Masks, alive: Alive) -> dict[str, Tensor]:
        """Weights as sent; what is masked is 0, or as the server stores it where that was sent, too."""
        blank = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
        dead = self.masking.dead(alive, blank)
        stored = {name: torch.from_numpy(array.copy()) for name, array in message.part("stored").items()}
        for name, values in stored.items():
            blank[name][self.masking.dead(alive, blank, list(message.part("grow")))[name]] = values
        state = unpack(message.part("weights"), dead, blank)
        network.load_state_dict(state)
        masks.apply(alive)
        return state

    def _loss(self, message: Message, network: nn.Module, masks: Masks, alive: Alive) -> Message:
        own = {name.split("/", 1)[1]: array for name, array in self.memory.items() if name.startswith("candidate/")}
        remembered = message.part("weights") or own
        if not remembered:
            raise Forgotten(f"client {self.number} has seen no candidate")
        self._load(Message("loss", named("weights", remembered), message.numbers), network, masks, alive)
        state = network.state_dict()
        for name, array in message.part("norm").items():
            state[name].copy_(torch.from_numpy(array.copy()))
        network.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for inputs, targets in self._batches(self._dev(), 0):
                total += float(self.task.loss(call(network, inputs), targets)) * len(targets)
                count += len(targets)
        return Message("loss", {}, {"loss": total / count, "images": count})

    def _fit(self, message: Message, network: nn.Module, masks: Masks, alive: Alive) -> Message:
        numbers = message.numbers
        optimizer = torch.optim.SGD(parameter_groups(network), lr=numbers["lr"], momentum=MOMENTUM, nesterov=True)
        network.train()
        total, steps = 0.0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed * 1_000_003 + int(numbers["round"])) * 1009 + self.number)
            for epoch in range(int(numbers["epochs"])):
                for inputs, targets in self._batches(self._train(), int(numbers["round"]) * 1000 + epoch + 1):
                    total, steps = total + self._step(network, inputs, targets), steps + 1
                    optimizer.step()
                    masks.hold(optimizer)
            slopes = self._slopes(message, network, masks)
        state = network.state_dict()
        arrays = named("weights", pack(state, self.masking.dead(alive, state)))
        for name, (index, values) in slopes.items():
            arrays |= {f"index/{name}": index, f"slope/{name}": values}
        return Message("train", arrays, {"images": len(self._train()), "loss": total / max(1, steps)})

    def _step(self, network: nn.Module, inputs: Any, targets: Any) -> float:
        network.zero_grad(set_to_none=True)
        loss = self.task.loss(call(network, inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _slopes(self, message: Message, network: nn.Module, masks: Masks) -> dict[str, tuple[Array, Array]]:
        """Of one batch, after the training, as many as were asked for of each layer."""
        counts = {name: int(array[0]) for name, array in message.part("grow").items()}
        if not counts:
            return {}
        inputs, targets = next(self._batches(self._train(), int(message.numbers["round"])))
        self._step(network, inputs, targets)
        return largest(self.masking.slopes(masks), masks.alive, counts)

    def _dev(self) -> Tensor:
        return self.indices[::_DEV]

    def _train(self) -> Tensor:
        """All but those kept aside; a client with a single image uses it for both."""
        aside = torch.arange(len(self.indices)) % _DEV == 0
        return self.indices[~aside] if len(self.indices) > 1 else self.indices

    def _batches(self, indices: Tensor, epoch: int) -> Iterator[tuple[Any, Any]]:
        """In an order that seed, client and epoch decide; a last batch of one image is left out: it has no variance."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) * 1009 + self.number)
        order = indices[torch.randperm(len(indices), generator=generator)]
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            if len(part) > 1 or len(order) == 1:
                yield gather(self.images, part)
