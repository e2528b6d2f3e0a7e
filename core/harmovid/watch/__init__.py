"""`harmovid watch`: runs the job files in a folder, one after the other, for hosts that cannot run a plugin.

`job_file` reads a job file, `status` is the file written beside it, `ledger` knows which results belong to a job,
`films` decodes and writes video files, `watcher` finds and runs the jobs.
"""
