"""SO3LR's published parameters against the numbers of the reference program and of an independent evaluation.

References: ref_so3lr (energies and forces of the JAX program in double precision, long-range cutoff 12 A, damping 2),
and float64 values of small molecules without a cutoff. The published program holds one constant of its radial basis
in single precision, which shifts energies of molecules by some 1e-6 eV.
"""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from _data import shared_data
from ase import Atoms
from ase.io import read

import pyff
from pyff._pickle_machine import PickleError
from pyff.cli import run
from pyff.data import from_ase
from pyff.data.collate import collate
from pyff.errors import ConversionError
from pyff.interfaces.so3lr import is_so3lr, read_so3lr, to_pyff

H2 = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]])
WATER = Atoms("OHH", [[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]])
SAME_PROGRAM, SAME_MODEL = 1e-8, 5e-6  # eV: one evaluation of the same constants; the program's own constants


@pytest.fixture(scope="module")
def source():
    return read_so3lr(shared_data("model_so3lr") / "params.pkl")


@pytest.fixture(scope="module")
def open_model(source):
    return to_pyff(source, long_range_cutoff=math.inf).double()


@pytest.fixture(scope="module")
def model(source):
    return to_pyff(source).double()


@pytest.fixture(scope="module")
def references():
    return shared_data("ref_so3lr")


def charged(atoms: Atoms, charge: float) -> Atoms:
    atoms = atoms.copy()
    atoms.info["charge"] = charge
    return atoms


def predict(model, atoms: Atoms, *want: str):
    with torch.no_grad():
        return model(collate([from_ase(atoms)], model.needs), want or ("energy",))


@pytest.mark.parametrize(("atoms", "energy", "terms", "charges", "hirshfeld"), [
    (H2, -2.4151045354, (-3.3028273, 0.8882476, 0.0, -0.0005249), (0, 0), (0.480091, 0.480091)),
    (charged(H2, 1), 1.0518348511, None, (0.5, 0.5), None),
    (WATER, -5.4242036587, (-5.3762374, 1.3255705, -1.3704583, -0.0030785), (-0.674006, 0.337003, 0.337003),
     (0.941623, 0.609045, 0.609045)),
    (charged(WATER, 1), -1.4835301267, None, None, None),
], ids=["H2", "H2+", "H2O", "H2O+"])  # fmt: skip
def test_so3lr_small_molecules_term_by_term(open_model, atoms, energy, terms, charges, hirshfeld):
    out = predict(open_model, atoms, "energy", "energy_terms", "charges", "hirshfeld")
    assert float(out.energy) == pytest.approx(energy, abs=SAME_PROGRAM)
    parts = {name: float(value) for name, value in out.energy_terms.items()}
    assert sum(parts.values()) == pytest.approx(float(out.energy), abs=1e-12) and parts.pop("reference") == 0.0
    if terms is not None:
        assert parts == pytest.approx(dict(zip(("network", "zbl", "electrostatics", "dispersion"), terms)), abs=1e-7)
    if charges is not None:
        np.testing.assert_allclose(out.charges, charges, atol=1e-6)
    if hirshfeld is not None:
        np.testing.assert_allclose(out.hirshfeld, hirshfeld, atol=1e-6)


@pytest.mark.parametrize(("name", "energy"), [("dha", -95.6477765455), ("atat", -112.9126240460)])
def test_so3lr_molecules_over_all_pairs(open_model, references, name, energy):
    atoms = read(references / f"{name}.xyz")
    atoms.pbc = False
    assert float(predict(open_model, atoms).energy) == pytest.approx(energy, abs=SAME_PROGRAM)


@pytest.mark.parametrize(("name", "energy"), [("dha", -94.899514), ("atat", -110.575819), ("bb", -256.336518)])
def test_so3lr_molecules_against_the_reference_program(model, references, name, energy):
    assert float(predict(model, read(references / f"{name}.xyz")).energy) == pytest.approx(energy, abs=SAME_MODEL)


