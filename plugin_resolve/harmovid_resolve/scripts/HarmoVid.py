"""HarmoVid: deflicker and harmonize clips. Written by `harmovid plugin install resolve`; `uninstall` takes it out."""

SETTINGS = ""  # the installation writes the path of its settings file here


def start(given: dict) -> None:
    """Open HarmoVid; problems are printed in one sentence, and nothing is raised into Resolve."""
    try:
        import json
        import sys

        with open(SETTINGS, encoding="utf-8") as file:
            settings = json.load(file)
        if settings["package"] not in sys.path:
            sys.path.insert(0, settings["package"])
        from harmovid_resolve.start import run
    except Exception as error:
        print(f"HarmoVid is not installed as it should be ({error}). Run: harmovid plugin install resolve")
        return
    run(given, settings)


start(globals())
