"""Where commands write: nothing that is there is lost, and no work before an output that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyff.cli.output import require_output
from pyff.errors import PyffError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("start.xyz").write_text("1\n\nH 0 0 0\n")
    Path("there.csv").touch()
    Path("half.png").touch()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("out.txt", "--out must end in .csv; received out.txt"),
        ("missing/out.csv", "--out must lie in a folder that exists; received missing/out.csv"),
        ("there.csv", "there.csv exists already: add --overwrite or choose another --out"),
        ("half.csv", "half.png exists already"),
        ("start.csv", "would replace start.xyz, which is read"),
        ("../{here}/start.csv", "which is read"),
    ],
)
def test_an_output_that_would_cost_something_is_refused(out, words, tmp_path):
    out = Path(out.format(here=tmp_path.name))
    beside = (out.with_suffix(".xyz"), out.with_suffix(".png"))
    with pytest.raises(PyffError, match=words):
        require_output(out, (".csv",), beside=beside, inputs=(Path("start.xyz"),), overwrite=False)


def test_overwrite_replaces_outputs_but_no_input():
    require_output(Path("there.csv"), (".csv",), overwrite=True)
    require_output(Path("new.csv"), (".csv",), beside=(Path("new.png"),), overwrite=False)
    with pytest.raises(PyffError, match="choose another name"):
        require_output(
            Path("start.csv"), (".csv",), beside=(Path("start.xyz"),), inputs=(Path("start.xyz"),), overwrite=True
        )
