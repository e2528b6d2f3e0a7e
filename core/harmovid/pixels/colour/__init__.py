"""Colour: one standard per file. `spaces` converts to linear light and back; docs/colour.md explains it."""
