"""The Nuke room: knobs, node, plates, readback and watch for the Harmonize and Deflicker nodes.

Not built yet; `docs/architecture.md` describes it. May import nuke, Qt and the root of `harmovid`, nothing else.
"""
