"""Pictures of a training: parity of energies and forces, learning curves. No pyplot, no global state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyff._figure import save_figure
from pyff.batch import LABELS
from pyff.train.metrics import Predictions
from pyff.units import Units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["epoch_curve", "parity", "save_figure", "size_curve", "training_panels"]

_MOST_POINTS = 20_000  # more would only make the file large
_TITLES = {
    "energy": "energy, mean per atom removed", "forces": "force components", "stress": "stress components",
    "dipole": "dipole components", "charges": "atomic charges", "hirshfeld": "Hirshfeld ratios", "target": "target",
}  # fmt: skip


def training_panels(history: Sequence[Mapping], test: Predictions, units: Units) -> list[Callable[[Axes], None]]:
    """The usual panels: parity of what the test frames carry, errors and loss against the epoch."""
    panels = [parity(test, kind, units) for kind in _TITLES if test.pair(kind)[0].size]
    if history:
        panels += [epoch_curve(history, "errors", units), epoch_curve(history, "loss", units)]
    return panels


def parity(predictions: Predictions, kind: str, units: Units | None = None) -> Callable[[Axes], None]:
    """Panel of predicted against labelled values.

    kind: a name of `pyff.batch.LABELS`. Of energies, the mean label per atom times the atoms is removed, so that what
    differs between structures shows.
    """
    if kind not in _TITLES:
        raise ValueError(f"kind must be one of {', '.join(_TITLES)}; received {kind!r}")
    units = units or Units()
    predicted, label = predictions.pair(kind)
    factor, unit = units.of_label(kind)
    if kind == "energy":
        offset = predictions.n_atoms * (label.sum() / max(1, predictions.n_atoms.sum()))
        label, predicted = label - offset, predicted - offset
    x, y = label.ravel() / factor, predicted.ravel() / factor

    def draw(axes: Axes) -> None:
        chosen = np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(int)
        size = 2 if len(chosen) > 500 else 5  # a handful of points must be seen, a cloud must not be a blot
        axes.plot(x[chosen], y[chosen], ".", markersize=size, color="#1f5fa8", alpha=0.5, rasterized=True)
        ends = [min(x.min(), y.min()), max(x.max(), y.max())]
        axes.plot(ends, ends, "-", linewidth=0.8, color="black")
        error = y - x
        text = f"MAE {np.abs(error).mean():.3g}\nRMSE {np.sqrt(np.mean(error**2)):.3g} {unit}"
        axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top")
        about = f" ({unit})" if unit else ""
        title = f"{_TITLES[kind]}, {predictions.n_frames} frames"
        axes.set(xlabel=f"label{about}", ylabel=f"model{about}", title=title)
        axes.xaxis.get_major_locator().set_params(nbins=6)  # small numbers, such as stresses, have long labels

    return draw


def size_curve(rows: Sequence[Mapping], kind: str, units: Units | None = None) -> Callable[[Axes], None]:
    """Panel of the mean absolute error against the number of training frames, both logarithmic, a line per model.

    rows: with model, n_train and errors_eV_A, as `pyff learning-curve` writes them. kind: "energy" or "forces".
    """
    factor, unit = (units or Units()).of_label(kind)

    def draw(axes: Axes) -> None:
        sizes = sorted({row["n_train"] for row in rows})
        for model in dict.fromkeys(row["model"] for row in rows):
            points = sorted(
                (r["n_train"], r["errors_eV_A"][f"{kind}_mae"] / factor) for r in rows if r["model"] == model
            )
            axes.plot(*zip(*points), "o-", linewidth=1.2, markersize=4, label=model)
        axes.set(xscale="log", yscale="log", xlabel="training frames", ylabel=f"{kind} MAE ({unit})")
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter("{x:.3g}")
        low, high = axes.get_ylim()
        if high < 12 * low:  # less than a decade: its powers of ten alone would leave the axis bare
            from matplotlib.ticker import MaxNLocator

            axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(f"test error of {kind}")
        axes.legend(frameon=False)

    return draw


def epoch_curve(history: Sequence[Mapping], kind: str, units: Units | None = None) -> Callable[[Axes], None]:
    """Panel of the validation errors ("errors") or of the losses ("loss") against the epoch, logarithmic."""
    if kind not in ("errors", "loss"):
        raise ValueError(f"kind must be 'errors' or 'loss'; received {kind!r}")
    units = units or Units()
    if kind == "loss":
        curves = {"train_loss": ("training loss", 1.0), "valid_loss": ("validation loss", 1.0)}
    else:
        curves = {}
        for name in LABELS:
            factor, unit = units.of_label(name)
            curves[f"valid_{name}_mae"] = (f"{name} MAE ({unit})" if unit else f"{name} MAE", factor)

    def draw(axes: Axes) -> None:
        for key, (label, factor) in curves.items():
            points = [(row["epoch"], row[key] / factor) for row in history if row.get(key)]
            if points:
                axes.plot(*zip(*points), "-" if len(points) > 1 else "o", linewidth=1.2, label=label)
        axes.set(xlabel="epoch", yscale="log", title="validation errors" if kind == "errors" else "loss")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(frameon=False)

    return draw
