"""Graphs as TensorRT plans, by `tensorrt` or `tensorrt_rtx`: built in a child process and checked."""
