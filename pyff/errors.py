"""Exceptions that carry a sentence for the user. Values and shapes raise ValueError, classes and dtypes TypeError."""

from __future__ import annotations

__all__ = ["ConversionError", "DataError", "PyffError", "UnseenElementError"]


class PyffError(ValueError):
    """Base of pyff's own errors; a ValueError, so that callers need not know pyff to catch it."""


class ConversionError(PyffError):
    """A foreign model that has no exact counterpart in pyff, or whose parameters do not fit its options."""


class DataError(PyffError):
    """A data set that cannot be read as declared."""


class UnseenElementError(PyffError):
    """An element the model was not trained on."""
