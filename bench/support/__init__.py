"""What the benchmarks share: a server to measure, its processes, their time and memory, and frames to
send.
"""
