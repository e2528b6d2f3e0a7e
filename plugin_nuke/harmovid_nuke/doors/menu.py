"""HarmoVid in Nuke: its menus. Only an interactive Nuke runs this; Nuke starts even if it fails."""

try:
    import harmovid_nuke

    if not harmovid_nuke.python_problem():
        import harmovid_nuke.menus

        harmovid_nuke.menus.install()
except Exception as _error:
    import traceback

    traceback.print_exc()
    print(f"HarmoVid has no menu: {_error}. Run `harmovid plugin install nuke` again.")  # noqa: T201
