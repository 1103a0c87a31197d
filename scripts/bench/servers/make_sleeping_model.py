"""A SavedModel whose run sleeps and computes nothing; given a folder, and how long, seconds.

It stands for runs on another device, which take time and no processor. The folder gets ``sleeping.so``, the
library with the op, and the SavedModel ``sleeping``. Needs a C++ compiler (c++).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tensorflow as tf

from bench.workload import INPUT, OUTPUT

_COLUMNS = 8

_SOURCE = r"""
#include <time.h>
#include <cstring>
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

static void shape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* same = TF_NewShapeHandle();
  TF_ShapeInferenceContextGetInput(context, 0, same, status);
  TF_ShapeInferenceContextSetOutput(context, 0, same, status);
  TF_DeleteShapeHandle(same);
}

static void compute(void*, TF_OpKernelContext* context) {
  struct timespec rest = {0, NANOSECONDS};
  while (nanosleep(&rest, &rest) != 0) {}
  TF_Status* status = TF_NewStatus();
  TF_Tensor* x = nullptr;
  TF_GetInput(context, 0, &x, status);
  int64_t dims[8];
  for (int i = 0; i < TF_NumDims(x); i++) dims[i] = TF_Dim(x, i);
  TF_Tensor* y = TF_AllocateOutput(context, 0, TF_FLOAT, dims, TF_NumDims(x), TF_TensorByteSize(x), status);
  std::memcpy(TF_TensorData(y), TF_TensorData(x), TF_TensorByteSize(x));
  TF_DeleteTensor(x);
  TF_DeleteTensor(y);
  TF_DeleteStatus(status);
}

__attribute__((constructor)) static void register_both() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("HotgraphSleep");
  TF_OpDefinitionBuilderAddInput(op, "x: float");
  TF_OpDefinitionBuilderAddOutput(op, "y: float");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &shape);
  TF_RegisterOpDefinition(op, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder("HotgraphSleep", "CPU", nullptr, &compute, nullptr);
  TF_RegisterKernelBuilder("HotgraphSleep", kernel, status);
  TF_DeleteStatus(status);
}
"""


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    source, library = folder / "sleeping.cc", folder / "sleeping.so"
    source.write_text(_SOURCE.replace("NANOSECONDS", str(round(seconds * 1e9))))
    flags = [flag for flag in tf.sysconfig.get_compile_flags() if flag.startswith("-I")]
    command = ["c++", "-shared", "-fPIC", str(source), "-o", str(library), *flags]
    subprocess.run([*command, *tf.sysconfig.get_link_flags()], check=True)
    sleep = tf.load_op_library(str(library)).hotgraph_sleep

    class Sleeping(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, _COLUMNS], tf.float32, name=INPUT)])  # type: ignore[untyped-decorator]
        def __call__(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {OUTPUT: sleep(x=x)}

    module = Sleeping()
    tf.saved_model.save(module, str(folder / "sleeping"), signatures=module.__call__)


if __name__ == "__main__":
    main()
