"""The front process: sockets only. Wire in and out, sessions, credit, files into and out of the spool.

`front.py` is its loop; no pixels, no engine and no job in here.
"""
