"""The blind preference study (the paper's user study): its plan, its stored answers, the local server,
and the summary.
"""
