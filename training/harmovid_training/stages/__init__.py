"""The paper's recipe: stage 1 (per-frame harmonization), stage 2 (deflicker network), stage 3 (HarmoVid), and the
one-step student.

`pairs.py` defines the training pairs of each stage, `train.py` is the loop they share, `config.py` the named settings.
"""
