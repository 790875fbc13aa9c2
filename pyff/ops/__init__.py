"""Ops: tensors in, tensors out, differentiable; each has a plain-torch reference twin in pyff.ops.reference."""
