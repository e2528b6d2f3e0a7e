"""`harmovid watch`: a folder whose job files are run, one after the other, for hosts that cannot run a plugin.

`job_file` reads what a job file says, `status` is what is written beside it, `ledger` tells a job's own results from
others', `films` decodes films and writes them, `watcher` finds and runs the jobs.
"""
