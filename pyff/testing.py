"""`check_potential`: what every potential owes its users, checked on any model.

    import pyff.testing
    pyff.testing.check_potential(pyff.load("model.safetensors"))

Each check is public as well. All raise AssertionError with both sides of the comparison. Tolerances are relative to the
scale s = max(1 eV or eV/A, largest magnitude of the reference).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pyff.batch import GraphBatch, Output, System
from pyff.data.collate import collate

__all__ = [
    "TOLERANCES",
    "Tolerances",
    "check_batching",
    "check_cutoff",
    "check_forces",
    "check_images",
    "check_isolated_atom",
    "check_motion",
    "check_permutation",
    "check_potential",
    "check_purity",
    "check_stress",
    "check_supercell",
    "example_systems",
]


@dataclass(frozen=True)
class Tolerances:
    """Relative bounds of the checks.

    exact: symmetries, which hold up to the order of sums. derivative: forces and stress against finite differences of
    fourth order with this step (A, or strain): small enough for the fifth derivative of atoms packed closely, large
    enough for the rounding of the energy. cutoff_energy, cutoff_force: jumps across a step of 1e-5 A at the cutoff.
    """

    exact: float
    derivative: float
    step: float
    cutoff_energy: float = 1e-7
    cutoff_force: float = 1e-5


TOLERANCES = {
    torch.float64: Tolerances(exact=1e-9, derivative=2e-6, step=2e-4),
    torch.float32: Tolerances(exact=3e-4, derivative=1e-2, step=1e-3, cutoff_energy=1e-4, cutoff_force=1e-3),
}
ALL = frozenset({"energy", "forces", "stress", "atom_energy"})


def check_potential(
    model, systems: Sequence[System] | None = None, *, periodic: bool = True, smooth: bool = True, seed: int = 0
) -> None:
    """Check a model's symmetries, derivatives and manners on a few structures.

    Translation, rotation, reflection, permutation, batch = single, choice of images, supercell, forces and stress
    against finite differences, smoothness at the cutoff, an isolated atom, inputs left alone, dtype kept. A model of
    one composition (`needs.fixed_composition`) is spared what changes number or order of the atoms.

    Args:
        model: a potential (`needs`, `forward(batch, want)`) in eval mode, on the CPU.
        systems: structures to use; None for random ones of the model's elements (molecule, triclinic crystal, slab),
            which a model of one composition cannot compute: give some.
        periodic: False for a model that refuses periodic cells.
        smooth: False for a model without a cutoff function, which jumps at the cutoff by design.
        seed: of the random structures and motions.

    Raises:
        AssertionError: naming the check, with both sides.
    """
    rng = np.random.default_rng(seed)
    any_composition = not model.needs.fixed_composition
    if systems is None and not any_composition:
        raise ValueError("systems must be given for a model of one composition; received None")
    systems = list(systems) if systems is not None else example_systems(model, rng, periodic=periodic)
    for system in systems:
        check_purity(model, system)
        check_motion(model, system, rng)
        check_forces(model, system, rng)
        if any_composition:
            check_permutation(model, system, rng)
        if system.pbc.any():
            check_images(model, system, rng)
            check_stress(model, system)
        if system.pbc.any() and any_composition:
            check_supercell(model, system)
    check_batching(model, systems)
    for Z in getattr(model, "elements", (1,)) if any_composition else ():
        check_isolated_atom(model, Z)
    if smooth and model.needs.cutoff is not None:
        check_cutoff(model, rng)


def example_systems(model, rng: np.random.Generator, *, periodic: bool = True) -> list[System]:
    """A 13-atom cluster and, where periodic, a triclinic crystal and a slab, of the model's elements."""
    elements = np.array(getattr(model, "elements", (1,)))
    cluster = System(rng.choice(elements, 13), _scattered(rng, 13, np.eye(3) * 5.5, (False,) * 3))
    if not periodic:
        return [cluster]
    tilted = np.array([[5.2, 0.0, 0.0], [1.3, 4.9, 0.0], [-0.8, 1.1, 5.6]])
    slab_cell = np.array([[5.0, 0.3, 0.0], [1.0, 5.4, 0.0], [0.4, 0.2, 14.0]])
    box = slab_cell * [[1.0], [1.0], [0.35]]
    return [
        cluster,
        System(rng.choice(elements, 9), _scattered(rng, 9, tilted, (True,) * 3), tilted, np.ones(3, bool)),
        System(rng.choice(elements, 8), _scattered(rng, 8, box, (True, True, False)), slab_cell, [True, True, False]),
    ]


