"""Recipes to bundles: ONNX, FP16, INT8, and the gate every one must pass. Host only; this module loads no torch."""