def test_so3lr_forces_and_terms_of_dha(model, references):
    out = predict(model, read(references / "dha.xyz"), "energy", "forces", "features", "energy_terms")
    expected = np.load(references / "dha_jaxmd.npz")
    assert float(out.energy) == pytest.approx(float(expected["energy"]), abs=SAME_MODEL)
    np.testing.assert_allclose(out.forces, expected["forces"], rtol=0, atol=SAME_MODEL)
    positions = read(references / "dha.xyz").positions
    assert np.abs(out.forces.numpy().sum(0)).max() < 1e-9
    assert np.abs(np.cross(positions - positions.mean(0), out.forces.numpy()).sum(0)).max() < 1e-8
    terms = {"network": -97.2861819, "zbl": 4.9514426, "electrostatics": -1.7293025, "dispersion": -0.8354732,
             "reference": 0.0}  # fmt: skip
    assert {name: float(e) for name, e in out.energy_terms.items()} == pytest.approx(terms, abs=2e-7)
    assert float(out.features.x.abs().sum()) == pytest.approx(3946.17751, abs=1e-5)
    assert float(out.features.ev.abs().sum()) == pytest.approx(1634.98788, abs=2e-5)
    norms = [float(ev.norm()) for ev in out.features.ev.split([3, 5, 7, 9], 1)]
    assert norms == pytest.approx([30.37474, 50.49779, 41.02594, 20.88591], abs=1e-5)


@pytest.mark.slow
def test_so3lr_512_water_molecules_in_a_periodic_box(model, references):
    water = read(references / "water_64.xyz") * (2, 2, 2)
    assert float(predict(model, water).energy) == pytest.approx(-2681.06758, rel=1e-7)


def test_so3lr_box_smaller_than_twice_the_cutoffs_is_as_extensive_as_any(model, references):
    small = read(references / "water_64.xyz")  # 12.4 A
    one, two = (
        predict(model, small, "energy", "forces", "stress"),
        predict(model, small * (2, 1, 1), "energy", "forces"),
    )
    assert float(two.energy) == pytest.approx(2 * float(one.energy), rel=1e-12)
    np.testing.assert_allclose(two.forces, one.forces.repeat(2, 1), atol=1e-9)
    assert float(one.energy) == pytest.approx(-2681.06758 / 8, rel=1e-7)


def test_so3lr_in_single_precision(source, references):
    double, single = to_pyff(source).double(), to_pyff(source)
    atoms = read(references / "dha.xyz")
    exact, fast = (predict(m, atoms, "energy", "forces") for m in (double, single))
    assert single.last_filters.startswith("table")
    assert abs(float(fast.energy - exact.energy)) < 1e-5  # the issue asks for 1e-4
    assert (fast.forces - exact.forces).abs().max() < 1e-5


def test_so3lr_knows_the_elements_it_was_trained_on(source, model):
    assert source.elements == [1, 6, 7, 8, 9, 15, 16, 17]
    assert model.elements == tuple(source.elements) and model.config.long_range_cutoff == 12.0
    assert sum(p.numel() for p in model.parameters()) == 530_238 + 19 * (1 + 1 + 64)  # three tables have more rows here
    with pytest.raises(ValueError, match="trained on H, C, N, O, F, P, S, Cl only; received Si"):
        predict(model, Atoms("SiH", [[0, 0, 0], [0, 0, 1.5]]))


def test_convert_so3lr_on_the_command_line(tmp_path, capsys, references):
    path = tmp_path / "so3lr.safetensors"
    assert run(["convert", str(shared_data("model_so3lr") / "params.pkl"), str(path)]) == 0
    assert "SO3LR, 531,492 parameters" in capsys.readouterr().out
    assert run(["info", str(path)]) == 0
    text = capsys.readouterr().out
    assert "SO3LR" in text and "H C N O F P S Cl" in text and "Nature Communications 15, 6539" in text
    assert run(["convert", str(shared_data("model_so3lr") / "params.pkl"), str(path), "--units", "eV,Angstrom"]) == 1
    assert "exists already" in capsys.readouterr().err
    short = ["--long-range-cutoff", "1.5", "--overwrite"]
    assert run(["convert", str(shared_data("model_so3lr") / "params.pkl"), str(path), *short]) == 1
    said = capsys.readouterr().err
    assert said.startswith("pyff: long_range_cutoff must be larger than the 2 A") and "--long-range-cutoff" in said

    atoms = read(references / "dha.xyz")
    atoms.calc = calc = pyff.Calculator(path, dtype="float64")
    assert atoms.get_potential_energy() == pytest.approx(-94.899514, abs=SAME_MODEL)
    assert sum(calc.results["energy_terms"].values()) == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    assert set(calc.results["energy_terms"]) == {"network", "zbl", "electrostatics", "dispersion", "reference"}
    assert calc.results["hirshfeld_ratios"].shape == calc.results["charges"].shape == (56,)
    assert abs(atoms.get_charges().sum()) < 1e-12
    # another structure with the same object, open and charged
    ion = charged(WATER, 1)
    ion.calc = calc
    assert ion.get_charges().sum() == pytest.approx(1.0, abs=1e-12) and ion.get_dipole_moment().shape == (3,)
    assert calc.results["energy_terms"]["electrostatics"] != 0
    everything = pyff.Calculator(path, dtype="float64", long_range_cutoff=math.inf)
    assert everything.get_property("energy", WATER) == pytest.approx(-5.4242036587, abs=SAME_PROGRAM)
    assert pyff.load(path, long_range_cutoff=9.0).config.long_range_cutoff == 9.0


