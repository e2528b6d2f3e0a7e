"""Runtimes that run the networks of engines, with one interface (`base.py`): ONNX Runtime, TensorRT."""

from harmovid import telemetry

telemetry.switch_off()
