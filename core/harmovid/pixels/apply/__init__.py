"""Applying a lighting field to a plate, and compositing a foreground over a background. Callers import `fast`."""
