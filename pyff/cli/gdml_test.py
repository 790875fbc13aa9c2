"""`pyff gdml test` and `pyff gdml validate`: errors of models, kept in their files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyff.cli.console import Console
from pyff.cli.gdml_show import force_unit, number, stored_errors
from pyff.cli.gdml_units import require_same_units, units_of_arrays
from pyff.errors import PyffError
from pyff.interfaces.sgdml import SgdmlFileError, dataset_md5, fingerprint, kind_of, read_sgdml, write_sgdml
from pyff.models.gdml import GDML, composition_difference
from pyff.models.gdml.sgdml_file import DEFAULT_UNITS, model_of_arrays, text_of
from pyff.train.gdml.data import require_finite
from pyff.train.gdml.errors import GdmlErrors, prediction_errors
from pyff.train.gdml.sampling import stratified_sample

__all__ = ["ModelFile", "compute_errors", "model_files", "run_test", "run_validate", "test_models"]

UNITS_UNKNOWN = "units: those of the data set, which no file states"

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ModelFile:
    """A model and the arrays of its file."""

    path: Path
    arrays: Arrays
    model: GDML

    @classmethod
    def read(cls, path: Path, device: str = "cpu") -> ModelFile:
        arrays = read_sgdml(path, "m")
        # errors are in the file's own units, whatever these are
        units = None if text_of(arrays.get("e_unit")) else DEFAULT_UNITS
        return cls(path, arrays, model_of_arrays(arrays, units, str(path)).to(device))

    def indices(self, what: str) -> np.ndarray:
        """Frames of the data set that were used to "train" or "valid"; none where the file does not say."""
        return np.asarray(self.arrays.get(f"idxs_{what}", np.empty(0)), dtype=np.int64).ravel()

    def is_from(self, dataset: Arrays, what: str) -> bool:
        """Whether a data set is the one whose frames `indices` names."""
        wanted = text_of(self.arrays.get(f"md5_{what}"))
        return wanted is not None and wanted in (fingerprint(dataset), dataset_md5(dataset))

    @property
    def uses_energies(self) -> bool:
        return bool(np.squeeze(self.arrays.get("use_E", True)))

    def write(self, errors: GdmlErrors, **changes) -> None:
        """Put errors into the file."""
        found = {"f_err": vars(errors.forces).copy()}
        if errors.energy is not None:
            found["e_err"] = vars(errors.energy).copy()
        write_sgdml(self.path, self.arrays | found | changes)


def model_files(path: Path) -> list[Path]:
    """The file itself, or all models of a folder."""
    if not path.is_dir():
        return [path]
    found = [p for p in sorted(path.glob("*.npz")) if _is_model(p)]
    if not found:
        raise SgdmlFileError(f"{path} must hold models of sGDML (.npz); it holds none")
    return found


def _is_model(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as archive:
        return any(kind_of({k: archive[k]}) == "m" for k in archive.files if k in ("type", "Rt_desc", "trainPts_D"))


def run_test(
    console: Console, model: Path, dataset: Path, n_test: int, *, overwrite: bool, seed: int, device: str
) -> int:
    """Print errors on points that the models have not seen; the exit code."""
    errors = test_models(console, model, dataset, n_test, overwrite=overwrite, seed=seed, device=device)
    console.result(errors=errors)
    return 0


def test_models(
    console: Console, model: Path, dataset: Path, n_test: int, *, overwrite: bool, seed: int, device: str
) -> dict[str, dict]:
    """Print errors on points that the models have not seen, and keep them in the files; errors by file."""
    data, rng = read_sgdml(dataset, "d"), np.random.default_rng(seed)
    results = {}
    for path in model_files(model):
        file = ModelFile.read(path, device)
        frames = _unseen(console, file, data, n_test, rng)
        expected = {k: stored_errors(file.arrays, k) for k in ("e_err", "f_err")}
        errors = compute_errors(console, file, data, frames, "test")
        _print_errors(console, file, data, errors, expected)
        _keep_test(console, file, data, errors, overwrite)
        results[path.name] = _as_dict(errors)
    return results


def run_validate(console: Console, model: Path, dataset: Path, *, overwrite: bool, force: bool, device: str) -> int:
    """Put errors on their validation points into model files; the exit code."""
    data = read_sgdml(dataset, "d")
    rows, results = [], {}
    for path in model_files(model):
        file = ModelFile.read(path, device)
        if stored_errors(file.arrays, "f_err") and not overwrite:
            console.say(f"{path.name} has been validated; --overwrite does it again")
            continue
        _require_validation_set(console, file, data, dataset, force)
        errors = compute_errors(console, file, data, file.indices("valid"), "validation")
        file.write(errors, **({"n_test": 0} if overwrite else {}))
        energy = ["-", "-"] if errors.energy is None else [errors.energy.mae, errors.energy.rmse]
        rows.append([path.name, file.model.config.sigma, *energy, errors.forces.mae, errors.forces.rmse])
        results[path.name] = errors
    if rows:
        energy, force_name = force_unit(file.arrays)
        console.table(["model", "sigma", "energy MAE", "RMSE", "forces MAE", "RMSE"], rows)
        console.say(f"energies in {energy}, forces in {force_name}" if force_name else UNITS_UNKNOWN)
    console.result(errors={name: _as_dict(errors) for name, errors in results.items()})
    return 0


def compute_errors(console: Console, file: ModelFile, data: Arrays, frames: np.ndarray, what: str) -> GdmlErrors:
    """Errors of a model on frames of a data set, with progress."""
    own, other = file.model.Z.tolist(), np.ravel(data["z"]).astype(int).tolist()
    if own != other:
        raise PyffError(composition_difference(own, other, "the data set"))
    if file.model.is_periodic != ("lattice" in data):
        has, lacks = ("model", "data set") if file.model.is_periodic else ("data set", "model")
        raise PyffError(
            f"model and data set must both be periodic or both open; the {has} has a lattice, the {lacks} none"
        )
    require_same_units(*map(units_of_arrays, (file.arrays, data)), "the model states", "the data set")
    require_finite({"R": data["R"], "F": data["F"]})
    energy = np.ravel(data["E"])[frames] if file.uses_energies and "E" in data else None
    if energy is None and file.uses_energies:
        console.warn("the data set has no energies: errors of forces only")
    began = time.perf_counter()
    with console.progress(len(frames), "geometry") as shown:

        def progress(done: int, errors: GdmlErrors) -> None:
            rate = done / (time.perf_counter() - began)
            parts = [] if errors.energy is None else [f"energy {errors.energy.mae:.3f}/{errors.energy.rmse:.3f}"]
            parts.append(f"forces {errors.forces.mae:.3f}/{errors.forces.rmse:.3f}")
            shown(done, f"{what} errors (MAE/RMSE): {', '.join(parts)} @ {rate:.1f} geo/s")

        return prediction_errors(file.model, data["R"][frames], data["F"][frames], energy, progress)


def _unseen(console: Console, file: ModelFile, data: Arrays, n_test: int, rng: np.random.Generator) -> np.ndarray:
    """Frames to test on: neither trained nor validated on, spread over the energies."""
    n = len(data["R"])
    seen = [file.indices(what) for what in ("train", "valid") if file.is_from(data, what)]
    seen = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.int64)
    left = n - len(seen)
    if not left:
        raise PyffError("the data set must hold points that the model has not seen; all were trained or validated on")
    if n_test > left:
        console.warn(f"only {left:,} points of the data set are new to {file.path.name}: tested on these")
    n_test = min(n_test or left, left)
    if "E" not in data:
        console.warn("the data set has no energies: test points are drawn without their guidance")
    energies = np.ravel(data["E"]) if "E" in data else np.zeros(n)
    return stratified_sample(energies, n_test, rng, seen)


def _require_validation_set(console: Console, file: ModelFile, data: Arrays, dataset: Path, force: bool) -> None:
    frames = file.indices("valid")
    if not len(frames):
        raise PyffError(f"{file.path.name} must name validation points (idxs_valid); it names none")
    if len(data["R"]) <= frames.max():
        raise PyffError(
            f"{dataset.name} must hold the validation frame {frames.max()} of {file.path.name}; it has "
            f"{len(data['R'])} frames"
        )
    if file.is_from(data, "valid"):
        return
    sentence = (
        f"the fingerprint of {dataset.name}, {fingerprint(data)}, must be that of the validation set in "
        f"{file.path.name}, {text_of(file.arrays.get('md5_valid'))}"
    )
    if not force:
        raise PyffError(f"{sentence}. Give that data set, or --force if the frames are the same all the same")
    console.warn(sentence)


def _print_errors(console: Console, file: ModelFile, data: Arrays, errors: GdmlErrors, expected: dict) -> None:
    units = force_unit(data if "e_unit" in data else file.arrays)
    console.heading(
        f"{file.path.name}: {file.model.n_train:,} + {len(file.indices('valid')):,} points (training + validation), "
        f"sigma {file.model.config.sigma:g}, tested on {errors.n:,}"
    )
    rows = []
    for name, error, unit, key in (
        ("energies", errors.energy, units[0], "e_err"), ("forces", errors.forces, units[1], "f_err"),
        ("  magnitude", errors.magnitude, units[1], ""), ("  angle", errors.angle, "0-1", ""),
    ):  # fmt: skip
        if error is not None:
            before = expected.get(key)
            change = f"{100 * (error.rmse / before['rmse'] - 1):+.1f} % of the RMSE expected" if before else ""
            rows.append([name, error.mae, error.rmse, unit, change])
    console.table(["test errors", "MAE", "RMSE", "unit", ""], rows)
    if not units[1]:
        console.say(UNITS_UNKNOWN)


def _keep_test(console: Console, file: ModelFile, data: Arrays, errors: GdmlErrors, overwrite: bool) -> None:
    if "type" not in file.arrays:
        console.say(f"{file.path.name} is in a layout of 2018, which stays as it is: errors are not kept")
        return
    before = int(number(file.arrays, "n_test") or 0)
    if overwrite or before < errors.n:
        file.write(errors, n_test=errors.n, md5_test=fingerprint(data).encode())
        console.say(f"kept in {file.path.name} as the errors to expect")
    else:
        console.say(
            f"{file.path.name} keeps the errors of its earlier test on {before:,} points; --overwrite replaces them"
        )


def _as_dict(errors: GdmlErrors) -> dict:
    parts = {name: getattr(errors, name) for name in ("energy", "forces", "magnitude", "angle")}
    return {"n": errors.n} | {name: vars(error) for name, error in parts.items() if error is not None}
