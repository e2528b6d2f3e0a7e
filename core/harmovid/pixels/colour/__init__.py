"""Colour: one standard per file. `spaces` is the way to linear light and back; docs/colour.md says it in words."""
