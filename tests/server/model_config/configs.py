"""Configurations as their owners write them, and any others at all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.model_config import config_file

RESNET = """
# Written by hand for Triton's TensorFlow backend.
name: "resnet50"
platform: "tensorflow_savedmodel"
max_batch_size: 32
input [
  {
    name: "input_1"
    data_type: TYPE_FP32
    format: FORMAT_NHWC
    dims: [ 224, 224, 3 ]
  }
]
output [
  {
    name: "predictions"
    data_type: TYPE_FP32
    dims: [ 1000 ]
    label_filename: "resnet50_labels.txt"
  }
]
instance_group [
  {
    count: 2
    kind: KIND_GPU
    gpus: [ 1, 2 ]
  }
]
dynamic_batching {
  preferred_batch_size: [ 16, 32 ]
  max_queue_delay_microseconds: 500
}
optimization {
  graph { level: 1 }
  execution_accelerators {
    gpu_execution_accelerator : [ {
      name : "tensorrt"
      parameters { key: "precision_mode" value: "FP16" }
    } ]
  }
}
version_policy: { specific { versions: [ 1, 3 ] } }
"""

RANKING = """
backend: "tensorflow"
max_batch_size: 128
input { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] }
input { name: "features" data_type: TYPE_FP32 dims: [ 1, 20 ] reshape: { shape: [ 20 ] } }
output { name: "score" data_type: TYPE_FP32 dims: [ 1 ] reshape: { shape: [ ] } }
dynamic_batching {
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 100000
    allow_timeout_override: true
    max_queue_size: 64
  }
  priority_queue_policy {
    key: 3
    value: { timeout_action: DELAY default_timeout_microseconds: 20000 max_queue_size: 256 }
  }
}
response_cache { enable: true }
parameters: { key: "TF_NUM_INTRA_THREADS" value: { string_value: "4" } }
parameters: { key: "TF_NUM_INTER_THREADS" value: { string_value: "2" } }
parameters: { key: "TF_USE_PER_SESSION_THREADS" value: { string_value: "yes" } }
parameters: { key: "TF_SIGNATURE_DEF" value: { string_value: "rank" } }
parameters: { key: "MAX_SESSION_SHARE_COUNT" value: { string_value: "2" } }
parameters: { key: "owner" value: { string_value: "search" } }
model_warmup [
  {
    name: "sixteen"
    batch_size: 16
    inputs { key: "ids" value: { data_type: TYPE_INT64 dims: [ 8 ] zero_data: true } }
    inputs { key: "features" value: { data_type: TYPE_FP32 dims: [ 1, 20 ] random_data: true } }
  }
]
"""

SEQUENCES = """
name: "counter"
max_batch_size: 8
input { name: "x" data_type: TYPE_INT32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_INT32 dims: [ 1 ] }
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest {
    max_candidate_sequences: 4
    preferred_batch_size: [ 4, 2 ]
    max_queue_delay_microseconds: 100
  }
  control_input [
    {
      name: "START"
      control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ]
    },
    {
      name: "READY"
      control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ]
    },
    {
      name: "ID"
      control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ]
    }
  ]
  state [
    {
      input_name: "sum_in"
      output_name: "sum_out"
      data_type: TYPE_INT32
      dims: [ 2 ]
      initial_state { data_type: TYPE_INT32 dims: [ 2 ] zero_data: true name: "sum" }
    }
  ]
}
"""


def parsed(text: str) -> ModelConfig:
    """The configuration that text stands for."""
    return config_file.parse(text, "config.pbtxt")


_INTEGERS = st.one_of(st.integers(-3, 12), st.sampled_from([2**31 - 1, -(2**31), 2**63 - 1, 2**64 - 1]))
_WORDS = st.one_of(
    st.sampled_from(
        [
            *("", "m", "x", "y", "tensorflow", "tensorflow_savedmodel", "1", "true", "../x", "/etc/passwd"),
            *("HOTGRAPH_BATCHING", "HOTGRAPH_PAD", "HOTGRAPH_ROW_BUCKETS", "HOTGRAPH_PLAN_BUDGET_S", "nan"),
            *("TF_NUM_INTRA_THREADS", "TF_SIGNATURE_DEF", "TF_GRAPH_TAG", "ids.1=0", "1,2,4", "always"),
        ]
    ),
    st.text(max_size=6),
)
_LIMITS = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


@st.composite
def _values(draw: st.DrawFn, field: Any) -> Any:
    kinds = {
        number: name[5:].lower() for name, number in vars(type(field)).items() if name.startswith("TYPE_")
    }
    kind = kinds[field.type]
    if kind in _LIMITS:
        low, high = _LIMITS[kind]
        return draw(_INTEGERS.filter(lambda value: low <= value <= high))
    if kind == "enum":
        return draw(
            st.one_of(st.sampled_from([value.number for value in field.enum_type.values]), st.just(99))
        )
    if kind == "bool":
        return draw(st.booleans())
    if kind == "string":
        return draw(_WORDS)
    return draw(st.sampled_from([0.0, 0.5, -1.0, float("nan"), float("inf")]))


@st.composite
def _filled(draw: st.DrawFn, message: Any, depth: int) -> Any:
    fields = draw(st.lists(st.sampled_from(list(message.DESCRIPTOR.fields) or [None]), max_size=5))
    for field in filter(None, fields):
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key = draw(_values(field.message_type.fields_by_name["key"]))
            value = field.message_type.fields_by_name["value"]
            if value.message_type is None:
                target[key] = draw(_values(value))
            elif depth:
                draw(_filled(target[key], depth - 1))
        elif field.message_type is not None:
            if depth:
                inner = target.add() if hasattr(target, "add") else target
                if inner is target:
                    inner.SetInParent()
                draw(_filled(inner, depth - 1))
        elif hasattr(target, "extend"):
            target.extend(draw(st.lists(_values(field), max_size=3)))
        else:
            setattr(message, field.name, draw(_values(field)))
    return message


@st.composite
def any_config(draw: st.DrawFn) -> ModelConfig:
    """Any configuration: one of its owners', changed, or one made of nothing but chance."""
    config = parsed(draw(st.sampled_from(["", RESNET, RANKING, SEQUENCES])))
    if draw(st.booleans()):
        config.name = ""
    if draw(st.booleans()):
        config.ClearField(draw(st.sampled_from([field.name for field in config.DESCRIPTOR.fields])))
    for _ in range(draw(st.integers(0, 2))):
        draw(_filled(config, 4))
    return config
