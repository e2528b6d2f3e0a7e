"""The Resolve room: session, clip, plates, readback and panel for Deflicker in DaVinci Resolve Studio.

Not built yet; `docs/architecture.md` describes it. May import the Resolve API, the standard library and the
root of `harmovid`.
"""
