"""A library with an op that TensorFlow does not have: floats in, as many floats of the same shape out.

Needs a C++ compiler (c++).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import tensorflow as tf

_SOURCE = r"""
#include <time.h>
#include <cstring>
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_tensor.h"

static void shape(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeHandle* same = TF_NewShapeHandle();
  TF_ShapeInferenceContextGetInput(context, 0, same, status);
  TF_ShapeInferenceContextSetOutput(context, 0, same, status);
  TF_DeleteShapeHandle(same);
}

static void compute(void*, TF_OpKernelContext* context) {
  TF_Status* status = TF_NewStatus();
  TF_Tensor* x = nullptr;
  TF_GetInput(context, 0, &x, status);
  int64_t dims[8];
  for (int i = 0; i < TF_NumDims(x); i++) dims[i] = TF_Dim(x, i);
  TF_Tensor* y = TF_AllocateOutput(context, 0, TF_FLOAT, dims, TF_NumDims(x), TF_TensorByteSize(x), status);
  const float* from = static_cast<const float*>(TF_TensorData(x));
  float* to = static_cast<float*>(TF_TensorData(y));
  const int64_t count = TF_TensorElementCount(x);
  COMPUTE
  TF_DeleteTensor(x);
  TF_DeleteTensor(y);
  TF_DeleteStatus(status);
}

__attribute__((constructor)) static void register_both() {
  TF_Status* status = TF_NewStatus();
  TF_OpDefinitionBuilder* op = TF_NewOpDefinitionBuilder("NAME");
  TF_OpDefinitionBuilderAddInput(op, "x: float");
  TF_OpDefinitionBuilderAddOutput(op, "y: float");
  TF_OpDefinitionBuilderSetShapeInferenceFunction(op, &shape);
  TF_RegisterOpDefinition(op, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder("NAME", "CPU", nullptr, &compute, nullptr);
  TF_RegisterKernelBuilder("NAME", kernel, status);
  TF_DeleteStatus(status);
}
"""


def build(library: Path, name: str, compute: str) -> None:
    """Write the library, and its source beside it.

    Args:
        library: a file name that ends in ``.so``.
        name: of the op, as ``HotgraphTwice``; its input is called x, its output y.
        compute: C++ that makes ``to`` out of ``from``, ``count`` floats each.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    source = library.with_suffix(".cc")
    source.write_text(_SOURCE.replace("NAME", name).replace("COMPUTE", compute))
    # Without those of TensorFlow's flags that only its C++ headers need.
    flags = [flag for flag in tf.sysconfig.get_compile_flags() if flag.startswith("-I")]
    command = ["c++", "-shared", "-fPIC", str(source), "-o", str(library), *flags]
    subprocess.run([*command, *tf.sysconfig.get_link_flags()], check=True)
