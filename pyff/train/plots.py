"""Pictures of a training: parity of energies and forces, learning curves. No pyplot, no global state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyff._figure import save_figure
from pyff.train.metrics import Predictions
from pyff.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["learning_curve", "parity", "save_figure", "training_panels"]

_MOST_POINTS = 20_000  # more would only make the file large


def training_panels(history: Sequence[Mapping], test: Predictions, units: Units) -> list[Callable[[Axes], None]]:
    """The usual panels: energy and force parity on the test frames, errors and loss against the epoch."""
    panels = [parity(test, kind, units) for kind in ("energy", "forces") if getattr(test, kind).size]
    if history:
        panels += [learning_curve(history, "errors", units), learning_curve(history, "loss", units)]
    return panels


def parity(predictions: Predictions, kind: str, units: Units | None = None) -> Callable[[Axes], None]:
    """Panel of predicted against labelled values.

    kind: "energy" (deviation from the mean label per atom times atoms, so that total energies show) or "forces".
    """
    if kind not in ("energy", "forces"):
        raise ValueError(f"kind must be 'energy' or 'forces'; received {kind!r}")
    units = units or Units()
    label, predicted = getattr(predictions, f"{kind}_label"), getattr(predictions, kind)
    factor, unit = units.force_factor, units.force
    if kind == "energy":
        factor, unit = units.energy_factor, units.energy
        offset = predictions.n_atoms * (label.sum() / max(1, predictions.n_atoms.sum()))
        label, predicted = label - offset, predicted - offset
    x, y = label.ravel() / factor, predicted.ravel() / factor

    def draw(axes: Axes) -> None:
        chosen = np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(int)
        axes.plot(x[chosen], y[chosen], ".", markersize=2, color="#1f5fa8", alpha=0.5, rasterized=True)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        axes.plot(ends, ends, "-", linewidth=0.8, color="black")
        error = y - x
        text = f"MAE {np.abs(error).mean():.3g}\nRMSE {np.sqrt(np.mean(error**2)):.3g} {unit}"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top")
        what = "energy, mean removed" if kind == "energy" else "force components"
        axes.set(xlabel=f"label ({unit})", ylabel=f"model ({unit})", title=f"{what}, {predictions.n_frames} frames")

    return draw


def learning_curve(history: Sequence[Mapping], kind: str, units: Units | None = None) -> Callable[[Axes], None]:
    """Panel of the validation errors ("errors") or of the losses ("loss") against the epoch, logarithmic."""
    if kind not in ("errors", "loss"):
        raise ValueError(f"kind must be 'errors' or 'loss'; received {kind!r}")
    units = units or Units()
    if kind == "loss":
        curves = {"train_loss": ("training loss", 1.0), "valid_loss": ("validation loss", 1.0)}
    else:
        curves = {
            "valid_energy_mae": (f"energy MAE ({units.energy})", units.energy_factor),
            "valid_forces_mae": (f"force MAE ({units.force})", units.force_factor),
        }

    def draw(axes: Axes) -> None:
        for key, (label, factor) in curves.items():
            points = [(row["epoch"], row[key] / factor) for row in history if row.get(key)]
            if points:
                axes.plot(*zip(*points), "-", linewidth=1.2, label=label)
        axes.set(xlabel="epoch", yscale="log", title="validation errors" if kind == "errors" else "loss")
        axes.legend(frameon=False)

    return draw
