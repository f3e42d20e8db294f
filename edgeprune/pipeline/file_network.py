"""A converted file as a network, so that a task can evaluate what will be shipped."""

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from converters.artifact import Artifact
from converters.parity import to_file
from converters.session import open_artifact


class FileNetwork(nn.Module):
    """Runs the file in its runtime, input by input; answers in the structure in which `network` answers.

    `network` is the module that the file was made of, `example` an input of it with batch size 1.
    """

    def __init__(self, artifact: Artifact, network: nn.Module, example: tuple[Tensor, ...], threads: int = 1) -> None:
        super().__init__()
        self._artifact, self._session = artifact, open_artifact(artifact, threads)
        with torch.no_grad():
            _, self._structure = pytree.tree_flatten(network(*example))
        # Tasks ask a network's first parameter where to put their inputs.
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, *inputs: Tensor) -> object:
        """Outputs of a batch, one file run an input."""
        each = [
            self._session.run(to_file(self._artifact, tuple(x[i : i + 1] for x in inputs)))
            for i in range(len(inputs[0]))
        ]
        leaves = [torch.cat([torch.from_numpy(answer) for answer in answers]) for answers in zip(*each, strict=True)]
        return pytree.tree_unflatten(leaves, self._structure)
