"""Interfaces of sgdml to other programs."""
