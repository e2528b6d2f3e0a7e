"""Clips on disk: an index of them, and readers for EXR sequences, image folders and video files."""
