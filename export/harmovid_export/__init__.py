"""The export room: checkpoints to ONNX, parity, TensorRT plans, engine bundles.

Not built yet; `docs/architecture.md` describes it. The only room that may import both training and a runtime.
"""
