"""Export: checkpoints to ONNX graphs, TensorRT plans and engine bundles. See docs/export.md.

    graphs.py      the networks of a checkpoint as modules with named inputs, outputs and dynamic sizes onnx/
    build.py writes a file, check.py compares it with torch, names.py maps its weights to the checkpoint's tensorrt/
    build.py builds a plan in a child process, check.py runs it and looks for NaN and infinite values bundle.py      a
    whole bundle: graphs, prompt, manifest, model card pack.py        a bundle as one file to copy to other machines
    command.py     `harmovid export`, `harmovid bundle` harmonizer.py  the compact harmonizer's weights as its bundle;
    reopen.py reads them back for training toy.py         the toy's one-step models as bundles

It may import the training package; it never imports the server.
"""
