"""The metrics process: /metrics for Prometheus, /livez and /readyz, from the numbers that main sends it.

A process of its own, because whoever connects to it must not be able to hold main up. It knows no job and no file.
"""
