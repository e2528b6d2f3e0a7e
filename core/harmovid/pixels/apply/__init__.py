"""Applying a lighting field to a plate, and a foreground to a background. `fast` is what callers want."""
