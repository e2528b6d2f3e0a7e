"""Graphs as TensorRT plans, with `tensorrt` or `tensorrt_rtx`: built in a child process, checked, named in the manifest."""
