"""Linear algebra on matrices that are asked for in parts, or never formed; knows nothing of models."""

from __future__ import annotations

from pyff.solvers.panel_cholesky import NotPositiveDefiniteError, PanelCholesky

__all__ = ["NotPositiveDefiniteError", "PanelCholesky"]
