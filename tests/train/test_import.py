"""Submodules of pyff.train by their full names."""

from __future__ import annotations

import pytest
from _python import output_of


@pytest.mark.parametrize("name", ["gdml.fit", "krr.KRRProblem"])
def test_kernel_models_need_no_import_of_their_own(name, tmp_path):
    assert output_of("-c", f"import pyff; print(pyff.train.{name}.__module__)", cwd=tmp_path).startswith("pyff.train.")


def test_unknown_names_are_errors():
    import pyff.train

    with pytest.raises(AttributeError, match=r"module 'pyff\.train' has no attribute 'fit'"):
        pyff.train.fit  # noqa: B018
