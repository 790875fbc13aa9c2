"""Doors to other programs: readers of their files, and (later) drivers for them."""
