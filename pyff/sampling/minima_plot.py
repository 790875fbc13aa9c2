"""Pictures of a minima search."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pyff.sampling.minima_hopping import HopState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["discovery_panel", "visit_panel"]


def visit_panel(state: HopState) -> Callable[[Axes], None]:
    """Panel of the energy above the lowest minimum against the visit: new minima, known ones, and the path taken."""

    def draw(axes: Axes) -> None:
        rows = [v for v in state.visits if v.minimum >= 0]
        x, kind = np.array([v.number for v in rows]), np.array([v.outcome in ("new", "start") for v in rows])
        y = 1000 * (np.array([state.minima[v.minimum].energy for v in rows]) - state.lowest.energy)
        path = [1000 * (state.minima[v.current].energy - state.lowest.energy) for v in state.visits]
        axes.step([v.number for v in state.visits], path, where="post", color="#c9d4e5", linewidth=1.0, label="current")
        axes.plot(x[~kind], y[~kind], "o", color="#9aa0a6", markersize=3.5, fillstyle="none", label="visited again")
        axes.plot(x[kind], y[kind], "o", color="#b3261e", markersize=4.5, label="new")
        axes.set(xlabel="visit", ylabel="energy above the lowest minimum (meV)", ylim=(-0.05 * y.max() - 1, None))
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.15 * (high - low))  # room for the legend
        axes.set_title("minima in the order of the search", fontsize="medium")
        axes.legend(frameon=False, ncols=3, loc="upper center")
        axes.xaxis.get_major_locator().set_params(integer=True)

    return draw


def discovery_panel(state: HopState) -> Callable[[Axes], None]:
    """Panel of the number of different minima found against the visit: it flattens when a region is exhausted."""

    def draw(axes: Axes) -> None:
        found = np.cumsum([v.outcome in ("new", "start") for v in state.visits])
        axes.step([v.number for v in state.visits], found, where="post", color="#1f5fa8", linewidth=1.3)
        axes.set(xlabel="visit", ylabel="different minima found", ylim=(0, None), xlim=(0, None))
        title = f"{len(state.minima)} minima in {len(state.visits) - 1} escapes"
        axes.set_title(title, fontsize="medium")
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True)

    return draw
