"""Shared code of the benchmarks: a server to measure, time and memory of its processes, and frames to send."""
