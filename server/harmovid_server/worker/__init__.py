"""The engine process: one thread per running job, one engine call at a time, and the pool of codec children.

`worker.py` is its main thread, `job_run.py` runs one job, `host.py` the engines, `codec_pool.py` the codec children.
"""
