"""Numbers of the harmonizer's networks."""

from __future__ import annotations

CODE_GREY, CODE_STOPS = 0.4135884, 17.52
"""ACEScct code of 0.18 and stops per unit of code: codes of `harmovid.pixels.colour.model_space` become stops."""
UNIT_STOPS = 3.0
"""Stops that correspond to 1 inside the network."""
LOW_STOPS, HIGH_STOPS = -7.0, 6.0
"""Range of the curve, from the anchor; also where the histograms end."""
GRID_ROWS, GRID_COLUMNS, GRID_LEVELS = 8, 8, 3
GRID_LOW, GRID_HIGH = -4.0, 3.0
"""Luma range of the grid's levels, in stops from the anchor."""
BINS, CHROMA_BINS = 16, 7
CHROMA_STOPS = 2.5
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
ANCHOR_STOPS = 4.0
"""Largest distance of the plate's exposure from middle grey in the network's input."""
VECTOR = 224
STEM = 16
STAGES = (24, 48, 96, 160)
"""Channels at a half, a quarter, an eighth and a sixteenth of the small picture's size."""
KEYS, VALUES = 32, 32
"""Sizes of attention keys and values, from places of the foreground to places of the plate."""
LOCAL = 24
PLACES = (9, 12)
"""Rows and columns of places in the semantic branch."""
CELL = 14
"""Numbers of a place's light: shares of foreground and plate, sums of their colours, sums of the squares."""
DROPOUT, POOLS_DROPOUT = 0.1, 0.1
"""Shares dropped in training: of the head's inputs, and of the compact part's pooled features."""
VARIANTS = ("cautious", "expected", "bold")
"""Variants of boldness; each has its own confidence."""
GATE_LIMIT, SMALL_STOPS = 1.5, 0.03
"""Largest confidence (the network underestimates large errors), and the threshold of small sizes in the gate's
inputs."""
ERRORS = 4
"""Quantities that are predicted with their error: stops of exposure, red over green, blue over green, contrast."""
GATE_FACTS = 41 + 3 * ERRORS
BRIGHTNESS = 0.16
"""Linear value to which the plate's exposure anchor is mapped for the backbone."""
