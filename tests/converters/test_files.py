"""Every format from one network: the file holds the network's widths, parameters and weights, and computes it."""

# by hand, batch norms folded: stem, conv, short, deep, fc, each with its weights and biases
PARAMS = (16 * 27 + 16) + (16 * 16 * 9 + 16) + (16 * 16) + (16 * 9 + 16) + (5 * 16 + 5)
SHAPES = {(16, 3, 3, 3), (16, 16, 3, 3), (16, 16, 1, 1), (16, 1, 3, 3), (5, 16)}
