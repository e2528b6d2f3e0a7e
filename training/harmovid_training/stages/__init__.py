"""The paper's recipe: stage 1 (per-frame harmonization), stage 2 (deflicker network), stage 3 (HarmoVid),
one-step student.

`paths.py` says what each stage learns from, `train.py` is the loop they share, `config.py` the named settings.
"""
