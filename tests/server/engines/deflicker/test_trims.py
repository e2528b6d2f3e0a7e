"""Trims as text: the parser, and the option's regular expression with which hosts check it before a job is sent."""

from __future__ import annotations

import re

import pytest
from harmovid.errors import OptionError
from harmovid_server.engines.deflicker.trims import FORM, parse_trims


@pytest.mark.parametrize(
    "text",
    ["", "  ", "1001:+0.2", "1001:0.2, 1010-1014:-0.05", " 7 : 8 ", "1:8.00,2:-7.999", "1:007", "5:.5", "1:9", "1:8.1",
     "x", "1:", "1001:+0.2,", ",", "1-:2", "1:1:1", "1001 1002:1", "-5:1"],
)  # fmt: skip
def test_the_form_takes_what_is_read(text: str) -> None:
    """The regular expression in the description and the reader agree on every text."""
    try:
        parse_trims(text)
        readable = True
    except OptionError:
        readable = False
    assert bool(re.fullmatch(FORM, text)) == readable
