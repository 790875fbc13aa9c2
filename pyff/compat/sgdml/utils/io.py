"""sgdml.utils.io: fingerprints of data sets."""

from __future__ import annotations

from collections.abc import Mapping

from pyff.interfaces.sgdml import dataset_md5 as _md5

__all__ = ["dataset_md5"]


def dataset_md5(dataset: Mapping) -> bytes:
    """MD5 fingerprint of a data set, 32 hexadecimal digits as bytes."""
    return _md5(dataset).encode()
