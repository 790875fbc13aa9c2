"""Where tests find the external data sets: $PYFF_SHARED_DATA, else ../shared/data beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
REASON = "needs data set"  # conftest.py counts the skips whose reason starts so


def shared_data_root() -> Path:
    """The folder of data sets; it need not exist."""
    return Path(os.environ.get("PYFF_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")


def shared_data(name: str) -> Path:
    """Path of the data set `name` (a folder or file under the root); skips the test where it is absent."""
    path = shared_data_root() / name
    if not path.exists():
        # outside a test (module level) the whole module is skipped
        pytest.skip(f"{REASON} {name}", allow_module_level=True)
    return path
