"""Modules of other programs under their own names, on pyff's kernels: change one import and keep the rest."""
