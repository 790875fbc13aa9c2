"""Pictures made of panels. No pyplot, no global state."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyff._atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["save_figure"]


def save_figure(
    path: str | Path,
    panels: Sequence[Callable[[Axes], None]],
    *,
    columns: int = 2,
    size: float = 4.0,
    aspect: float = 1.15,
) -> None:
    """One picture of several panels; the suffix of `path` (png, pdf, svg) gives the format, none means png.

    panels: functions that draw into the Axes they are given. size: height of a panel in inches;
    aspect: its width over its height.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(size * aspect * min(columns, len(panels)), size * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for k, draw in enumerate(panels):
        draw(figure.add_subplot(rows, min(columns, len(panels)), k + 1))
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(path).suffix[1:] or None, dpi=130)
    atomic_write(path, picture.getvalue())
