"""`pyff client` from its options to what it says."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from _ipi import HARTREE, Server
from _toy import toy_model
from ase.build import molecule
from ase.io import read, write

import pyff
from pyff.cli import run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a model and a molecule."""
    monkeypatch.chdir(tmp_path)
    pyff.save(toy_model().double(), "toy.safetensors")
    write("start.xyz", molecule("CH3CH2OH"), format="extxyz")
    return tmp_path


CLIENT = ["client", "toy.safetensors", "--start", "start.xyz", "--socket", "./s"]


@pytest.fixture
def answers():
    """Function that plays i-PI on ./s for so many runs, two structures each; the list of energies it got."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("s")
    listener.listen()
    energies: list[float] = []

    def play(runs: int, last_word: str = "EXIT") -> None:
        for _ in range(runs):
            connection, _ = listener.accept()
            with connection:
                server = Server(connection)
                for _ in range(2):
                    energies.append(server.compute(read("start.xyz"))[0] * HARTREE)
                if last_word:
                    server.header(last_word)
        listener.close()

    def start(*args) -> list[float]:
        thread = threading.Thread(target=play, args=args, daemon=True)
        thread.start()
        return energies

    yield start
    listener.close()


def test_client_serves_until_exit(answers, capsys):
    energies = answers(1)
    assert run([*CLIENT, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["structures"] == 2 and said["address"] == "./s"
    atoms = read("start.xyz")
    atoms.calc = pyff.Calculator("toy.safetensors")
    assert energies == pytest.approx([atoms.get_potential_energy()] * 2, rel=1e-12)


def test_client_ends_when_the_connection_does(answers, capsys):
    answers(1, "")
    assert run(CLIENT) == 0
    assert "i-PI closed the connection after 2 structures" in capsys.readouterr().out


def test_reconnect_serves_the_next_run_too(answers, capsys):
    answers(2)
    assert run([*CLIENT, "--reconnect", "--wait", "1"]) == 0
    said = capsys.readouterr().out
    assert "i-PI is done after 2 structures" in said and "i-PI is done after 4 structures" in said
    assert "no new i-PI within 1 s" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--wait", "0"], "nobody listens at ./s after 0 s"),
        (["--port", "3"], "give --socket NAME"),
        (["--extras", "charges"], "extras must be among energy, free_energy, energies, forces, stress; received"),
        (["--write-input", "in.txt"], "must end in .xml"),
    ],
)
def test_client_says_what_is_wrong(options, words, capsys):
    assert run([*CLIENT, *options]) == 1
    assert words in capsys.readouterr().err


def test_remote_hosts_need_a_word(capsys):
    assert run([*CLIENT[:-2], "--host", "192.0.2.1", "--port", "31415"]) == 1
    assert "must be this machine" in capsys.readouterr().err


def test_input_is_written_with_the_commands_that_use_it(here, capsys):
    words = [*CLIENT, "--write-input", "in.xml", "--beads", "4", "--temperature", "250", "--json"]
    assert run(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["command"] == ["i-pi", "-S", "./", "in.xml"]
    text = (here / "in.xml").read_text()
    for part in ("nbeads='4'", "<address> s </address>", "in-start.xyz", "mode='unix'", "> 250.0 <"):
        assert part in text
    assert len((here / "in-start.xyz").read_text().splitlines()) == 11
    assert run(words) == 1 and "exists already" in capsys.readouterr().err
    assert run([*words[:-1], "--overwrite"]) == 0
    assert "pyff client" in capsys.readouterr().out
