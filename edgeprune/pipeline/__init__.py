"""The stages of `optimize`, in order: baseline, search, recovery, conversion, judgement, result."""
