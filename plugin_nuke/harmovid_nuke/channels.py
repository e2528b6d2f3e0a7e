"""Channels of a node's output as the plugin needs them: its alpha, and layers of three channels. Plain Python."""

from __future__ import annotations

from typing import Dict, Iterable, Tuple

ALPHA = "rgba.alpha"
Triple = Tuple[str, str, str]

_THREE = (("red", "green", "blue"), ("r", "g", "b"), ("x", "y", "z"))
"""Names of a layer's three numbers, in their order."""
_COLOUR = "rgba"


def triples(names: Iterable[str]) -> Dict[str, Triple]:
    """Return the layers that hold three numbers per pixel, with their channels in order; the colour is left out.

    Args:
        names: a node's channels, as "N.x".
    """
    layers: Dict[str, Dict[str, str]] = {}
    for name in names:
        layer, _, channel = name.rpartition(".")
        if layer and layer != _COLOUR:
            layers.setdefault(layer, {})[channel.lower()] = name
    found: Dict[str, Triple] = {}
    for layer, own in layers.items():
        for red, green, blue in _THREE:
            if red in own and green in own and blue in own:
                found[layer] = own[red], own[green], own[blue]
                break
    return found
