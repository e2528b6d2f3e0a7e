"""Graphs as ONNX files: build, check against torch, map weights back."""
