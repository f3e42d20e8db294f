"""From connectivity and similarity to a regime, and what to change (Zhou et al., ICML 2023; methods.md section 14)."""

from dataclasses import dataclass

BARRIER, ALIKE = -0.02, 0.95  # ours: the paper shows the regimes in plots and gives no thresholds

ADVICE = {
    "I": "raise the temperature: train the dense network shorter, with a larger learning rate or smaller batches, "
    "or prune less",
    "II-A": "lower the temperature: train the dense network longer, or with a smaller learning rate or larger batches",
    "II-B": "nothing to change: longer training brings little",
}


@dataclass(frozen=True)
class Regime:
    """I: a barrier between two recoveries. II-A: none, but their outputs differ. II-B: none, and alike."""

    name: str

    @property
    def advice(self) -> str:
        """What to change about the training of the dense network."""
        return ADVICE[self.name]

    @property
    def rank(self) -> int:
        """0 for the best."""
        return ("II-B", "II-A", "I").index(self.name)


def regime(lmc: float, cka: float, barrier: float = BARRIER, alike: float = ALIKE) -> Regime:
    """The regime of two networks: `lmc` below `barrier` is I, else `cka` below `alike` is II-A, else II-B."""
    return Regime("I" if lmc < barrier else "II-A" if cka < alike else "II-B")
