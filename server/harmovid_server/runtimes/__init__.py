"""Runtimes that networks run on. Empty until the first network ships: ONNX Runtime and TensorRT come here."""
