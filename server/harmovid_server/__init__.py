"""The HarmoVid server: sockets in one process, jobs in another, engines and EXR codecs in expendable children.

Run by `harmovid serve` (or `python -m harmovid_server`). Linux only; never imports torch or the training room.
`docs/architecture.md` draws the processes, `docs/wire.md` is the law of what they speak to clients.
"""
