"""A bare loop round ONNX Runtime: `python bare_loop.py MODEL INPUTS.npz THREADS SECONDS LEVEL SPIN LEFT_OFF`.

Inputs are arrays `INPUT/NUMBER`. LEVEL is all or none (graph optimisations), SPIN 1 or 0, LEFT_OFF has the fusions that
are off, with commas: all as the bundle says. Prints the median in milliseconds; imports nothing of ours.
"""

import statistics
import sys
import time
from collections import defaultdict


def main(model: str, inputs: str, threads: str, seconds: str, level: str, spin: str, left_off: str) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if level == "none" else levels.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"], disabled_optimizers=left_off.split(",")
    )
    samples = defaultdict(dict)
    with np.load(inputs) as arrays:
        for key in arrays.files:
            name, _, number = key.rpartition("/")
            samples[int(number)][name] = arrays[key]
    feeds = [samples[number] for number in sorted(samples)]

    def loop(for_seconds: float) -> list[float]:
        times = []
        begin = time.perf_counter()
        while time.perf_counter() - begin < for_seconds:
            one = feeds[len(times) % len(feeds)]
            start = time.perf_counter()
            session.run(None, one)
            times.append(time.perf_counter() - start)
        return times

    loop(1.0)
    print(statistics.median(loop(float(seconds))) * 1000)


if __name__ == "__main__":
    main(*sys.argv[1:])