def test_so3lr_stress_of_a_small_box_through_ase(source, references):
    atoms = read(references / "water_64.xyz")
    atoms.calc = pyff.Calculator(to_pyff(source), dtype="float64", long_range_cutoff=6.0)
    stress, h = atoms.get_stress(), 1e-4
    energy = []
    for step in (-h, h):
        strained = atoms.copy()
        strained.set_cell(atoms.cell @ np.diag([1 + step, 1, 1]), scale_atoms=True)
        energy.append(atoms.calc.get_property("energy", strained))
    assert stress[0] == pytest.approx((energy[1] - energy[0]) / (2 * h) / atoms.get_volume(), abs=1e-7)


def test_reader_refuses_foreign_pickles_and_missing_options(tmp_path, references):
    data = (shared_data("model_so3lr") / "params.pkl").read_bytes()
    (tmp_path / "params.pkl").write_bytes(data)
    with pytest.raises(ConversionError, match=r"hyperparameters\.json must lie beside"):
        read_so3lr(tmp_path / "params.pkl")
    for length in (0, 1, 100, 5000, 400_000, len(data) - 1):
        (tmp_path / "cut.pkl").write_bytes(data[:length])
        with pytest.raises(PickleError, match=r"cut\.pkl"):
            read_so3lr(tmp_path / "cut.pkl")
    evil = tmp_path / "evil.pkl"
    evil.write_bytes(pickle.dumps({"params": {"feature_embeddings_0": print}}))
    assert is_so3lr(evil)
    with pytest.raises(PickleError, match=r"refers to builtins\.print"):
        read_so3lr(evil)
    assert not is_so3lr(references / "dha.xyz")


def _doubling(levels: int) -> dict:
    node: dict = {}
    for _ in range(levels):
        node = {"a": node, "b": node}
    return node


def _nested(levels: int) -> dict:
    node: dict = {}
    for _ in range(levels):
        node = {"a": node}
    return node


def _endless() -> dict:
    node: dict = {}
    node["a"] = node
    return node


@pytest.mark.parametrize(("tree", "message"), [
    (_doubling(40), "must appear once"), (_endless(), "must appear once"), (_nested(300), "must hold a tree"),
], ids=["doubling", "endless", "nested"])  # fmt: skip
def test_reader_ends_on_trees_that_have_no_end(tree, message, tmp_path):
    path = tmp_path / "params.pkl"
    path.write_bytes(pickle.dumps({"params": tree}))
    with pytest.raises(PickleError, match=message):
        read_so3lr(path)


def test_reader_refuses_a_length_beyond_memory_and_depth_beyond_the_stack(tmp_path):
    path = tmp_path / "params.pkl"
    deep = b"\x80\x04}X\x06\x00\x00\x00params" + 5000 * b"}X\x01\x00\x00\x00a" + b"}" + 5001 * b"s" + b"."
    for data in (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b".", deep):
        path.write_bytes(data)
        with pytest.raises(PickleError, match="damaged pickle"):
            read_so3lr(path)


def test_convert_says_that_there_is_no_such_file(tmp_path, capsys):
    assert run(["convert", str(tmp_path / "none.pkl"), str(tmp_path / "a.safetensors")]) == 1
    assert "none.pkl: no such file" in capsys.readouterr().err


def test_reader_names_an_option_or_parameter_that_does_not_fit(source, tmp_path):
    with pytest.raises(ConversionError, match=r"option message_normalization .* received 'softmax'"):
        to_pyff(replace(source, options={**source.options, "message_normalization": "softmax"}))
    with pytest.raises(ConversionError, match="option cutoff_fn of SO3LR must be there"):
        to_pyff(replace(source, options={k: v for k, v in source.options.items() if k != "cutoff_fn"}))
    with pytest.raises(ConversionError, match=r"layers_3/attention_block/.* is missing"):
        to_pyff(replace(source, options={**source.options, "num_layers": 4}))
    with pytest.raises(ConversionError, match="embedding must have shape"):
        to_pyff(replace(source, options={**source.options, "num_features": 64}))
    options = tmp_path / "hyperparameters.json"
    options.write_text(json.dumps([1, 2]))
    with pytest.raises(ConversionError, match=r"must be SO3LR's hyperparameters\.json"):
        read_so3lr(shared_data("model_so3lr") / "params.pkl", options)


