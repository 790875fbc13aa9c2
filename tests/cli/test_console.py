from __future__ import annotations

import json
from pathlib import Path

from pyff.cli.console import Console


def test_json_has_null_where_a_number_is_not_finite(capsys):
    Console(json=True).result(drift=float("nan"), test={"mae": [float("inf"), 0.5]}, rows=(1, "NaN"), model=Path("m"))
    text = capsys.readouterr().out
    strict = json.loads(text, parse_constant=lambda name: 1 / 0)
    assert strict == {"drift": None, "test": {"mae": [None, 0.5]}, "rows": [1, "NaN"], "model": "m"}
