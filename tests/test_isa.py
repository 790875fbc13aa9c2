"""Instruction sets: the choice by PYFF_ISA, and that no wide instruction runs on a processor that lacks it."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pytest
from _native import silu_reference
from _python import output_of, run_python

from pyff import _core

ISAS = ("baseline", "avx2", "avx512")
RESULT = (
    "import sys, numpy as np; from _native import example, silu; from pyff import _core; "
    "np.save(sys.argv[1], silu(example(dtype=sys.argv[2]), 1)); print(_core.isa())"
)

_SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_WIDE_REGISTER = re.compile(r"%[yz]mm|%xmm(?:1[6-9]|2\d|3[01])|%k[0-7]")
# VEX and EVEX encodings start with v; the others are BMI1 and BMI2. tzcnt and lzcnt are left out: old processors
# execute them as bsf and bsr, and compilers emit them on purpose.
_NEW_MNEMONIC = re.compile(
    r"v(?!err|erw|mcall|mfunc)[a-z]|(?:andn|bextr|blsi|blsmsk|blsr|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)[lq]?$"
)
_OWN_NAMESPACE = re.compile("4pyff4avx2|4pyff6avx512")  # as mangled; in template arguments it is as good


def wide_symbols(listing: Iterable[str]) -> dict[str, list[str]]:
    """Function (mangled) -> its instructions beyond the baseline, from the lines of `objdump -d`."""
    found: dict[str, list[str]] = defaultdict(list)
    symbol = ""
    for line in listing:
        if header := _SYMBOL.match(line):
            symbol = header[1]
            continue
        _, _, instruction = line.rstrip().partition("\t")
        mnemonic, _, operands = instruction.strip().partition(" ")
        if _NEW_MNEMONIC.match(mnemonic) or _WIDE_REGISTER.search(operands):
            found[symbol].append(instruction)
    return dict(found)


def outside_namespaces(wide: dict[str, list[str]]) -> dict[str, str]:
    """Function -> its first wide instruction, for functions that any processor may run."""
    return {name: lines[0] for name, lines in wide.items() if not _OWN_NAMESPACE.search(name)}


@pytest.fixture(scope="module")
def wide() -> dict[str, list[str]]:
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        pytest.skip("instruction sets are chosen on x86-64 Linux only")
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump (binutils)")
    command = ["objdump", "-d", "--no-show-raw-insn", _core.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = wide_symbols(process.stdout)
    assert process.returncode == 0
    return found


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forced_instruction_set_gives_the_same_numbers(isa, dtype, tmp_path):
    if ISAS.index(isa) > ISAS.index(_core.best_isa()):
        pytest.skip(f"this processor has no {isa}")
    assert output_of("-c", RESULT, tmp_path / "y.npy", dtype, cwd=tmp_path, PYFF_ISA=isa) == isa
    from _native import example

    x, y = example(dtype=dtype), np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(y, silu_reference(x), rtol=0, atol=8 * np.finfo(dtype).eps * np.abs(x).max())


def test_unset_instruction_set_is_the_best(tmp_path):
    assert output_of("-c", "from pyff import _core; print(_core.isa())", cwd=tmp_path, PYFF_ISA="") == _core.best_isa()


def test_unknown_instruction_set_is_one_sentence(tmp_path):
    done = run_python("-c", "from pyff import _core; _core.isa()", cwd=tmp_path, PYFF_ISA="sse9")
    assert done.returncode == 1
    wanted = "ValueError: PYFF_ISA must be baseline, avx2 or avx512; received 'sse9'"
    assert done.stderr.strip().splitlines()[-1] == wanted


@pytest.mark.skipif(_core.best_isa() == "avx512", reason="this processor has every instruction set")
def test_missing_instruction_set_is_one_sentence(tmp_path):
    done = run_python("-c", "from pyff import _core; _core.isa()", cwd=tmp_path, PYFF_ISA="avx512")
    assert done.returncode == 1
    assert "PYFF_ISA=avx512 asks for instructions that this processor or build lacks" in done.stderr


def test_wide_instructions_stay_in_their_namespaces(wide):
    assert outside_namespaces(wide) == {}


def test_wide_instructions_are_visible_in_the_module(wide):
    """Without symbols, or with kernels compiled without their flags, the test above could not fail."""

    def uses(namespace: str, register: str) -> bool:
        return any(register in line for name, lines in wide.items() if namespace in name for line in lines)

    assert uses("4pyff4avx2", "%ymm"), "no AVX2 code found: was the module stripped?"
    assert uses("4pyff6avx512", "%zmm"), "no AVX-512 code found: was the module stripped?"


LISTING = """
0000000000001000 <_ZN4pyff4avx27forwardEv>:
    1000:\tvmovups (%rdi),%ymm0
0000000000001010 <_ZSt4sortIPN4pyff6avx5121TEEvT_>:
    1010:\tvaddps %zmm0,%zmm1,%zmm2
0000000000001020 <_ZNSt6vectorIdE6resizeEm>:
    1020:\tmovups (%rdi),%xmm0
    1024:\ttzcnt  %rax,%rax
    1028:\t{INSTRUCTION}
"""


@pytest.mark.parametrize(
    ("instruction", "is_wide"),
    [
        ("vmovups (%rdi),%ymm0", True),
        ("vmovsd %xmm0,(%rsp)", True),
        ("kmovw  %k1,%eax", True),
        ("shlx   %rcx,%rax,%rdx", True),
        ("mulx   %rcx,%rax,%rdx", True),
        ("addsd  %xmm15,%xmm1", False),
        ("verr   %ax", False),
        ("call   1000 <_ZN4pyff4avx27forwardEv>", False),
    ],
)
def test_scan_tells_wide_instructions_apart(instruction, is_wide):
    found = outside_namespaces(wide_symbols(LISTING.replace("{INSTRUCTION}", instruction).splitlines()))
    assert found == ({"_ZNSt6vectorIdE6resizeEm": instruction} if is_wide else {})
