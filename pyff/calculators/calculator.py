"""The ASE calculator."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from torch import nn

from pyff._device import usable_device
from pyff.batch import GraphBatch, Output, System
from pyff.data.checks import CLOSEST
from pyff.data.collate import collate
from pyff.data.from_ase import from_ase, total_charge, unpaired_electrons
from pyff.models.base import DirectModel, device_of
from pyff.models.file import load, set_long_range
from pyff.nn.frozen import own_weights

if TYPE_CHECKING:
    from pyff.models.base import EnergyModel

__all__ = ["Calculator"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
# ASE's name, or one of ours -> name in Output
_ARRAYS = {"energies": "atom_energy", "forces": "forces", "charges": "charges", "hirshfeld_ratios": "hirshfeld"}


class Calculator(AseCalculator):
    """A pyff model as an ASE calculator, for any number of different structures.

        atoms.calc = pyff.Calculator("model.safetensors")
        atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

    energy, free_energy in eV; energies [N] in eV where the model has them, their sum is the energy; forces [N,3] in
    eV/A; stress [6] in eV/A^3, order xx yy zz yz xz xy, tension positive, divided by the volume of the cell also for
    slabs (as ASE does); charges [N] in e and dipole [3] in e A where the model has them. Models with physics terms
    (SO3LR) also give calc.results["hirshfeld_ratios"] [N] and calc.results["energy_terms"], a dict of energies in eV by
    name that add up to the energy. The total charge is atoms.info["charge"], the number of unpaired electrons
    atoms.info["spin"]; else the sums of initial charges and magnetic moments; else 0.

    Args:
        model: path of a model file, or a model. A model passed in is never changed.
        device: "cpu", "cuda", "cuda:1", ...
        dtype: "float32" or "float64"; None keeps the model's own precision.
        long_range_cutoff: of the model's electrostatics and dispersion (A) instead of the file's own; math.inf sums
            over all pairs of an open structure. Energies with different cutoffs are not comparable: that of every pair
            is shifted to zero at the cutoff (SO3LR's water molecule: -5.016 eV with 12 A, -5.418 eV with math.inf).
        ewald: True: sum the Coulomb energy over the whole lattice (periodic structures only) instead of cutting it.
        units: "energy,length" of an sGDML file (.npz) that states none; without it, kcal/mol and Angstrom.
        uncertainty: add results["uncertainty"], standard deviations {"energy": eV, "forces": [N,3] eV/A} of a kernel
            model, to every calculation (docs/uncertainty.md). Periodic models first need `prepare_uncertainty`.

    Attributes:
        info: how the last results came about: model, path, filters, units of the model, dtype, device, number of atoms
            and of edges.

    Raises (when a property is asked for):
        ValueError: not a number among the positions, an element the model was not trained on, atoms closer than 0.2 A.
        PropertyNotImplementedError: stress of a structure without periodic axes or without volume.
        RuntimeError: the model returned a number that is not finite.
    """

    implemented_properties = ("energy", "free_energy", "energies", "forces", "stress")

    def __init__(
        self,
        model: str | os.PathLike | EnergyModel | DirectModel,
        device: str = "cpu",
        dtype: str | None = None,
        *,
        long_range_cutoff: float | None = None,
        ewald: bool | None = None,
        units: str | None = None,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        if dtype is not None and dtype not in _DTYPES:
            raise ValueError(f"dtype must be float32, float64 or None; received {dtype!r}")
        is_path = isinstance(model, (str, os.PathLike))
        self.model_name = Path(model).name if is_path else type(model).__name__
        if units is not None and not is_path:
            raise ValueError(f"units must be left out for a model in memory, which knows them; received {units!r}")
        loaded = load(model, units=units) if is_path else model
        if long_range_cutoff is not None or ewald is not None:
            loaded = loaded if is_path else copy.deepcopy(loaded)
            set_long_range(loaded, long_range_cutoff, ewald)
        self.device = usable_device(device)
        self.model = _placed(loaded, self.device, _DTYPES.get(dtype, loaded.dtype), private=is_path)
        if uncertainty:
            self.model = _with_uncertainty(self.model, self.model_name, private=self.model is not model)
        self._always = ("uncertainty",) if uncertainty else ()
        self._owns_model = self.model is not model
        self.implemented_properties = _offered(self.model, self.model_name)
        self.info: dict[str, Any] = {}
        # properties asked for of this structure and of the one before
        self._asked, self._asked_before = set(), set()

    @property
    def dtype(self) -> str:
        """Precision of the network; positions, distances and sums are float64 in any case."""
        return str(self.model.dtype).removeprefix("torch.")

    def _get_name(self) -> str:
        return "pyff"  # what ASE databases and trajectories record

    def __repr__(self) -> str:
        return f"pyff.Calculator({self.model_name!r}, device={str(self.device)!r}, dtype={self.dtype!r})"

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """Names of what changed since the last calculation, charge and spin included. Any bit counts as a change."""
        if self.atoms is None:
            return list(all_changes)
        old, new = _state(self.atoms), _state(atoms)
        return [name for name in new if not np.array_equal(old[name], new[name])]

    def get_property(self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True):
        """A property by ASE's name, from the cache where nothing has changed."""
        value = super().get_property(name, atoms, allow_calculation)
        self._asked.add(name)
        return value

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        """Compute the properties asked for (ASE calls this; use `atoms.get_...`)."""
        if atoms is not None:
            if self.check_state(atoms):
                self.results = {}  # what is not asked for now would stay from the structure before
                self._asked_before, self._asked = self._asked, set()
            self.atoms = atoms.copy()
        atoms = self.atoms
        # loops that read the energy first and then the forces should not pay for two calculations
        properties = {*properties, *self._always, *(self._asked_before & {"forces"})}
        try:
            results = self._compute(atoms, properties)
        except PropertyNotImplementedError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            raise _with_context(error, self._context(atoms)) from error
        for value in results.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)  # ASE hands out copies; this protects the cache from calc.results[...]
        self.results.update(results)

    def _compute(self, atoms: Atoms, properties) -> dict[str, Any]:
        if "stress" in properties:
            _require_volume(atoms, self._context(atoms))
        if not len(atoms):
            raise ValueError("atoms must hold at least one atom; received none")
        if not np.isfinite(atoms.positions).all():
            bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
            raise ValueError(f"positions must be finite; received NaN or infinity for atoms {_some(bad)}")
        system = from_ase(atoms)
        # a new list every time: finding the pairs costs less than sorting out those of an old list that still count
        batch = collate([system], self.model.needs, self.device)
        _require_apart(batch, system)
        with torch.no_grad(), own_weights(self._owns_model):
            output = self.model(batch, want=_want(properties, self.model.offers))
        self.info = {
            "model": self.model_name,
            "path": "closed form" if isinstance(self.model, DirectModel) else "learning",
            "filters": getattr(self.model, "last_filters", None),
            "units": getattr(self.model, "info", {}).get("units", "eV, Angstrom"),
            "dtype": self.dtype,
            "device": str(self.device),
            "n_atoms": batch.n_atoms,
            "n_edges": batch.n_edges,
        }
        return _results(output)

    def _context(self, atoms: Atoms) -> str:
        pbc = "".join("FT"[bool(p)] for p in atoms.pbc)
        formula = atoms.get_chemical_formula() if len(atoms) else "no atoms"
        return f"{formula}, {len(atoms)} atoms, pbc {pbc}, model {self.model_name}"


