"""Doors to other programs: their files read and written, and a driver for i-PI."""
