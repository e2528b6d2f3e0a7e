"""The main process: it starts and replaces the other processes, and decides about all jobs.

`server.py` is its loop and `children.py` the child processes; `dispatcher.py` does what their messages ask for;
`state.py` is the one place where jobs change; `store.py` keeps them on disk.
"""
