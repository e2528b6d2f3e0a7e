"""The training package: clips, masks, models, the paper's three stages, inference and metrics.

`models` holds the conditioned video diffusion transformers, `inference` runs them on shots of any length, `clips` and
`masks` prepare the training data, `stages` is the paper's recipe, and `toy` is the same recipe at a size that two CPU
cores can run. `metrics` is shared with `harmovid_evaluate`. `data` and `harmonizer` train the compact harmonizer that
ships. docs/training.md explains how to use all of it. Only this package, `harmovid_evaluate` and `harmovid_export` may
import torch.
"""

from harmovid import telemetry

telemetry.switch_off()
