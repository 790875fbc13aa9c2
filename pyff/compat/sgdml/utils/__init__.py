"""Helpers of sgdml that other programs import."""
