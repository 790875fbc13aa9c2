"""What every test session does: counts the tests that were skipped because a data set is missing."""

from __future__ import annotations

import os
from collections import Counter

from _data import REASON, shared_data_root

# processes that tests start import the pyff that is installed, not the source tree in the current folder
os.environ.setdefault("PYTHONSAFEPATH", "1")


def _missing_data_sets(reports) -> Counter[str]:
    """Data set -> number of reports skipped for it; a module-level skip is one report."""
    missing: Counter[str] = Counter()
    for report in reports:
        # longrepr of a skip is (file, line, "Skipped: <reason>")
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, name = reason.partition(f"{REASON} ")
        if found:
            missing[name] += 1
    return missing


def pytest_terminal_summary(terminalreporter) -> None:
    missing = _missing_data_sets(terminalreporter.stats.get("skipped", []))
    names = f" ({', '.join(sorted(missing))})" if missing else ""
    present = "present" if shared_data_root().is_dir() else "absent"
    # .ci/run reads this line
    terminalreporter.write_line(
        f"skipped for missing data: {sum(missing.values())}{names}; data folder {present}: {shared_data_root()}"
    )