def check_purity(model, system: System) -> None:
    """The batch is left as it was, repeated calls agree bit for bit, and dtypes are those of the contract."""
    batch = _batch(model, [system])
    before = {name: value.clone() for name, value in batch.named_tensors()}
    dtype = getattr(model, "dtype", None)
    first, second = _call(model, batch), _call(model, batch)
    for name, value in batch.named_tensors():
        _require(torch.equal(value, before[name]), "purity", f"the model changed batch.{name}")
    for name in sorted(_wanted(model, ALL - {"stress"})):
        a, b = getattr(first, name), getattr(second, name)
        _require(torch.equal(a, b), "purity", f"{name} differs between two calls: {a} and {b}")
        _require(a.dtype == torch.float64, "purity", f"{name} must be float64; received {a.dtype}")
        _require(not a.requires_grad, "purity", f"{name} must be detached in no_grad mode")
    _require(getattr(model, "dtype", None) == dtype, "purity", f"the model's dtype changed from {dtype}")
    if first.atom_energy is not None:
        total = first.atom_energy.sum()
        _compare("purity", "sum of atom energies and energy", total, first.energy[0], _tolerances(model).exact)


def check_motion(model, system: System, rng: np.random.Generator) -> None:
    """Translation, rotation and reflection: same energy, forces and stress that turn along, no net force or torque."""
    exact = _tolerances(model).exact
    reference = predict(model, system)
    moved = predict(model, replace(system, pos=system.pos + rng.normal(size=3) * 5))
    _compare("translation", "energy", moved.energy, reference.energy, exact)
    _compare("translation", "forces", moved.forces, reference.forces, exact)
    for name, Q in (("rotation", _rotation(rng)), ("reflection", -_rotation(rng))):
        turned = predict(model, replace(system, pos=system.pos @ Q.T, cell=system.cell @ Q.T))
        Qt = torch.from_numpy(Q)
        _compare(name, "energy", turned.energy, reference.energy, exact)
        _compare(name, "forces", turned.forces, reference.forces @ Qt.T, exact)
        if reference.stress is not None:
            _compare(name, "stress", turned.stress[0], Qt @ reference.stress[0] @ Qt.T, exact)
    _compare("translation", "net force", reference.forces.sum(0), torch.zeros(3), exact * len(system))
    if not system.pbc.any():
        torque = torch.linalg.cross(torch.from_numpy(system.pos), reference.forces).sum(0)
        _compare("rotation", "net torque", torque, torch.zeros(3), exact * len(system) * max(1, np.ptp(system.pos)))


def check_permutation(model, system: System, rng: np.random.Generator) -> None:
    """Numbering the atoms differently changes nothing but their order."""
    exact, order = _tolerances(model).exact, rng.permutation(len(system))
    reference = predict(model, system)
    shuffled = predict(model, replace(system, Z=system.Z[order], pos=system.pos[order]))
    _compare("permutation", "energy", shuffled.energy, reference.energy, exact)
    _compare("permutation", "forces", shuffled.forces, reference.forces[order], exact)
    _compare("permutation", "atom energies", shuffled.atom_energy, reference.atom_energy[order], exact)


def check_batching(model, systems: Sequence[System]) -> None:
    """Structures computed together are the structures computed alone."""
    exact, n = _tolerances(model).exact, [len(s) for s in systems]
    together = _call(model, _batch(model, systems), ("energy", "forces"))
    for k, (system, forces) in enumerate(zip(systems, together.forces.split(n))):
        alone = _call(model, _batch(model, [system]), ("energy", "forces"))
        _compare("batch = single", f"energy of structure {k}", together.energy[k], alone.energy[0], exact)
        _compare("batch = single", f"forces of structure {k}", forces, alone.forces, exact)


