"""The HarmoVid server: sockets in one process, jobs in another, engines and EXR codecs in expendable children.

Run by `harmovid serve` (or `python -m harmovid_server`). Linux only; never imports torch or the training packages.
`docs/architecture.md` describes the processes, `docs/wire.md` specifies the protocol between server and clients.
"""
