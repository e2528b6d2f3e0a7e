"""The DaVinci Resolve plugin: Deflicker and Harmonize for clips of a timeline.

    from harmovid_resolve import session, batch
    found = session.session_of(session.find(globals()))       # in a script that Resolve started

The part that runs in Resolve's own Python (3.9 and newer) uses the standard library only; jobs run in a client process
with its own environment (`contract`). `session`, `clip`, `source` and `colour` find out what to work on; `render`,
`restore` and `readback` change the project and undo changes; `batch` processes one clip after the other.
"""
