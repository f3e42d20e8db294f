"""Products that sum over an axis: matmul, einsum and attention, with activations or parameters as factors."""

from torch import Tensor, fx

from edgeprune.graph.call import Call, Labels, channels, unknown
from edgeprune.graph.space import ANY, FIXED, core, spread, uniform, varies
from edgeprune.graph.trace import bound, op_name

_BATCH = "ABCDEFGHIJ"


def product(call: Call) -> Labels:
    """matmul, bmm, mm, einsum."""
    found = letters_of(call.node)
    return unknown(call) if found is None else contract(call, *found)


def letters_of(node: fx.Node) -> tuple[list[fx.Node], list[str], str] | None:
    """The factors of a product, a letter for each of their axes, and the letters of what comes out.

    None for vectors and for an einsum without a written output, with ellipses or with diagonals.
    """
    arguments = bound(node)
    if op_name(node) == "einsum":
        factors, arrow, out = str(arguments["equation"]).replace(" ", "").partition("->")
        letters = factors.split(",")
        plain = arrow and "." not in factors and all(len(set(part)) == len(part) for part in (*letters, out))
        return (list(arguments["tensors"]), letters, out) if plain else None
    left, right = list(arguments.values())[:2]
    ranks = [factor.meta["val"].dim() for factor in (left, right)]
    if min(ranks) < 2:
        return None
    depth = max(ranks) - 2
    batch = [_BATCH[depth - (rank - 2) : depth] for rank in ranks]
    return [left, right], [f"{batch[0]}ik", f"{batch[1]}kj"], f"{_BATCH[:depth]}ij"


def attention(call: Call) -> Labels:
    """scaled_dot_product_attention: its scale is that of the head's width, unless given, so the width has to stay."""
    query, key, value = (call.args[name] for name in ("query", "key", "value"))
    if call.args.get("scale") is None:
        for node in (query, key):
            call.space.freeze(call.of(node), f"sets the scale of attention in {call.where}")
    depth = query.meta["val"].dim() - 2
    batch = _BATCH[:depth]
    contract(call, [query, key], [f"{batch}ik", f"{batch}jk"], f"{batch}ij", quiet=True)
    return contract(call, [value], [f"{batch}jv"], f"{batch}iv", shape=call.shape)


def contract(
    call: Call,
    factors: list[fx.Node],
    letters: list[str],
    out: str,
    *,
    quiet: bool = False,
    shape: tuple[int, ...] | None = None,
) -> Labels:
    """Ties the labels of axes with the same letter; labels that no output axis carries are consumed.

    A parameter among the factors owns a label an entry of each axis, like a layer's weight. A result with two channel
    axes is frozen. `quiet`: only the ties are wanted, not the result.
    """
    axes: dict[str, Tensor] = {}
    for number, (node, names) in enumerate(zip(factors, letters, strict=True)):
        others = "".join(letters[:number] + letters[number + 1 :])
        for name, vector in zip(names, _vectors(call, node, names, others), strict=True):
            axes[name] = _joined(call, axes.get(name), vector)
    wide = [name for name in out if name in axes and varies(axes[name], 0)]
    if len(wide) > 1:
        for name in wide:
            call.space.freeze(axes[name], f"spans a tensor with two channel axes in {call.where}")
    if quiet:
        return None
    shape = call.shape if shape is None else shape
    if len(wide) == 1:
        return spread(axes[wide[0]], out.index(wide[0]), shape)
    fixed = wide or any(bool((axes[name] == FIXED).any()) for name in out if name in axes)
    return uniform(FIXED if fixed else ANY, shape)


def _vectors(call: Call, node: fx.Node, names: str, others: str) -> list[Tensor]:
    """Labels along every axis of a factor."""
    shape = tuple(node.meta["val"].shape)
    if node in call.owners:
        name = call.owners[node]
        return [
            call.space.issue(name, axis, shape, producer=letter not in others) if size > 1 else uniform(ANY, (1,))
            for axis, (letter, size) in enumerate(zip(names, shape, strict=True))
        ]
    labels = call.of(node)
    wide = [axis for axis in range(len(shape)) if varies(labels, axis)]
    if len(wide) > 1:
        call.space.freeze(labels, f"has two channel axes where it enters {call.where}")
        return [uniform(FIXED, (size,)) for size in shape]
    rest = ANY if wide else int(core(labels)[0].reshape(-1)[0])
    return [
        channels(call, labels, axis) if axis in wide else uniform(rest if size > 1 else ANY, (size,))
        for axis, size in enumerate(shape)
    ]


def _joined(call: Call, known: Tensor | None, vector: Tensor) -> Tensor:
    if known is None:
        return vector
    if len(known) == 1 or len(vector) == 1:
        return vector if len(known) == 1 else known
    call.space.tie(known, vector, call.where)
    return known if varies(known, 0) or not varies(vector, 0) else vector
