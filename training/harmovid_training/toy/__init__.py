"""The whole recipe at a size that two CPU cores finish: `python -m harmovid_training.toy` or `make train-toy`.

`scenes.py` renders small clips under pairs of lights, `networks.py` makes and trains a tiny VAE and says how
large the tiny transformers are, `recipe.py` runs stages 1 to 3, `tables.py` measures them.
"""
