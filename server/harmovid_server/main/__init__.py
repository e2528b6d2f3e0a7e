"""The main process: child processes and their lives (`lifecycle.py`, `children.py`), and all jobs.

`scheduler.py` says what each message of a child does, `board.py` is the one place where jobs change, `store.py`
keeps them.
"""
