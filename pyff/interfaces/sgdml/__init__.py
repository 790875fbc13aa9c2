"""Files of sGDML: data sets, training tasks and models, read and written exactly."""

from __future__ import annotations

from pyff.interfaces.sgdml.files import (
    SgdmlFileError,
    dataset_arrays,
    dataset_md5,
    fingerprint,
    kind_of,
    read_sgdml,
    write_sgdml,
)

__all__ = [
    "SgdmlFileError",
    "dataset_arrays",
    "dataset_md5",
    "fingerprint",
    "kind_of",
    "read_sgdml",
    "write_sgdml",
]
