"""When a network is pruned: after training (`one_shot`) or before (`at_init`)."""

from edgeprune.schedule.at_init import at_init
from edgeprune.schedule.one_shot import one_shot

SCHEDULES = {"one_shot": one_shot, "at_init": at_init}

__all__ = ["SCHEDULES", "at_init", "one_shot"]
