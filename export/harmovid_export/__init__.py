"""Export: checkpoints to ONNX graphs, TensorRT plans and engine bundles. See docs/export.md.

    graphs.py        the networks of a checkpoint as modules with named inputs, outputs and free sizes
    footage.py       real pictures as a network's inputs
    calibrate.py     ranges of a transformer's layers on footage, for FP8
    onnx/            build.py writes a file, check.py compares it with torch, fp8.py puts FP8 into it, names.py maps its
                     weights to the checkpoint's, weights.py gives it those of another checkpoint
    tensorrt/        build.py builds a plan in a child process (child.py), plans.py all of a bundle, check.py runs them
    bundle.py        a whole bundle: graphs, prompt, manifest, model card
    folders.py       which folders may be replaced, and how; pack.py: a bundle as one file to copy to other machines
    command.py       `harmovid export`, `harmovid bundle`
    harmonizer.py    the compact harmonizer's weights as its bundle; reopen.py reads them back for training
    toy.py           the toy's one-step models as bundles

It may import the training package. Of the server it imports the runtimes and the rule of positions, to run what it has
built (`tensorrt/check.py`).
"""

from harmovid import telemetry

telemetry.switch_off()
