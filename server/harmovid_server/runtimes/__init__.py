"""Runtimes that run the networks of engines, with one interface (`base.py`): ONNX Runtime, TensorRT."""
