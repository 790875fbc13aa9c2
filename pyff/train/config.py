"""TrainConfig: everything a training run is told, validated, as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pyff._atomic import atomic_write
from pyff.batch import LABELS
from pyff.data.dataset import Dataset
from pyff.errors import PyffError
from pyff.train.recipe import recipe

__all__ = ["TrainConfig", "mistakes"]


def mistakes(error: ValidationError, known: Mapping[str, type[BaseModel]], where: str = "") -> list[str]:
    """One line per mistake: setting, requirement, what was received; where a name is unknown, the names there are.

    known: the settings of each section, "" for those without one. where: section that all mistakes belong to.
    """
    lines = []
    for problem in error.errors():
        place = [*filter(None, [where]), *map(str, problem["loc"])]
        name = ".".join(place) or "config"
        if problem["type"] == "extra_forbidden":
            section = known.get(".".join(place[:-1]))
            names = f"; known are {', '.join(section.model_fields)}" if section else ""
            lines.append(f"{name}: there is no such setting{names}")
        elif problem["type"] in ("missing", "value_error"):
            lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{name}: {problem['msg']}; received {problem['input']!r:.80}")
    return lines


class TrainConfig(BaseModel):
    """Settings of a training run; the defaults suit SchNet on about 1000 frames of a molecule, `recipe` others.

    Loss (frames b with n_b atoms; D are errors in eV, eV/A, eV/A^3):

        L = energy_weight  <DE_b^2 / n_b>  +  forces_weight  <DF_ic^2>  +  stress_weight  <(V_b Dsigma_cd)^2 / n_b>
          + dipole_weight  <Dmu_bc^2>  +  charges_weight  <Dq_i^2>  +  hirshfeld_weight  <Dh_i^2>
          + target_weight  <Dt_b^2>

    Energies are compared per square root of the number of atoms: errors of independent atoms add up like that, so that
    small and large structures count alike. The stress enters as the virial V sigma, which is an energy too.
    Times are in minutes, counts in epochs unless they say steps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    energy_weight: float = Field(0.1, ge=0)
    forces_weight: float = Field(1.0, ge=0)
    stress_weight: float = Field(0.0, ge=0)
    dipole_weight: float = Field(0.0, ge=0)
    charges_weight: float = Field(0.0, ge=0)
    hirshfeld_weight: float = Field(0.0, ge=0)
    target_weight: float = Field(0.0, ge=0, description="a property the data name; the model must be intensive")

    optimizer: Literal["adam", "adamw", "amsgrad"] = "adam"
    lr: float = Field(5e-3, gt=0, description="SchNet on 950 frames of ethanol learns faster up to 1e-2")
    weight_decay: float = Field(0.0, ge=0, description="on weight matrices only")
    clip_norm: float | None = Field(10.0, gt=0, description="largest norm of the gradient of all parameters")

    schedule: Literal["plateau", "exponential", "cosine", "constant"] = "plateau"
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience: int = Field(25, ge=0, description="epochs without a better validation loss")
    plateau_cooldown: int = Field(5, ge=0, description="epochs after a reduction that are not counted")
    decay_rate: float = Field(0.96, gt=0, le=1, description="exponential: factor per decay_steps, continuous")
    decay_steps: int = Field(10_000, gt=0)
    warmup_steps: int = Field(0, ge=0, description="linear increase of the learning rate from zero, any schedule")
    min_lr: float = Field(1e-6, ge=0)
    stop_lr: float | None = Field(None, gt=0, description="end when the schedule has come down to this learning rate")

    ema_decay: float = Field(0.995, ge=0, lt=1, description="per step; 0 validates and keeps the raw weights")
    patience: int | None = Field(200, ge=1, description="stop after so many epochs without a better validation loss")
    max_epochs: int | None = Field(1000, ge=1)
    max_time: float | None = Field(None, gt=0, description="minutes of training, resumed runs included")

    batch_size: int = Field(10, ge=1)
    valid_batch_size: int = Field(32, ge=1)
    seed: int = Field(0, ge=0)
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "cpu"
    checkpoint_interval: float = Field(1.0, ge=0, description="minutes between writes of last.safetensors")

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.max_epochs is None and self.max_time is None and self.stop_lr is None:
            raise ValueError("max_epochs or max_time must be given, or stop_lr: the training would not end")
        if self.stop_lr is not None and (self.stop_lr < self.min_lr or self.schedule == "constant"):
            raise ValueError(
                f"stop_lr must be reached: at least min_lr={self.min_lr}, with a schedule that falls; received "
                f"{self.stop_lr} with schedule {self.schedule}"
            )
        if not any(self.weight(label) for label in LABELS):
            raise ValueError(f"one of {', '.join(f'{label}_weight' for label in LABELS)} must be positive")
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr must not exceed lr={self.lr}; received {self.min_lr}")
        return self

    def weight(self, label: str) -> float:
        """Weight in the loss of a label of `pyff.batch.LABELS`."""
        return getattr(self, f"{label}_weight")

    @classmethod
    def recipe(cls, name: str, *, n_train: int, n_atoms: float, **changes) -> TrainConfig:
        """The published recipe of an architecture ("so3krates") or of fine-tuning ("finetune"); else the defaults.

        n_train: training frames; n_atoms: mean number of atoms in them; changes: settings that win over the recipe's.

            TrainConfig.recipe("so3krates", n_train=950, n_atoms=21, max_time=60)
        """
        return cls.from_dict(recipe(name, n_train, n_atoms, changes))

    @classmethod
    def for_data(cls, name: str, train: Dataset, **changes) -> TrainConfig:
        """`recipe` for these training frames. Labels they do not have weigh nothing; stress weighs like energy where
        there is any; a target, which is read only where the user names it, is learned alone. `changes` win.

            TrainConfig.for_data("so3krates", train, max_time=60)
        """
        n_atoms = sum(map(len, train)) / max(1, len(train))
        found = recipe(name, len(train), n_atoms, changes)
        labels: dict[str, float] = {}
        if train.count("stress"):
            labels["stress_weight"] = cls.from_dict(found).energy_weight
        if train.count("target"):
            labels |= {"target_weight": 1.0, "energy_weight": 0.0, "forces_weight": 0.0, "stress_weight": 0.0}
        labels |= {f"{label}_weight": 0.0 for label in ("energy", "forces") if not train.count(label)}
        return cls.from_dict({**found, **labels, **changes})

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """Validated settings; PyffError with one line per mistake, unknown names included."""
        try:
            return cls(**values)
        except ValidationError as error:
            text = "\n  ".join(mistakes(error, {"": cls}))
            raise PyffError(f"the training configuration is not valid:\n  {text}") from None

    @classmethod
    def from_yaml(cls, path: str | Path) -> TrainConfig:
        """Settings from a YAML file of plain values (yaml.safe_load); what it leaves out has its default."""
        import yaml

        try:
            values = yaml.safe_load(Path(path).read_text())
        except yaml.YAMLError as error:
            raise PyffError(f"{path} is not valid YAML: {error}") from None
        if values is not None and not isinstance(values, dict):
            raise PyffError(f"{path} must hold 'name: value' lines; received a {type(values).__name__}")
        return cls.from_dict(values or {})

    def to_yaml(self, path: str | Path) -> None:
        """Write all settings (atomically)."""
        import yaml

        atomic_write(path, yaml.safe_dump(self.model_dump(), sort_keys=False))
