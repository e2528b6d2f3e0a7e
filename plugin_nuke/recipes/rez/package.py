"""A rez package of the Nuke plugin: `HARMOVID=/path/to/harmovid rez build --install` in a copy of this folder.

rez has a PATH of its own while it builds, so the command is named in full. The content is what `harmovid plugin install
nuke` writes; the folder on NUKE_PATH is all that Nuke needs.
"""

name = "harmovid_nuke"
version = "0.1.0"
description = "Harmonize and Deflicker nodes for Nuke 14 and later"
requires = ["nuke"]
build_command = "$HARMOVID plugin install nuke --nuke-dir {install_path}"


def commands():  # noqa: ANN201
    """Put the plugin on NUKE_PATH; its init.py finds the packages that fit this Nuke's Python."""
    env.NUKE_PATH.append("{root}/harmovid")  # noqa: F821 (rez brings `env`)