def check_images(model, system: System, rng: np.random.Generator) -> None:
    """Any periodic image of any atom may stand for it, near or far, and so may another choice of cell vectors."""
    exact, reference = _tolerances(model).exact, predict(model, system)
    shifts = rng.integers(-5, 6, size=(len(system), 3)) * system.pbc
    periodic = np.flatnonzero(system.pbc)
    other = system.cell.copy()
    if len(periodic) > 1:  # a + b spans the same lattice as a
        other[periodic[0]] += other[periodic[1]]
    cases = {
        "moved by lattice vectors": replace(system, pos=system.pos + shifts @ system.cell),
        "in another cell of the same lattice": replace(system, cell=other),
        "in a left-handed cell": replace(system, cell=system.cell * [[-1.0], [1.0], [1.0]]),
    }
    for name, case in cases.items():
        result = predict(model, case)
        _compare("image choice", f"energy {name}", result.energy, reference.energy, exact)
        _compare("image choice", f"forces {name}", result.forces, reference.forces, exact)


def check_supercell(model, system: System) -> None:
    """m copies of a periodic structure: m times the energy, the same forces, the same stress."""
    exact, reference = _tolerances(model).exact, predict(model, system)
    axis = int(np.flatnonzero(system.pbc)[-1])
    pos = np.concatenate([system.pos, system.pos + system.cell[axis]])
    cell = system.cell.copy()
    cell[axis] *= 2
    double = predict(model, replace(system, Z=np.tile(system.Z, 2), pos=pos, cell=cell))
    _compare("supercell", "energy per copy", double.energy / 2, reference.energy, exact)
    _compare("supercell", "forces", double.forces, reference.forces.repeat(2, 1), exact)
    _compare("supercell", "stress", double.stress, reference.stress, exact)


def check_forces(model, system: System, rng: np.random.Generator, directions: int = 8) -> None:
    """Forces are minus the gradient of the energy: single coordinates and collective moves, fourth-order stencil."""
    forces = predict(model, system).forces.numpy()
    n = len(system)
    moves = [np.eye(3 * n)[k].reshape(n, 3) for k in rng.choice(3 * n, min(directions, 3 * n), replace=False)]
    moves += [rng.normal(size=(n, 3)) / np.sqrt(3 * n) for _ in range(2)]
    tolerances = _tolerances(model)
    scale = max(1.0, np.abs(forces).max())
    for move in moves:
        along = lambda h, move=move: _energy(model, replace(system, pos=system.pos + h * move))  # noqa: E731
        slope = -_slope(along, tolerances.step)
        _compare("forces", "finite difference and force", slope, (forces * move).sum(), tolerances.derivative, scale)


def check_stress(model, system: System) -> None:
    """stress = (1/V) dE/dstrain for each of the six components, V the volume of the cell, also for a slab."""
    stress = predict(model, system).stress[0].numpy()
    tolerances, volume = _tolerances(model), abs(np.linalg.det(system.cell))
    scale = max(1.0, np.abs(stress * volume).max())
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5
        strain[b, a] += 0.5

        def energy(h: float, strain: np.ndarray = strain) -> float:
            deform = np.eye(3) + h * strain
            return _energy(model, replace(system, pos=system.pos @ deform, cell=system.cell @ deform))

        name = f"V x stress, component {'xyz'[a]}{'xyz'[b]},"
        slope = _slope(energy, tolerances.step)
        _compare("stress", name, volume * stress[a, b], slope, tolerances.derivative, scale)


def check_isolated_atom(model, Z: int) -> None:
    """One atom without neighbors, open or in a large cell: a finite energy and no force."""
    alone = System([Z], [[0.3, -0.2, 0.1]])
    energy = predict(model, alone)
    _require(bool(energy.energy.isfinite().all()), "isolated atom", f"energy of element {Z} is {energy.energy}")
    _compare("isolated atom", f"force on element {Z}", energy.forces, torch.zeros(1, 3), 1e-12)


