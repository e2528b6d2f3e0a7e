"""`harmovid watch`: a folder whose job files are run, one after the other, for hosts that cannot run a plugin.

`job_file` reads what a job file says, `status` is what is written beside it, `watcher` finds and runs the jobs.
"""
