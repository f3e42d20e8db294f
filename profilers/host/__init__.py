"""Measuring on this machine."""

from profilers.host.client import Worker
from profilers.host.runner import compare, measure, peak_memory

__all__ = ["Worker", "compare", "measure", "peak_memory"]
