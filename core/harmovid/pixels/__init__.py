"""EXR, colour, compositing and the lighting field: numpy, OpenEXR and OpenImageIO.

Used by the server, the demo and the evaluation; host applications never import it. Arrays passed to and
returned by functions here are float32, scene-linear, `(H, W, C)` unless its docstring says otherwise.
"""
