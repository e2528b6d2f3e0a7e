"""The front process: sockets, sessions, credit, and files into and out of the spool.

`front.py` is its event loop. It handles no pixels, no engines and no jobs.
"""
