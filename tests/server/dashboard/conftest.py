"""A real browser for the dashboard, as the evaluation's pages have it."""

from evaluate.conftest import browser as browser  # noqa: PLC0414  (a fixture)
