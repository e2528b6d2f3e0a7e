"""An AYON addon for the Nuke plugin: what the server reads. Zip this folder, the plugin in its client folder."""

name = "harmovid_nuke"
title = "HarmoVid for Nuke"
version = "0.1.0"
client_dir = "ayon_harmovid_nuke"
ayon_required_addons = {"nuke": ">=0.2.0"}
