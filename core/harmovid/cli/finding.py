"""What a check of `harmovid doctor` says: one line of its report."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Callable, Iterable

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report. `mend` is what to do; empty where all is well."""

    check: str
    status: str
    detail: str
    mend: str = ""


Check = Callable[[argparse.Namespace], Iterable[Finding]]
