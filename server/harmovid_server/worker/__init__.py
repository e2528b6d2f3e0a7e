"""The engine process: one thread per running job, one engine call at a time, and the pool of codec children.

`pipeline.py` is the way of one job; `worker.py` the thread that owns the link to main.
"""
