"""Why pruning went as it did: the three-regime model (Zhou et al., ICML 2023; methods.md section 14)."""
