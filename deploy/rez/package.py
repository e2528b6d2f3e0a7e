"""HarmoVid as a rez package: the light client for hosts and farm blades. docs/deploy.md, "Rez".

    cd deploy/rez && rez build --install
    rez env harmovid -- harmovid --version

The wheels are taken from a folder, so the build needs no network: HARMOVID_WHEELHOUSE names it.
"""

name = "harmovid"
version = "0.1.0"
description = "Video harmonization and deflicker for visual effects, in scene-linear float EXR"
authors = ["The HarmoVid authors"]
# pyzmq and msgpack are compiled: one variant for each Python of your hosts, with wheels for it in the folder.
variants = [["python-3.11"]]
tools = ["harmovid"]

build_command = (
    'python -m pip install --no-index --find-links "$HARMOVID_WHEELHOUSE"'
    ' --target "{install_path}/python" harmovid'
)


def commands():  # noqa: ANN201  (rez reads this with the Python it has)
    """Put the package on Python's path, and the command under its name."""
    env.PYTHONPATH.append("{root}/python")
    alias("harmovid", "python -m harmovid.cli")
