"""The panoramas of the shot's lights: where the light comes from, and how much of it a surface gets."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_demo.lights import STAGE_LIGHTS, STREET_LIGHTS
from harmovid_demo.panoramas import COLUMNS, ROWS, panoramas


@pytest.mark.parametrize(("which", "lights"), [(0, STAGE_LIGHTS), (1, STREET_LIGHTS)])
def test_every_lamp_is_where_it_stands(which, lights):
    """The panorama is brightest at the lamps: row 0 looks up, the middle column along -z, and +x is on the right."""
    picture = panoramas()[which]
    sky = np.median(picture)
    for lamp in lights:
        x, y, z = np.array(lamp.towards) / np.linalg.norm(lamp.towards)
        row = int(np.arccos(y) / np.pi * ROWS)
        column = int((np.arctan2(x, -z) / (2 * np.pi) + 0.5) * COLUMNS)
        assert picture[row, column].max() > 2 * sky


def test_a_card_gets_the_key_lights_colour():
    """The light of the stage's key on a matt card that faces it is the key's colour, beside the weak rest."""
    picture = panoramas()[0].astype(np.float64)
    down = (np.arange(ROWS) + 0.5) / ROWS * np.pi
    around = ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * 2 * np.pi
    across = np.sin(down)[:, None]
    directions = np.stack(
        [
            across * np.sin(around),
            np.broadcast_to(np.cos(down)[:, None], (ROWS, COLUMNS)),
            -across * np.cos(around),
        ],
        -1,
    )
    key = np.array(STAGE_LIGHTS[0].towards) / np.linalg.norm(STAGE_LIGHTS[0].towards)
    solid = np.broadcast_to(across, (ROWS, COLUMNS)) * (np.pi / ROWS) * (2 * np.pi / COLUMNS)
    card = ((np.maximum(directions @ key, 0) * solid)[..., None] * picture).sum((0, 1)) / np.pi
    colour = np.array(STAGE_LIGHTS[0].colour)
    assert (card > 0.9 * colour).all()
    assert (card < 1.25 * colour + 0.2).all()
