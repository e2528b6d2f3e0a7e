"""The training package: clips, masks, models, the paper's three stages, inference, and what results are measured by.

`models` are the conditioned video diffusion transformers, `inference` runs them on shots of any length, `clips` and
`masks` are what they learn from, `stages` is the paper's recipe, `toy` the same recipe at a size that two CPU cores
finish, `metrics` what both this package and `harmovid_evaluate` measure with. docs/training.md walks through it. Only
this package, `harmovid_evaluate` and `harmovid_export` may import torch.
"""
