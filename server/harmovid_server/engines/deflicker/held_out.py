"""Whether curves can be believed: tests on matches that were left out of the fit.

    share = quadratic_share(links, curves_of, colours)
    correlation = agreement(links, curves_of, colours)

Each link's matches are divided at the middle of their positions into four quarters. Two opposite quarters are fitted,
then the other two. A change that depends on colour is the same in both halves, and what is fitted to one predicts the
other. Local light is not: curves only imitate it through the colours that happen to be there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Tuple

import numpy as np

from harmovid_server.engines.deflicker.colour_terms import TERMS, Array64, terms
from harmovid_server.engines.deflicker.local_gains import differences, weighted_median
from harmovid_server.engines.deflicker.motion import Link, chosen

SLOPES = 4
"""Terms of a gain with contrast and cross-talk; those after them are quadratic."""
AGREEMENT = 0.3, 0.5
"""Correlation of what the quadratic terms add in both halves, up to which they are not used, and from which on they are
used completely. Under local light it is -0.2 to 0.4 and up to 0.7, under strong grades 0.44 to 0.67."""
WITHOUT = 0.99, 1.0
"""Error of the prediction without quadratic terms, over that with them, to the same ends: local light has 0.93 to
1.003, grades and curves 0.998 to 1.07."""
SMALLEST_STOPS = 1e-6
FEWEST_MATCHES = 12
"""A link is tested if at least so many of its matches lie in either half."""


def quadratic_share(
    links: List[Link], curves_of: Callable[[List[Link], int], Array64], colours: Array64
) -> float:
    """Return how far the quadratic terms can be believed, 0..1; 1 if nothing can be tested.

    Args:
        links: matched pairs of frames.
        curves_of: fits so many terms to links; returns coefficients `(count, 10, 3)` over `colour_terms.terms`.
        colours: `(n, 3)` log2 colours at which both halves are compared.
    """
    added, ratios = [], []
    first, second = halves(links)
    if not first:
        return 1.0
    for fitted, left_out in ((first, second), (second, first)):
        rich, plain = curves_of(fitted, TERMS), curves_of(fitted, SLOPES)
        stops = np.einsum("nk,tkc->tnc", terms(colours), rich - plain)
        added.append(stops - stops.mean(axis=0))
        ratios.append(errors_of(left_out, plain) / np.maximum(errors_of(left_out, rich), SMALLEST_STOPS))
    return ramp(_alike(*added), *AGREEMENT) * ramp(float(np.median(np.concatenate(ratios))), *WITHOUT)


def agreement(links: List[Link], curves_of: Callable[[List[Link], int], Array64], colours: Array64) -> float:
    """Return the correlation of what is found to flicker in both halves; 1 if nothing can be tested.

    Flicker of the whole region is in both halves, errors of lost motion differ. Arguments as of `quadratic_share`.
    """
    fitted = [curves_of(half, SLOPES) for half in halves(links) if half]
    if not fitted:
        return 1.0
    one, other = (np.diff(np.einsum("nk,tkc->tnc", terms(colours), each), n=2, axis=0) for each in fitted)
    return _alike(one, other)


def _alike(one: Array64, other: Array64) -> float:
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum()) / size if size > 0 else 1.0


def errors_of(links: List[Link], curves: Array64) -> Array64:
    """Return `(m,)`: the median difference in stops that `curves` `(count, 10, 3)` leave in each link."""
    sizes = (np.sqrt((differences(link, curves) ** 2).mean(axis=1)) for link in links)
    return np.array([weighted_median(size, link.samples.weight) for size, link in zip(sizes, links)])


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and the share of the way between."""
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def halves(links: List[Link]) -> Tuple[List[Link], List[Link]]:
    """Return the links with the matches of two opposite quarters, and with those of the other two."""
    first, second = [], []
    for link in links:
        right, below = (link.samples.later_at > np.median(link.samples.later_at, axis=0)).T
        one = right ^ below
        if min(np.count_nonzero(one), np.count_nonzero(~one)) >= FEWEST_MATCHES:
            first.append(replace(link, samples=chosen(link.samples, one)))
            second.append(replace(link, samples=chosen(link.samples, ~one)))
    return first, second
