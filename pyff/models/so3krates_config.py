"""Options of SO3krates, and the published sets of them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pyff import ops

__all__ = ["PRESETS", "SO3kratesConfig"]

Activation = Literal["silu", "ssp", "tanh"]
Norm = Literal["none", "layer", "rms"]
BERNSTEIN_DECAY = 0.944863062918464  # 1/A, half an inverse Bohr

Degree = Annotated[int, Field(ge=1, le=4)]


class SO3kratesConfig(BaseModel):
    """Hyper-parameters. The defaults are those of the paper (Nat. Commun. 15, 6539, 2024)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_features: int = Field(132, ge=1, le=4096, description="width F of the invariant features")
    n_heads: int = Field(4, ge=1, le=256, description="heads of the invariant attention block; must divide n_features")
    degrees: tuple[Degree, ...] = Field(
        (1, 2, 3),
        max_length=64,
        description="degrees l of the Euclidean variables, which may repeat; their number must divide n_features. "
        "Empty: an invariant model, which sees distances only",
    )
    n_layers: int = Field(3, ge=1, le=64, description="number T of layers")
    n_rbf: int = Field(32, ge=2, le=4096, description="number K of radial basis functions")
    cutoff: float = Field(5.0, gt=0, le=1000, description="cutoff radius of the network in A")
    cutoff_function: Literal["cosine", "mollifier", "polynomial3", "polynomial6"] = Field(
        "cosine", description="how attention fades towards the cutoff; polynomial3 is SO3LR's"
    )
    radial_basis: Literal["exp_gaussian", "bernstein", "gaussian", "bessel"] = Field(
        "exp_gaussian", description="functions of the distance that the radial filters read"
    )
    bernstein_decay: float = Field(
        BERNSTEIN_DECAY, gt=0, le=100, description="gamma in x = exp(-gamma d) of the Bernstein polynomials, 1/A"
    )
    attention_normalization: Literal["sqrt_head_size", "none"] | Annotated[float, Field(gt=0, le=1e6)] = Field(
        "sqrt_head_size", description="what attention coefficients are divided by; a number: mean number of neighbors"
    )
    qk_activation: Literal["identity", "silu", "ssp", "tanh"] = Field(
        "identity", description="non-linearity of queries and keys"
    )
    qk_norm: bool = Field(False, description="divide queries and keys by their root mean square in each head")
    norm_1: Norm = Field("none", description="normalization of the features after attention")
    norm_2: Norm = Field("none", description="normalization of the features at the end of a layer")
    residual_mlp_1: bool = Field(False, description="a two-layer network per atom between attention and exchange")
    residual_mlp_2: bool = Field(False, description="a two-layer network per atom after exchange")
    residual_scalars: bool = Field(
        False, description="x <- a x + b x0 before each layer, with trainable a, b and x0 the embedding"
    )
    activation: Activation = Field("silu", description="non-linearity of all networks inside")
    charge_embedding: bool = Field(False, description="the total charge enters the embedding")
    spin_embedding: bool = Field(False, description="the number of unpaired electrons enters the embedding")
    readout_features: int | None = Field(
        None, ge=1, le=4096, description="hidden width of the energy and charge readouts; none: n_features"
    )
    readout_activation: Literal["silu", "ssp", "tanh", "identity"] = Field(
        "silu", description="non-linearity of the readouts"
    )
    element_scale: bool = Field(False, description="a trainable factor of the atomic energies for each element")
    element_shift: bool = Field(False, description="a trainable shift of the atomic energies for each element, eV")
    zero_init_output: bool = Field(True, description="start from zero energies and charges")
    identity_init: bool = Field(False, description="start from layers that pass the features on unchanged")
    charges: bool = Field(False, description="a readout of partial charges, conserved in each structure, and dipoles")
    hirshfeld: bool = Field(False, description="a readout of Hirshfeld ratios: atomic volume over the free atom's")
    zbl: bool = Field(False, description="add trainable Ziegler-Biersack-Littmark repulsion of the nuclei")
    electrostatics: bool = Field(False, description="add the damped Coulomb energy of the partial charges")
    dispersion: bool = Field(False, description="add the dispersion energy of quantum Drude oscillators")
    electrostatics_sigma: float = Field(4.0, gt=0, le=100, description="damping length of erf(r/sigma)/r, A")
    dispersion_scale: float = Field(1.2, gt=0, le=100, description="scale of the damping radius of the dispersion")
    dispersion_width: float = Field(
        2.0, gt=0, le=100, description="length over which the dispersion energy fades before the long-range cutoff, A"
    )
    long_range_cutoff: float | None = Field(
        None, gt=0, le=10_000, description="cutoff of electrostatics and dispersion in A; none: all pairs"
    )
    ewald: bool = Field(
        False,
        description="sum the Coulomb energy over the whole lattice, without a cutoff; for periodic structures only",
    )
    output_scale: float = Field(1.0, description="scale of the network's atomic energies, eV")
    output_shift: float = Field(0.0, description="shift of the network's atomic energies, eV")

    @model_validator(mode="after")
    def _consistent(self):
        parts = {"n_heads": self.n_heads, "the number of degrees": max(1, len(self.degrees))}
        for name, parts_of in parts.items():
            if self.n_features % parts_of:
                raise ValueError(f"n_features must be a multiple of {name}, {parts_of}; received {self.n_features}")
        if self.electrostatics and not self.charges:
            raise ValueError("electrostatics needs charges=True")
        if self.ewald and not self.electrostatics:
            raise ValueError("ewald needs electrostatics=True")
        if self.dispersion and not self.hirshfeld:
            raise ValueError("dispersion needs hirshfeld=True")
        if self.dispersion and self.long_range_cutoff is not None and self.dispersion_width >= self.long_range_cutoff:
            raise ValueError(
                f"dispersion_width must be smaller than long_range_cutoff {self.long_range_cutoff}; "
                f"received {self.dispersion_width}"
            )
        return self

    @classmethod
    def preset(cls, name: str, **changes) -> SO3kratesConfig:
        """Configuration of a published model; PRESETS lists the names."""
        if name not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}; received {name!r}")
        return cls(**{**PRESETS[name], **changes})

    @property
    def long_range(self) -> bool:
        """Whether atoms beyond the network's cutoff count."""
        return self.electrostatics or self.dispersion

    @property
    def long_range_pairs(self) -> bool:
        """Whether pairs beyond the network's cutoff are listed: Ewald sums of damped charges need none."""
        return (self.electrostatics and not self.ewald) or self.dispersion

    def head_normalization(self, n_heads: int) -> float:
        """What the coefficients of a block with n_heads heads are divided by."""
        if self.attention_normalization == "sqrt_head_size":
            return math.sqrt(self.n_features / n_heads)
        return 1.0 if self.attention_normalization == "none" else float(self.attention_normalization)

    def basis(self) -> Any:
        """The radial basis, between 0 and the cutoff."""
        if self.radial_basis == "exp_gaussian":
            return ops.ExpGaussianBasis.physnet(self.cutoff, self.n_rbf)
        if self.radial_basis == "bernstein":
            return ops.BernsteinBasis(self.bernstein_decay, self.n_rbf)
        if self.radial_basis == "bessel":
            return ops.BesselBasis(self.cutoff, self.n_rbf)
        spacing = self.cutoff / (self.n_rbf - 1)
        return ops.GaussianBasis(0.0, spacing, 0.5 / spacing**2, self.n_rbf)


_SO3LR = {
    "n_features": 128,
    "degrees": (1, 2, 3, 4),
    "cutoff": 4.5,
    "cutoff_function": "polynomial3",
    "radial_basis": "bernstein",
    "attention_normalization": 13.168995780096482,
    "norm_1": "layer",
    "norm_2": "layer",
    "residual_mlp_1": True,
    "charge_embedding": True,
    "spin_embedding": True,
    "readout_features": 128,
    "element_scale": True,
    "element_shift": True,
    "zero_init_output": False,
    "charges": True,
    "hirshfeld": True,
    "zbl": True,
    "electrostatics": True,
    "dispersion": True,
}
# The networks of SO3LR's second version. Its repulsion, C6 tables and levels of theory are not those of the first.
_V2 = {**_SO3LR, "norm_1": "rms", "norm_2": "rms", "qk_norm": True, "residual_scalars": True}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "so3lr": _SO3LR,
    "so3lr-v2-s": {**_V2, "n_layers": 2},
    "so3lr-v2-m": _V2,
    "so3lr-v2-l": {**_V2, "n_features": 256, "degrees": (1, 1, 2, 2, 3, 3, 4, 4)},
}
