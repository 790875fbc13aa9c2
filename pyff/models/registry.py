"""Architectures by name: the only way a model file can choose a class."""

from __future__ import annotations

__all__ = ["ARCHITECTURES", "register"]

ARCHITECTURES: dict[str, type] = {}


def register(cls: type) -> type:
    """Class decorator: makes `cls.architecture` loadable from model files."""
    if ARCHITECTURES.setdefault(cls.architecture, cls) is not cls:
        raise ValueError(f"architecture {cls.architecture!r} is registered twice")
    return cls
