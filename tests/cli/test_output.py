"""Where commands write: nothing that is there is lost, and no work before an output that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyff.cli import run
from pyff.cli.output import require_folder, require_output
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


def test_a_run_goes_into_a_folder(capsys):
    require_folder(Path("new/run"))
    require_folder(Path("."))
    for folder in ("start.xyz", "start.xyz/run"):
        with pytest.raises(PyffError, match=r"--out must be a folder; received .*start\.xyz is a file"):
            require_folder(Path(folder))
    assert run(["fit", "no-data.xyz", "--out", "start.xyz"]) == 1  # said before data are looked for
    assert "--out must be a folder" in capsys.readouterr().err


def test_folders_that_cannot_be_written_are_named(monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the superuser may write anywhere
    with pytest.raises(PyffError, match="--out must be a folder that can be written; received new, and"):
        require_folder(Path("new"))
    with pytest.raises(PyffError, match="--out must lie in a folder that can be written"):
        require_output(Path("new.csv"), (".csv",), overwrite=False)


def test_errors_of_the_system_read_as_sentences(monkeypatch, capsys):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied", "model.safetensors")

    monkeypatch.setattr("pyff.models.file.read_header", refuse)
    assert run(["info", "model.safetensors"]) == 1
    assert capsys.readouterr().err == "pyff: model.safetensors: permission denied\n"
