"""The training room: data, models, losses, the paper's three stages and evaluation.

Not built yet. What will stand here, and in which order, is in `docs/architecture.md`. Only this room and
`harmovid_export` may import torch.
"""
