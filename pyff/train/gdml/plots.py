"""Pictures of a GDML training: errors against the length scale, predictions against labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["scatter", "sigma_curve"]

_MOST_POINTS = 20_000  # more would only make the file large


def sigma_curve(sigmas: Sequence[float], rmse: Sequence[float], unit: str) -> Callable[[Axes], None]:
    """Panel of the validation error of the forces against the length scale; the best one is marked."""
    best = int(np.argmin(rmse))

    def draw(axes: Axes) -> None:
        axes.plot(sigmas, rmse, "o-", linewidth=1.2, markersize=4, color="#1f5fa8")
        axes.plot(sigmas[best], rmse[best], "o", markersize=10, fillstyle="none", color="black")
        title = f"validation, best sigma {sigmas[best]:g}"
        axes.set(xlabel="sigma", ylabel=f"force RMSE{_in(unit)}", title=title, xscale="log")
        axes.set_xticks(*zip(*((s, f"{s:g}") for s in _apart([sigmas[best], *sigmas]))))
        axes.minorticks_off()

    return draw


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _apart(sigmas: Sequence[float]) -> list[float]:
    """Those whose labels do not overlap on a logarithmic axis; the first is kept."""
    gap, kept = 0.1 * np.log(max(sigmas) / min(sigmas)), []
    for sigma in sigmas:
        if all(abs(np.log(sigma / other)) > gap for other in kept):
            kept.append(sigma)
    return kept or [sigmas[0]]


def scatter(predicted: np.ndarray, label: np.ndarray, title: str, unit: str) -> Callable[[Axes], None]:
    """Panel of predicted against labelled values."""
    x, y = np.ravel(label), np.ravel(predicted)

    def draw(axes: Axes) -> None:
        chosen = np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(int)
        axes.plot(x[chosen], y[chosen], ".", markersize=2, color="#1f5fa8", alpha=0.5, rasterized=True)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        axes.plot(ends, ends, "-", linewidth=0.8, color="black")
        text = f"MAE {np.abs(y - x).mean():.3g}\nRMSE {np.sqrt(np.mean((y - x) ** 2)):.3g} {unit}"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top")
        axes.set(xlabel=f"label{_in(unit)}", ylabel=f"model{_in(unit)}", title=title)

    return draw
