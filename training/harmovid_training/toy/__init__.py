"""The whole recipe at a size that two CPU cores can run: `python -m harmovid_training.toy` or `make train-toy`.

`scenes.py` renders small clips under pairs of lights, `codec.py` is the toy's VAE, `networks.py` makes its
transformers, `recipe.py` runs stages 1 to 3, and `tables.py` measures the results.
"""

import os

# Read when numpy is first imported. The matrices here are small: two threads wait for each other longer than they
# compute, many times as long where other programs run.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
