"""PreCropping's claim, on the digits: which weights a mask at initialisation keeps does not matter, only how many each
layer keeps; so a network cropped to these densities learns as well as the masked one, and as one with a shuffled mask.
"""

import copy
from dataclasses import replace

import pytest
import torch

from edgeprune.allocate import precrop
from edgeprune.allocate.sizes import weights
from edgeprune.config import Config
from edgeprune.graph import Widths, prune_proved
from edgeprune.pipeline.job import job_from_config
from edgeprune.pipeline.train import make_work
from edgeprune.progress import LoggedProgress
from edgeprune.recover.scratch import reinitialise
from edgeprune.recover.work import Work
from edgeprune.schedule.masked_forms import AtInit
from edgeprune.score import score
from edgeprune.sources.batches import loaders

DENSITY, EPOCHS, SEEDS = 0.4, 12, (0, 1, 2)


def cropped(work: Work, job, traced, densities: dict[str, float]) -> torch.nn.Module:
    """The dense network of as many weights in all, its widths after these densities; fresh weights, trained."""
    coupling = work.coupling
    found = {layer.name: densities[layer.weight] for layer in coupling.layers}
    menus = coupling.menu(1)
    ratio = precrop.ratios(precrop.targets(coupling, menus, found, size=weights))
    counts = precrop.precrop(ratio, menus, coupling.params, DENSITY * coupling.params())
    kept = coupling.select(score("l1", work.dense, coupling, []), counts)
    network, _, _ = prune_proved(job.model, traced, coupling, kept)
    reinitialise(network, work.seed)
    work.finetune(network, teacher=None, alpha=0.0)
    return network


@pytest.mark.slow
def test_mask_shuffled_mask_and_cropped_network_learn_alike() -> None:
    found: dict[str, list[float]] = {"mask": [], "shuffled": [], "cropped": []}
    for seed in SEEDS:
        config = Config(model="builtin:resnet8", data="builtin:digits", recipe="precropping", epochs=EPOCHS, seed=seed)
        job = job_from_config(config, LoggedProgress())
        traced, coupling = job.groups()
        work = make_work(job, traced, coupling, Widths())
        test = loaders(job.data, job.batch_size, seed)[2]
        assert test is not None
        masked = AtInit(DENSITY)(work)
        networks = {
            "mask": masked.network,
            "shuffled": AtInit(DENSITY, shuffled=True)(replace(work, dense=copy.deepcopy(work.dense))).network,
            "cropped": cropped(work, job, traced, masked.facts["layer_densities"]),
        }
        for name, network in networks.items():
            found[name].append(100 * job.task.evaluate(network, test)["accuracy"])
    means = {name: sum(values) / len(values) for name, values in found.items()}
    print(found)
    assert min(means.values()) > 90, "networks that learned nothing are alike, too"
    assert max(means.values()) - min(means.values()) < 1.0, found
