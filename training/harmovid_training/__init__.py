"""The training room: data, models, the paper's three stages, inference and evaluation.

`models` are the conditioned video diffusion transformers, `inference` runs them on shots of any length, `clips` and
`masks` are what they learn from, `stages` is the paper's recipe, `toy` the same recipe at a size that two CPU cores
finish. docs/training.md tells the whole story. Only this room and `harmovid_export` may import torch.
"""
