"""Units of data in `pyff gdml`: what files state, what --units says, what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyff.cli.console import Console
from pyff.errors import PyffError
from pyff.models.gdml.sgdml_file import DEFAULT_UNITS, text_of
from pyff.train.gdml import GdmlData
from pyff.units import Units

__all__ = ["known_units", "require_same_units", "say_units", "units_of_arrays", "with_units"]


def known_units(energy: str | None, length: str | None) -> Units | None:
    """Units by the names that a file states; None where it does not state both. Raises PyffError for unknown names."""
    return Units(energy, length) if energy and length else None


def units_of_arrays(arrays: Mapping[str, np.ndarray]) -> Units | None:
    """Units that a data set, task or model states, by names that pyff knows."""
    try:
        return known_units(text_of(arrays.get("e_unit")), text_of(arrays.get("r_unit")))
    except PyffError:
        return None


def with_units(data: GdmlData, given: Units | None, name: str) -> GdmlData:
    """The data in the units given, if any. Raises PyffError where the file states others."""
    if given is None:
        return data
    stated = known_units(data.energy_unit, data.length_unit)
    require_same_units(stated, given, f"{name} states", "--units says")
    return data if stated else replace(data, energy_unit=given.energy, length_unit=given.length)


def require_same_units(a: Units | None, b: Units | None, what_a: str, what_b: str) -> None:
    """Raise PyffError where both are known and differ; what_a, what_b begin a sentence about them."""
    if a is not None and b is not None and (a.energy, a.length) != (b.energy, b.length):
        raise PyffError(f"units must be the same: {what_a} {a}, {what_b} {b}")


def say_units(console: Console, data: GdmlData, given: Units | None) -> None:
    """A line where units are not those that the data set states."""
    if given is not None:
        console.say(f"units       {given}, by --units")
    elif known_units(data.energy_unit, data.length_unit) is None:
        console.say(
            f"units       the data set states none: {DEFAULT_UNITS} are assumed, as sgdml does; --units says others"
        )