@pytest.mark.parametrize(("option", "value", "message"), [
    ("degrees", None, "option degrees of SO3LR: degrees"),
    ("degrees", [1, [2]], "option degrees of SO3LR: degrees"),
    ("cutoff_fn", ["phys"], "option cutoff_fn of SO3LR must be one of phys"),
    ("message_normalization", {}, "option message_normalization of SO3LR must be one of"),
    ("layer_normalization_1", 1, "option layer_normalization_1 of SO3LR must be one of True, False"),
    ("num_features", [128], "option num_features of SO3LR: n_features"),
    ("num_features", 130, "options of SO3LR: n_features must be a multiple of n_heads"),
    ("num_radial_basis_fn", 4096, "option num_radial_basis_fn of SO3LR: a Bernstein basis has at most 128"),
    ("cutoff_lr", "x", "option cutoff_lr of SO3LR must be a number or null; received 'x'"),
    ("cutoff_lr", 10**400, "option cutoff_lr of SO3LR must be a number or null"),
    ("cutoff_lr", math.nan, "option cutoff_lr of SO3LR must be larger than the 2 A"),
    ("dispersion_energy_cutoff_lr_damping", [2], "option dispersion_energy_cutoff_lr_damping of SO3LR"),
])  # fmt: skip
def test_reader_names_an_option_of_the_wrong_kind(source, option, value, message):
    with pytest.raises(ConversionError, match=message):
        to_pyff(replace(source, options={**source.options, option: value}))


QUERY, SCALES = "layers_0/attention_block/Wq1", "observables_0/atomic_scales"
KERNEL = "layers_0/attention_block/radial_filter1_layer_1/kernel"
SHIFT = "observables_0/electrostatic_energy/partial_charges/Embed_0/embedding"


@pytest.mark.parametrize(("name", "value", "message"), [
    (SCALES, np.float32(2), "atomic_scales must have 1 dimensions"),
    (SCALES, np.full(130, 2.0), "atomic_scales must have at most 119 rows"),
    (SCALES, np.full((119, 2), 2.0), "atomic_scales must have 1 dimensions"),
    ("feature_embeddings_0/Embed_0/embedding", np.zeros((1, 10**6)), "Embed_0/embedding must have at most 119 rows"),
    (SHIFT, np.zeros(100), "Embed_0/embedding must have 2 dimensions"),
    (SHIFT, np.zeros((100, 0)), "Embed_0 must have one column; received 0"),
    (KERNEL, np.zeros((32, 31)), r"radial_filter1_layer_1, .* one shape; received \(31, 32\) and \(128, 32\)"),
    (KERNEL, np.zeros(32), "radial_filter1_layer_1/kernel must have 2 dimensions"),
    ("observables_0/zbl_repulsion/p", np.zeros(2), "zbl_repulsion/p must be one number; received 2"),
    ("observables_0/zbl_repulsion/a1", np.zeros(2), r"terms\.zbl\.exponents must have shape \(4,\)"),
    (QUERY, np.float32(0), r"w_q1 must have shape \(4, 32, 32\); received \(\)"),
    (QUERY, np.full((4, 32, 32), np.nan), "w_q1 must be finite"),
    (QUERY, np.full((4, 32, 32), 1e300), "w_q1 must be finite"),
])  # fmt: skip
def test_reader_names_a_parameter_that_does_not_fit(source, name, value, message):
    with pytest.raises(ConversionError, match=message):
        to_pyff(replace(source, arrays={**source.arrays, name: np.asarray(value)}))


def test_reader_compares_shapes_before_it_asks_for_memory(source, monkeypatch):
    from pyff.models import so3krates

    where = []

    class Watched(so3krates.SO3krates):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            where.append(self.embedding.device.type)

    monkeypatch.setattr(so3krates, "SO3krates", Watched)
    huge = {**source.options, "num_features": 4096, "energy_regression_dim": 4096}
    with pytest.raises(ConversionError, match=r"must have shape \(119, 4096\); received \(119, 128\)"):
        to_pyff(replace(source, options=huge))
    assert where == ["meta"]
    assert to_pyff(source).dtype == torch.float32
    assert where == ["meta", "meta", "cpu"]


@pytest.mark.parametrize("cutoff", [1.5, 2.0, 0.0, -3.0, math.nan, 1e5, -math.inf])
def test_convert_so3lr_names_a_long_range_cutoff_that_does_not_fit(source, cutoff):
    with pytest.raises(ConversionError, match=r"^long_range_cutoff must be larger than the 2 A .* --long-range-cutoff"):
        to_pyff(source, long_range_cutoff=cutoff)
