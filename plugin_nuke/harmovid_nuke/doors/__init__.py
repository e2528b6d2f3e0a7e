"""The two files that Nuke runs when it starts. They are copied beside the packages, and never imported as modules."""