def _placed(model: nn.Module, device: torch.device, dtype: torch.dtype, *, private: bool) -> nn.Module:
    """The model on a device, in a precision, in eval mode: itself if it is already so, else a copy."""
    there = device_of(model) == device and model.dtype == dtype and not model.training
    if there:
        return model
    return (model if private else copy.deepcopy(model)).to(device=device, dtype=dtype).eval()


def _with_uncertainty(model: nn.Module, name: str, *, private: bool) -> nn.Module:
    """The model, or a copy, that offers its uncertainty."""
    if "uncertainty" in model.offers:
        return model
    if not hasattr(model, "prepare_uncertainty"):
        raise ValueError(f"uncertainty needs a kernel model; received {name}, a {type(model).__name__}")
    model = model if private else copy.deepcopy(model)
    model.prepare_uncertainty()
    return model


def _offered(model: nn.Module, name: str) -> list[str]:
    """ASE's names of what the model can compute."""
    offers = model.offers
    if "energy" not in offers:
        raise ValueError(f"{name} predicts {', '.join(sorted(offers))}, not an energy; a calculator needs an energy")
    sources = {"energies": "atom_energy"} | {n: n for n in ("forces", "stress", "charges", "dipole")}
    sources |= {"hirshfeld_ratios": "hirshfeld", "energy_terms": "energy_terms", "uncertainty": "uncertainty"}
    return ["energy", "free_energy", *(n for n, source in sources.items() if source in offers)]