def check_cutoff(model, rng: np.random.Generator) -> None:
    """Energy and forces are continuous where a neighbor crosses the cutoff, with and without other atoms around."""
    bounds, cutoff, Z = _tolerances(model), model.needs.cutoff, int(getattr(model, "elements", (1,))[0])
    around = _scattered(rng, 4, np.eye(3) * 3.0, (False,) * 3)
    for name, others in (("dimer", np.zeros((1, 3))), ("molecule", around)):
        half = 5e-6
        far = [others[0] + [cutoff + sign * half, 0.0, 0.0] for sign in (-1, 1)]
        inside, outside = (predict(model, System([Z] * (len(others) + 1), np.vstack([others, p]))) for p in far)
        # the smooth change over the step itself is not a jump
        drift = 2 * half * float(max(inside.forces.abs().max(), outside.forces.abs().max()))
        _compare("cutoff", f"energy of a {name}", inside.energy, outside.energy, bounds.cutoff_energy, 1.0, drift)
        _compare("cutoff", f"forces of a {name}", inside.forces, outside.forces, bounds.cutoff_force, 1.0)


def predict(model, system: System) -> Output:
    """Everything the model says about one structure; stress only where there is a cell."""
    volume = system.pbc.any() and abs(np.linalg.det(system.cell)) > 0
    return _call(model, _batch(model, [system]), ALL if volume else ALL - {"stress"})


def _call(model, batch: GraphBatch, want: Iterable[str] = ALL - {"stress"}) -> Output:
    with torch.no_grad():
        return model(batch, want=_wanted(model, want))


def _wanted(model, names: Iterable[str]) -> frozenset[str]:
    """The names a model offers; forces that it lacks are an error, atomic energies are not."""
    return frozenset(names) - ({"atom_energy"} - getattr(model, "offers", ALL))


def _batch(model, systems: Sequence[System]) -> GraphBatch:
    return collate(list(systems), model.needs, "cpu")


def _energy(model, system: System) -> float:
    return float(_call(model, _batch(model, [system]), ("energy",)).energy)


def _tolerances(model) -> Tolerances:
    return TOLERANCES[getattr(model, "dtype", torch.float64)]


def _slope(f: Callable[[float], float], step: float) -> float:
    """f'(0) by the fourth-order central difference."""
    return (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step)


def _compare(check: str, what: str, a, b, bound: float, scale: float | None = None, extra: float = 0.0) -> None:
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (a, b))
    difference = float((a - b).abs().max()) if a.numel() else 0.0
    scale = max(1.0, float(b.abs().max()) if b.numel() else 0.0) if scale is None else scale
    if difference <= bound * scale + extra:  # also false for NaN
        return
    show = lambda x: np.array2string(x.detach().numpy(), precision=10, threshold=30)  # noqa: E731
    raise AssertionError(
        f"{check}: {what} must agree to {bound:g} x {scale:.3g}; difference {difference:.3e}\n{show(a)}\n{show(b)}"
    )


def _require(condition: bool, check: str, sentence: str) -> None:
    if not condition:
        raise AssertionError(f"{check}: {sentence}")


def _rotation(rng: np.random.Generator) -> np.ndarray:
    Q, R = np.linalg.qr(rng.normal(size=(3, 3)))
    Q *= np.sign(np.diag(R))
    return Q * np.sign(np.linalg.det(Q))


def _scattered(rng: np.random.Generator, n: int, box: np.ndarray, pbc, closest: float = 1.1) -> np.ndarray:
    """n random points in a box, no two (with images) closer than `closest` A."""
    from ase.geometry import get_distances

    points = np.zeros((0, 3))
    for _ in range(20_000):
        point = rng.random((1, 3)) @ box
        if not len(points) or get_distances(point, points, cell=box, pbc=pbc)[1].min() > closest:
            points = np.vstack([points, point])
        if len(points) == n:
            return points
    raise RuntimeError(f"could not place {n} atoms {closest} A apart in the box")
