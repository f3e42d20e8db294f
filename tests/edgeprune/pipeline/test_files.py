"""Files of a network that answers nothing: the network is named as the cause, not the conversion."""

import pytest
import torch

from edgeprune.config import make_config
from edgeprune.errors import ParityError
from edgeprune.pipeline.files import convert_and_prove
from edgeprune.pipeline.job import job_from_config
from edgeprune.progress import LoggedProgress


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_dead_network_is_the_trainings_fault(fast, tmp_path, quantize):
    job = job_from_config(make_config({"model": "builtin:resnet8", **fast, "quantize": quantize}), LoggedProgress())
    with torch.no_grad():
        job.model.fc.weight.zero_()
    with pytest.raises(ParityError, match="Training is the cause, not the conversion") as caught:
        convert_and_prove(job, job.model, "pruned", tmp_path)
    assert "hardly depends on the input" in caught.value.message
    assert "--epochs" in caught.value.cure
