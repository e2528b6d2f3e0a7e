"""The export room: checkpoints to ONNX graphs, TensorRT plans and engine bundles. docs/export.md.

    graphs.py      what is exported: the networks of a checkpoint with named inputs, outputs and free sizes
    onnx/          build.py makes a file, check.py compares it with torch, names.py maps its weights back
    tensorrt/      build.py makes a plan in a child process, check.py looks for numbers that are none
    bundle.py      a whole bundle: graphs, prompt, manifest, card
    pack.py        a bundle as one file that travels
    command.py     `harmovid export`, `harmovid bundle`

The only room that may import training; it never imports the server.
"""
