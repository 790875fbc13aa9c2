"""RunConfig: config.yaml of a run - data, split, model, training - validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pyff._atomic import atomic_write
from pyff.cli.architectures import ARCHITECTURES, Architecture
from pyff.errors import PyffError
from pyff.train.config import TrainConfig, mistakes

if TYPE_CHECKING:
    from pyff.models.base import EnergyModel

__all__ = ["DataConfig", "ModelConfig", "RunConfig", "SplitConfig"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """Where the labelled frames are; the arguments of `pyff.data.read`. Relative paths start at the config's folder."""

    files: list[str] = Field(min_length=1)
    units: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    charge_key: str | None = None
    spin_key: str | None = None
    dipole_key: str | None = None
    charges_key: str | None = None
    hirshfeld_key: str | None = None
    target_key: str | None = None
    bad: Literal["error", "skip"] = "error"


class SplitConfig(_Strict):
    """How the frames are divided: numbers, fractions below 1, or a saved split."""

    train: int | float | None = None
    valid: int | float = 0.1
    test: int | float | None = None
    order: Literal["random", "time"] = "random"
    seed: int = Field(0, ge=0)
    file: str | None = None

    @field_validator("train", "valid", "test", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """Numbers typed on a command line: '950' is a count, '0.1' a fraction."""
        if not isinstance(value, str):
            return value
        try:
            return int(value) if value.strip().lstrip("-").isdigit() else float(value)
        except ValueError:
            raise ValueError(f"must be a number of frames or a fraction; received {value!r}") from None


class ModelConfig(_Strict):
    """Architecture, published preset to start from, and hyper-parameters that differ from it.

    output_scale and output_shift are set from the training data unless they are given.
    """

    architecture: str = "schnet"
    preset: str | None = None
    hyperparameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def _known(self) -> ModelConfig:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}; received {self.architecture!r}")
        if self.preset is not None and self.preset not in self.table.presets:
            raise ValueError(f"preset must be one of {', '.join(self.table.presets)}; received {self.preset!r}")
        return self

    @property
    def table(self) -> Architecture:
        return ARCHITECTURES[self.architecture]

    def checked(self) -> BaseModel:
        """The model's hyper-parameters. Raises ValidationError where they are not valid."""
        config, chosen = self.table.config, self.hyperparameters
        return config.preset(self.preset, **chosen) if self.preset else config(**chosen)

    def untrained(self, reference_energy: Mapping[int, float], **defaults: Any) -> EnergyModel:
        """A model of the elements that have a reference energy (eV); defaults yield to what the run says."""
        chosen, model = {**defaults, **self.hyperparameters}, self.table.model
        if self.preset:  # which may start from other weights, too
            return model.from_preset(self.preset, reference_energy, reference_energy, **chosen)
        return model(model.Config(**chosen), reference_energy, reference_energy)


class RunConfig(_Strict):
    """Everything a run is told. `pyff fit` writes it, `pyff train` reads it.

    What `training` leaves out is that of the architecture's recipe (TrainConfig.recipe).
    """

    data: DataConfig
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    training: TrainConfig = TrainConfig()

    @classmethod
    def build(cls, values: Any, source: str = "the configuration") -> RunConfig:
        """Validated settings. Raises PyffError with one line per mistake."""
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise _invalid(source, mistakes(error, _SECTIONS)) from None
        try:
            config.model.checked()
        except ValidationError as error:
            raise _invalid(source, mistakes(error, {"model": config.model.table.config}, "model")) from None
        return config

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunConfig:
        """Read a config.yaml; paths in it are taken from its folder."""
        import yaml

        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; `pyff fit` writes one")
        try:
            values = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PyffError(f"{path} is not valid YAML: {error}") from None
        if not isinstance(values, dict):
            raise PyffError(f"{path} must hold data, split, model and training; received a {type(values).__name__}")
        return cls.build(values, str(path)).with_paths_from(path.parent)

    def with_paths_from(self, folder: Path) -> RunConfig:
        """The same with absolute paths."""
        absolute = lambda name: str((folder / name).absolute())  # noqa: E731
        data = self.data.model_copy(update={"files": [absolute(f) for f in self.data.files]})
        file = self.split.file and absolute(self.split.file)
        return self.model_copy(update={"data": data, "split": self.split.model_copy(update={"file": file})})

    def to_yaml(self, path: str | Path) -> None:
        """Write all settings (atomically)."""
        import yaml

        atomic_write(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))


_SECTIONS = {"": RunConfig, "data": DataConfig, "split": SplitConfig, "model": ModelConfig, "training": TrainConfig}


def _invalid(source: str, lines: list[str]) -> PyffError:
    return PyffError(f"{source} is not valid:\n  " + "\n  ".join(lines))
