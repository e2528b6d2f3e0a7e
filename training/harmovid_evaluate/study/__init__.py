"""The blind preference study (the paper's user study): its plan, its store, the local server, and the summary."""
