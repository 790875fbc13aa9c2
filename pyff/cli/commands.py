"""The whole command line: every module adds its commands to the app, in the order in which `pyff --help` lists them."""

from __future__ import annotations

from importlib import import_module

from pyff.cli.app import app

__all__ = ["app"]

_MODULES = (
    "app_learning", "app_flows", "app_client", "app_krr", "gdml", "gdml_training", "gdml_group", "gdml_convert",
)  # fmt: skip
for _name in _MODULES:
    import_module(f"pyff.cli.{_name}")
