"""The DaVinci Resolve plugin: Deflicker and Harmonize for clips of a timeline.

    from harmovid_resolve import session, batch
    found = session.session_of(session.find(globals()))       # in a script that Resolve started

What runs in Resolve's own Python (3.9 and newer) is the standard library alone; jobs run in a client process with an
environment of its own (`contract`). Modules are named after what they hold: `session`, `clip`, `source`, `colour` (what
the user means), `render`, `restore`, `readback` (what is done in the project, and undone), `batch` (one clip after the
other).
"""
