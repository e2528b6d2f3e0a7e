"""Runtimes: what runs the networks of engines, behind one contract (`base.py`): ONNX Runtime, TensorRT."""
