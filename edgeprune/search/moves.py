"""What the rows would cost if one or two widths moved, the others staying: for descent and local improvement."""

from collections.abc import Mapping

import numpy as np

from edgeprune.search.problem import Array, Positions, Problem


class Moves:
    """Costs of moves in a problem, over tables (rows, ...) merged by scope, in units of the rows' budgets."""

    def __init__(self, problem: Problem, tables: Mapping[tuple[str, ...], Array]) -> None:
        self._problem, self._tables = problem, tables
        self._weights: dict[str, dict[str, int]] = {name: dict(one.parts) for name, one in problem.sums.items()}
        self._touched: dict[str, dict[tuple[str, ...], None]] = {name: {} for name in problem.menus}
        for scope in tables:
            for name in scope:
                for group in self._weights.get(name, (name,)):
                    self._touched[group][scope] = None

    def change(self, index: Mapping[str, int], windows: Mapping[str, range]) -> Array:
        """Cost at every position of `windows` less that at `index`: (rows, *lengths of the windows)."""
        names = list(windows)
        shape = tuple(len(window) for window in windows.values())
        found: Array = np.zeros((len(self._problem.rows), *shape))
        here = self._problem.complete(index)
        grids = {name: _along(np.arange(w.start, w.stop), names.index(name), len(names)) for name, w in windows.items()}
        for scope in dict.fromkeys(scope for name in names for scope in self._touched[name]):
            table = self._tables[scope]
            positions = tuple(self._position(variable, index, here, grids) for variable in scope)
            rows = np.arange(len(table)).reshape(-1, *[1] * len(shape))
            now = table[(rows, *(np.array(here[variable]) for variable in scope))]
            found = found + table[(rows, *positions)] - now
        return found

    def _position(
        self, variable: str, index: Mapping[str, int], here: Mapping[str, int], grids: Mapping[str, Positions]
    ) -> Positions:
        """Where a variable stands at every position of the windows: an array that broadcasts over them."""
        if variable in grids:
            return grids[variable]
        values = self._problem.values
        moving = [group for group in grids if group in self._weights.get(variable, ())]
        if not moving:
            return np.array(here[variable])
        value = values[variable][here[variable]]
        for group in moving:
            shift = values[group][grids[group]] - values[group][index[group]]
            value = value + self._weights[variable][group] * shift
        return np.asarray(np.searchsorted(values[variable], value))


def _along(values: Positions, axis: int, axes: int) -> Positions:
    return values.reshape([-1 if i == axis else 1 for i in range(axes)])
