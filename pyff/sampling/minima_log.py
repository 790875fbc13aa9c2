"""The record of a minima search: one JSON line per visit, from which the search can go on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from pyff._atomic import atomic_write
from pyff.data.from_ase import total_charge, unpaired_electrons
from pyff.errors import PyffError
from pyff.md.bonds import bonded_pairs
from pyff.models.identity import require_same_model
from pyff.sampling.minima_hopping import HopSettings, HopState, Visit

__all__ = ["MinimaLog"]

_FORMAT = "pyff minima 1"


class MinimaLog:
    """A file that is complete after every visit: a head with settings and start, then the visits.

    New minima carry their positions with all digits, so that a search read back is the search that was written.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def begin(self, atoms: Atoms, settings: HopSettings, model: Mapping[str, Any] | None = None) -> None:
        """Start an empty record. model: what `model_identity` says of the model, so that no other one continues."""
        atomic_write(self.path, json.dumps({**_head(atoms, settings), "model": dict(model or {})}) + "\n")

    def append(self, visit: Visit, pos: np.ndarray | None) -> None:
        """Add a visit, with the positions of its minimum if that is new; on disk when this returns."""
        row = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(visit).items()}
        if pos is not None:
            row["pos"] = pos.tolist()
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def resume(self, atoms: Atoms, settings: HopSettings, model: Mapping[str, Any] | None = None) -> HopState:
        """The state of the recorded search; a torn last line is cut off.

        Raises PyffError if the file is no record, or of a search with another start, other settings or another model.
        """
        lines = self._complete_lines()
        try:
            head, rows = json.loads(lines[0]), [json.loads(line) for line in lines[1:]]
        except (IndexError, json.JSONDecodeError):
            raise PyffError(f"{self.path} is not the record of a minima search") from None
        wanted = _head(atoms, settings)
        if not isinstance(head, dict) or head.get("format") != _FORMAT:
            raise PyffError(f"{self.path} is not the record of a minima search")
        for name in ("Z", "cell", "pbc", "bonds", "charge", "spin"):
            if head.get(name) != wanted[name]:
                raise PyffError(f"{self.path} belongs to another structure: its {name} differs from that of the start")
        old, new = head.get("settings", {}), wanted["settings"]
        changed = sorted(name for name in new if old.get(name) != new[name])
        if changed:
            differences = ", ".join(f"{name} {old.get(name)} (now {new[name]})" for name in changed)
            raise PyffError(f"{self.path} was searched with other settings: {differences}. Keep them, or start anew")
        if model:
            require_same_model(head.get("model") or {}, model, self.path)
        return self._replayed(atoms, rows)

    def _complete_lines(self) -> list[str]:
        if not self.path.is_file():
            raise PyffError(f"{self.path}: there is no search to continue")
        text = self.path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            atomic_write(self.path, whole)
        return whole.splitlines()

    def _replayed(self, atoms: Atoms, rows: list[dict]) -> HopState:
        state = HopState(atoms.copy())
        try:
            for row in rows:
                pos = row.pop("pos", None)
                row["energy"] = float("nan") if row["energy"] is None else row["energy"]
                state.add(Visit(**row), None if pos is None else np.array(pos, float).reshape(len(atoms), 3))
        except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
            raise PyffError(f"{self.path}: visit {len(state.visits)} is not readable ({error})") from None
        return state


def _head(atoms: Atoms, settings: HopSettings) -> dict:
    return {
        "format": _FORMAT,
        "Z": atoms.numbers.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "bonds": sorted(map(list, bonded_pairs(atoms).pairs())),
        "charge": total_charge(atoms),
        "spin": unpaired_electrons(atoms),
        "settings": asdict(settings),
    }