def _want(properties, offers: frozenset[str]) -> list[str]:
    """Names for the model: what was asked, and what costs nothing more (energies always, forces with stress, in a model
    with physics terms what they are made of)."""
    want = [
        "energy",
        *sorted(offers & {"atom_energy"}),
        *(n for n in ("charges", "dipole", "uncertainty") if n in properties),
    ]
    if "energy_terms" in offers:
        want += sorted(offers & {"charges", "hirshfeld", "energy_terms"})
    if "stress" in properties:
        return [*want, "forces", "stress"]
    return [*want, "forces"] if "forces" in properties else want


def _state(atoms: Atoms) -> dict[str, Any]:
    """Everything a model may read, by ASE's names of changes."""
    return {
        "positions": atoms.positions,
        "numbers": atoms.numbers,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "initial_charges": total_charge(atoms),
        "initial_magmoms": unpaired_electrons(atoms),
    }


def _require_volume(atoms: Atoms, context: str) -> None:
    if not atoms.pbc.any():
        raise PropertyNotImplementedError(f"stress needs a periodic structure; this one is open ({context})")
    if atoms.cell.rank < 3:
        raise PropertyNotImplementedError(
            f"stress needs a cell with a volume; give the open axes of this one a length too ({context})"
        )


def _require_apart(batch: GraphBatch, system: System) -> None:
    """Raise ValueError naming the pair if two atoms (or an atom and an image) are closer than CLOSEST."""
    if not batch.n_edges:
        return
    vec = batch.pos[batch.idx_j] - batch.pos[batch.idx_i]
    if system.pbc.any():
        vec = torch.addmm(vec, batch.shift.to(vec.dtype), batch.cell[0])
    squared = vec.square().sum(1)
    smallest, edge = squared.min(0)
    if float(smallest) >= CLOSEST**2:
        return
    from ase.data import chemical_symbols

    i, j = int(batch.idx_i[edge]), int(batch.idx_j[edge])
    label = lambda k: f"{chemical_symbols[system.Z[k]]}{k}"  # noqa: E731
    other = label(j) if i != j else "its own periodic image"
    raise ValueError(
        f"atoms must be at least {CLOSEST} A apart; {label(i)} and {other} are {float(smallest) ** 0.5:.3g} A "
        "apart. Look for duplicated atoms, a wrong length unit or a cell that is too small."
    )


def _results(output: Output) -> dict[str, Any]:
    energy = float(output.energy)
    results: dict[str, Any] = {"energy": energy, "free_energy": energy}
    for name, source in _ARRAYS.items():
        value = getattr(output, source)
        if value is not None:
            results[name] = value.double().cpu().numpy().copy()
    if output.energy_terms is not None:
        results["energy_terms"] = {name: float(energy) for name, energy in output.energy_terms.items()}
    if output.uncertainty is not None:
        found = output.uncertainty
        results["uncertainty"] = {"energy": float(found["energy"]), "forces": found["forces"].cpu().numpy().copy()}
    if output.dipole is not None:
        results["dipole"] = output.dipole[0].double().cpu().numpy().copy()
    if output.stress is not None:
        results["stress"] = full_3x3_to_voigt_6_stress(output.stress[0].double().cpu().numpy())
    for name, value in results.items():
        if not all(np.isfinite(x).all() for x in (value.values() if isinstance(value, dict) else [value])):
            raise RuntimeError(
                f"the model returned {name} that are not finite: the structure is far from anything it was trained on"
            )
    return results


def _some(indices: np.ndarray, limit: int = 5) -> str:
    text = ", ".join(str(k) for k in indices[:limit])
    return text if len(indices) <= limit else f"{text}, ... ({len(indices)} in all)"


def _with_context(error: Exception, context: str) -> Exception:
    """The same kind of error, its sentence followed by what was being computed."""
    kind = next(k for k in (type(error), ValueError, TypeError, RuntimeError) if isinstance(error, k))
    try:
        return kind(f"{error} [{context}]")
    except TypeError:  # an exception class with a constructor of its own
        return RuntimeError(f"{error} [{context}]")
