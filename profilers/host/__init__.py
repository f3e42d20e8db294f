"""Measuring on this machine."""

from profilers.host.bench import HostBench
from profilers.host.client import Worker
from profilers.host.layer_probe import LayerProber
from profilers.host.runner import compare, measure, peak_memory
from profilers.host.sustained import sustain

__all__ = ["HostBench", "LayerProber", "Worker", "compare", "measure", "peak_memory", "sustain"]
