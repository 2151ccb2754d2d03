"""Post-training quantisation: calibration, ranges, weights, and where Q/DQ pairs belong. All of it on ONNX form."""
