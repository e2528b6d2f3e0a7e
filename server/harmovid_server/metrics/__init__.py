"""The metrics process: /metrics for Prometheus, /livez and /readyz, from the numbers that main sends it.

A separate process, so that its HTTP clients cannot delay main. It knows no job and no file.
"""
