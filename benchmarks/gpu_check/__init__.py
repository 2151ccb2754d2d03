"""Times compiled models against eager PyTorch and torch.compile on a machine that has little more than PyTorch.

``python -m edgewright.benchmarks.gpu_check --help`` says how; ``docs/gpu-check.md`` says what its figures mean.
"""
