"""The JSON in a model file's metadata: what a model is, in one versioned pydantic schema.

A file is read by the schema of its own version and brought forward by `MIGRATIONS`, so that old files stay readable and
a newer file is refused with a sentence instead of being half understood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PositiveFloat, ValidationError

from pyff.errors import PyffError

__all__ = ["SCHEMA_VERSION", "FileUnits", "ModelFileError", "ModelHeader", "parse_header"]

SCHEMA_VERSION = 1
MAX_DEPTH = 16  # of the JSON values kept in `info`
MIGRATIONS: dict[int, Callable[[dict], dict]] = {}  # version n -> function that returns version n + 1


class ModelFileError(PyffError):
    """A file that is not a readable pyff model."""


def _known_symbol(symbol: str) -> str:
    if symbol == "X" or symbol not in atomic_numbers:
        raise ValueError(f"must be the symbol of an element; received {symbol!r}")
    return symbol


def _bounded(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _bounded(item, depth + 1)
    return value


Symbol = Annotated[str, AfterValidator(_known_symbol)]
JsonDict = Annotated[dict[str, Any], AfterValidator(_bounded)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileUnits(_Strict):
    """Units of every number in the file: eV and A for networks; kernel models keep those of their training data."""

    energy: Literal["eV", "meV", "Hartree", "kcal/mol", "kJ/mol"] = "eV"
    length: Literal["Angstrom", "Bohr", "nm"] = "Angstrom"


class ModelHeader(_Strict):
    """What a model file says about its model, apart from the weights.

    cutoff is in A, null for models without edges; hyperparameters are validated by the architecture's own config class;
    reference_energy is in eV per element and keeps all 53 bits (JSON prints the shortest decimal that reads back as the
    same double); info holds what training wrote: data set, ranges, errors.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    pyff_version: str
    architecture: Annotated[str, Field(min_length=1, max_length=64)]
    hyperparameters: JsonDict
    dtype: Literal["float32", "float64"]
    units: FileUnits = FileUnits()
    cutoff: PositiveFloat | None
    elements: Annotated[list[Symbol], Field(min_length=1, max_length=118)]
    reference_energy: dict[Symbol, FiniteFloat]
    info: JsonDict = {}
    citations: list[str] = []


def parse_header(raw: Any, path: str = "model file") -> ModelHeader:
    """Validate the decoded JSON of a model file.

    Raises ModelFileError naming the field, and for a file written by a newer pyff what to do about it.
    """
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelFileError(f"{path}: schema_version must be a positive integer; received {version!r}")
    if version > SCHEMA_VERSION:
        raise ModelFileError(
            f"{path}: written by a newer pyff ({raw.get('pyff_version', 'unknown')!s:.40}, schema {version}; this one "
            f"reads up to {SCHEMA_VERSION}). Update with `pip install --upgrade pyff`."
        )
    while version < SCHEMA_VERSION:
        raw, version = MIGRATIONS[version](raw), version + 1
    try:
        return ModelHeader.model_validate(raw)
    except ValidationError as error:
        raise ModelFileError(f"{path}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as one sentence: field, requirement, received."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":  # one of our own sentences
        text = str(problem["ctx"]["error"])
        return f"{where}: {text}" if where else text
    where = where or "header"
    received = "" if problem["type"] == "missing" else f"; received {problem['input']!r:.80}"
    return f"{where}: {problem['msg']}{received}"
