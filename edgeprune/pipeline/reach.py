"""What counting alone shows to be out of reach is said before any work: no baseline, no training."""

from edgeprune.errors import BudgetNotMet
from edgeprune.graph import Coupling
from edgeprune.pipeline.job import Job
from edgeprune.quantity import readable

_NAMED = 6


def check_reach(job: Job, coupling: Coupling) -> None:
    """Raise BudgetNotMet if even the narrowest widths have more MACs than the budget; layers too small are named."""
    limit = job.budget.get("macs")
    if limit is None:
        return
    multiple = min(job.config.multiples())
    menus, dense = coupling.menu(multiple), coupling.macs()
    least, budget = coupling.macs({name: menu[0] for name, menu in menus.items()}), limit.absolute(dense)
    if least <= budget:
        return
    small = [f"{name} ({coupling.groups[name].units})" for name, menu in menus.items() if len(menu) == 1]
    held = f"; too small to be narrowed in steps of {multiple}: {', '.join(small[:_NAMED])}" if small else ""
    more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
    raise BudgetNotMet(
        f"No network meets macs {limit.text}: the floor, all groups at their narrowest in multiples of {multiple}, is "
        f"{readable(least)} MACs, the budget {readable(budget)} of {readable(dense)}{held}{more}.",
        f"Give a larger budget{', or --multiple 1' if small and multiple > 1 else ''}; --plan shows what is in reach.",
    )
