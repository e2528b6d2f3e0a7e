"""Mattes for training: mask providers, and pseudo alpha from binary masks."""
