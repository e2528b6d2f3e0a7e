"""The main process: it starts and replaces the other processes, and schedules all jobs.

`server.py` is its event loop, `children.py` manages the child processes, `dispatcher.py` handles their messages,
`state.py` is the only place where jobs change, `store.py` keeps them on disk.
"""
