"""A SavedModel whose run sleeps and computes nothing; given a folder, and how long, seconds.

It stands for runs on another device, which take time and no processor. The folder gets ``sleeping.so``, the
library with the op, and the SavedModel ``sleeping``. Needs a C++ compiler (c++).
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from bench.servers.float_op import build
from bench.workload import INPUT, OUTPUT

_COLUMNS = 8

_COMPUTE = """
  struct timespec rest = {0, %d};
  while (nanosleep(&rest, &rest) != 0) {}
  std::memcpy(to, from, count * sizeof(float));
"""


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    library = folder / "sleeping.so"
    build(library, "HotgraphSleep", _COMPUTE % round(seconds * 1e9))
    sleep = tf.load_op_library(str(library)).hotgraph_sleep

    class Sleeping(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, _COLUMNS], tf.float32, name=INPUT)])  # type: ignore[untyped-decorator]
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {OUTPUT: sleep(x=x)}

    module = Sleeping()
    tf.saved_model.save(module, str(folder / "sleeping"), signatures=module.__call__)


if __name__ == "__main__":
    main()
