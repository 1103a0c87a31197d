from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import parameters
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.settings import (
    AllVersions,
    BatchSettings,
    Latest,
    ModelSettings,
    QueuePolicy,
    SessionSettings,
    Specific,
    WarmupSettings,
)

from .configs import RANKING, RESNET, SEQUENCES, any_config, parsed

BASE = ModelSettings("m", Path("/models/m"))


def translated(text: str, base: ModelSettings = BASE) -> ModelSettings:
    return settings_from(parsed(text), base)[0]


def remarks(text: str) -> list[str]:
    return settings_from(parsed(text), BASE)[1]


def test_configuration_that_says_nothing_changes_nothing() -> None:
    config = ModelConfig()
    found, lines = settings_from(config, BASE)
    assert found == dataclasses.replace(BASE, config=config)
    assert found.config is config
    assert not lines


def test_resnet_of_triton_is_ours() -> None:
    found, lines = settings_from(parsed(RESNET), ModelSettings("resnet50", Path("/models/resnet50")))
    assert found.batch == BatchSettings(max_batch_rows=32, max_wait_us=500, preferred_batch_rows=(16, 32))
    assert found.session == SessionSettings(device="/GPU:1", xla=True)
    assert found.versions == Specific((1, 3))
    assert [line.split(":")[0] + ":" + line.split(":")[1] for line in lines] == [
        "model 'resnet50': optimization.execution_accelerators has no meaning here",
        "model 'resnet50': instance_group[0].count above 1 has no meaning here",
        "model 'resnet50': instance_group[0].gpus beyond the first has no meaning here",
    ]


def test_queue_policies_and_threads_are_ours() -> None:
    found, lines = settings_from(parsed(RANKING), BASE)
    batch = found.batch
    assert (batch.max_batch_rows, batch.priority_levels, batch.default_priority_level) == (128, 3, 2)
    assert batch.queue_policy == QueuePolicy(64, 100_000, True, "reject")
    assert batch.queue_policy_by_level == {3: QueuePolicy(256, 20_000, False, "delay")}
    session = found.session
    assert (session.intra_op_threads, session.inter_op_threads, session.own_threads) == (4, 2, True)
    assert len(lines) == 1
    assert "parameters.MAX_SESSION_SHARE_COUNT has no meaning here" in lines[0]


def test_sequences_that_wait_for_others_say_how() -> None:
    base = ModelSettings("counter", Path("/models/counter"))
    found = translated(SEQUENCES, base)
    batch = BatchSettings(max_batch_rows=8, max_wait_us=100, preferred_batch_rows=(2, 4))
    assert found == dataclasses.replace(base, batch=batch, config=found.config)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", Latest(2)),
        ("version_policy { latest { num_versions: 3 } }", Latest(3)),
        ("version_policy { all { } }", AllVersions()),
        ("version_policy { specific { versions: 4 versions: 2 } }", Specific((4, 2))),
    ],
)
def test_version_policies_are_ours(text: str, policy: object) -> None:
    assert translated(text, dataclasses.replace(BASE, versions=Latest(2))).versions == policy


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("", "/GPU:5"),
        ("instance_group { kind: KIND_CPU }", "/CPU:0"),
        ("instance_group { kind: KIND_GPU }", "/GPU:0"),
        ("instance_group { kind: KIND_GPU gpus: 3 }", "/GPU:3"),
        ("instance_group { gpus: 3 }", "/GPU:3"),
        ("instance_group { kind: KIND_AUTO }", "/GPU:5"),
        ("instance_group { kind: KIND_MODEL }", "/GPU:5"),
        ("instance_group { kind: KIND_CPU } instance_group { kind: KIND_GPU }", "/CPU:0"),
    ],
)
def test_first_group_of_instances_says_where_sessions_live(text: str, device: str) -> None:
    base = dataclasses.replace(BASE, session=SessionSettings(device="/GPU:5"))
    assert translated(text, base).session.device == device


@pytest.mark.parametrize(
    ("text", "owner", "name", "value"),
    [
        ('key: "HOTGRAPH_BATCHING" value { string_value: "always" }', "batch", "batching", "always"),
        ('key: "HOTGRAPH_JOIN" value { string_value: "auto" }', "batch", "batching", "tried"),
        ('key: "HOTGRAPH_UNPAD" value { string_value: "" }', "batch", "unpad", {}),
        ('key: "HOTGRAPH_SPLIT" value { string_value: "no" }', "batch", "split", False),
        (
            'key: "HOTGRAPH_PAD" value { string_value: "ids.1 = 0, text.2 = x," }',
            "batch",
            "pad",
            {"ids.1": 0.0, "text.2": "x"},
        ),
        (
            'key: "HOTGRAPH_ROW_BUCKETS" value { string_value: "1, 8,64" }',
            "batch",
            "row_buckets",
            (1, 8, 64),
        ),
        ('key: "HOTGRAPH_PLAN_BUDGET_S" value { string_value: "0.5" }', "session", "plan_budget_s", 0.5),
        ('key: "HOTGRAPH_WARMUP_ROUNDS" value { string_value: "3" }', "warmup", "warmup_rounds", 3),
        ('key: "HOTGRAPH_PIN" value { string_value: "true" }', "residency", "pin", True),
        ('key: "TF_GRAPH_TAG" value { string_value: "tune" }', "session", "graph_tag", "tune"),
    ],
)
def test_parameters_are_settings(text: str, owner: str, name: str, value: object) -> None:
    assert getattr(getattr(translated(f"parameters {{ {text} }}"), owner), name) == value


def test_whether_calls_are_split_is_asked_without_a_line_about_former_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = 'parameters {{ key: "HOTGRAPH_{}" value {{ string_value: "{}" }} }}'.format
    assert parameters.splits(parsed(said("JOIN", "auto") + said("SPLIT", "yes")))
    assert not parameters.splits(parsed(said("JOIN", "auto")))
    assert not caplog.messages


@pytest.mark.parametrize(
    ("former", "given", "name", "value"),
    [
        ("JOIN", "auto", "batching", "tried"),
        ("JOIN_BY_SIGNATURE", "one = auto", "batching_by_signature", {"one": "tried"}),
        ("CUT", "y.1 = ids.1", "unpad", {"y.1": "ids.1"}),
        ("CHECK_ONE_IN", "7", "verify_one_in", 7),
    ],
)
def test_former_name_of_a_parameter_is_read_and_the_log_says_the_present_one(
    former: str, given: str, name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    text = f'''
        parameters {{ key: "HOTGRAPH_{former}" value {{ string_value: "{given}" }} }}
        parameters {{ key: "HOTGRAPH_PAD" value {{ string_value: "ids.1 = 0" }} }}
    '''
    assert getattr(translated(text).batch, name) == value
    assert f"the setting {former.lower()} is called {name} now" in caplog.messages


def test_what_the_server_says_of_sizes_gives_way_to_the_models() -> None:
    base = BatchSettings(row_buckets=(1, 16, 64), max_queued_rows=64, preferred_batch_rows=(8, 64))
    small = translated("max_batch_size: 20", dataclasses.replace(BASE, batch=base)).batch
    assert (small.row_buckets, small.max_queued_rows, small.preferred_batch_rows) == ((1, 16, 20), 64, (8,))
    large = translated("max_batch_size: 200", dataclasses.replace(BASE, batch=base)).batch
    assert (large.row_buckets, large.max_queued_rows) == ((1, 16, 64, 200), 200)
    assert large.preferred_batch_rows == (8, 64)


def test_what_changes_less_than_it_says_is_named() -> None:
    assert remarks("dynamic_batching { max_queue_delay_microseconds: 20000000 }") == [
        "model 'm': dynamic_batching.max_queue_delay_microseconds is taken as 10000000, the longest wait"
        " there is here"
    ]
    as_saved = dataclasses.replace(BASE, session=SessionSettings(plan="as-saved"))
    found, lines = settings_from(parsed("optimization { graph { level: 1 } }"), as_saved)
    assert not found.session.xla
    assert lines == ["model 'm': optimization.graph.level asks for XLA, but by setting no plans are tried"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('runtime: "x"', "runtime"),
        ('cc_model_filenames { key: "6.1" value: "x" }', "cc_model_filenames"),
        ('model_operations { op_library_filename: "x.so" }', "model_operations"),
        ("model_metrics { }", "model_metrics"),
        ("optimization { priority: PRIORITY_MAX }", "optimization.priority"),
        ("optimization { cuda { graphs: true } }", "optimization.cuda"),
        ("optimization { input_pinned_memory { enable: false } }", "optimization.input_pinned_memory"),
        ("optimization { eager_batching: true }", "optimization.eager_batching"),
        ("optimization { graph { level: -1 } }", "optimization.graph.level below 0"),
        ("instance_group { } instance_group { }", "instance_group[1]"),
        ("instance_group { rate_limiter { priority: 2 } }", "instance_group[0].rate_limiter"),
        ("instance_group { passive: true }", "instance_group[0].passive"),
        ('parameters { key: "TF_INIT_OPS_FILE" value { string_value: "x" } }', "parameters.TF_INIT_OPS_FILE"),
        ('model_warmup { name: "w" }', "model_warmup[0]"),
    ],
)
def test_each_field_without_meaning_is_named(text: str, field: str) -> None:
    (line,) = remarks(text)
    assert line.startswith(f"model 'm': {field} has no meaning here: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name: "n"', "unexpected name 'n' in the configuration of model 'm'"),
        ('platform: "onnxruntime_onnx"', "platform 'onnxruntime_onnx' of m is not served here"),
        ('platform: "tensorflow_graphdef"', "platform 'tensorflow_graphdef' of m is not served here"),
        ('backend: "python"', "backend 'python' of m is not served here"),
        ("max_batch_size: -1", "'max_batch_size' must be non-negative value for m"),
        ("ensemble_scheduling { }", "ensemble_scheduling of m: models made of others"),
        ('model_repository_agents { agents { name: "checksum" } }', "model_repository_agents of m"),
        ('batch_input { target_name: "x" }', "batch_input of m: tensors for ragged batches"),
        ("batch_output { }", "batch_output of m"),
        ("version_policy { latest { } }", "num_versions of m must be at least 1"),
        ("version_policy { specific { } }", "version_policy.specific of m must name a version"),
        ("input { dims: 1 }", "model input must specify 'name' for m"),
        ('input { name: "x" } input { name: "x" }', "model input 'x' is there twice for m"),
        ('input { name: "x" dims: 0 }', "model input dimension must be integer >= 1, or -1"),
        ('output { name: "x" dims: -2 }', "model output dimension must be integer >= 1, or -1"),
        ('input { name: "x" dims: 4 reshape { shape: [2, 3] } }', "has different size for dims and reshape"),
        ('input { name: "x" reshape { } }', "a reshape needs dims"),
        ('input { name: "x" allow_ragged_batch: true }', "a SavedModel takes no ragged batches"),
        ('input { name: "x" format: FORMAT_NCHW dims: [2, 2] }', "model input NHWC/NCHW require 3 dims"),
        ('input { name: "x" is_shape_tensor: true }', "is_shape_tensor is for TensorRT alone"),
        ('output { name: "x" is_non_linear_format_io: true }', "is_non_linear_format_io is for TensorRT"),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }",
            "dynamic batching preferred size must be positive for m",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: 8 }",
            "dynamic batching preferred size must be <= max batch size for m, got 8 and 4",
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            r"default priority level must be in range \[1, 2\] for m, got 0",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
            r"default priority level must be in range \[1, 2\] for m, got 3",
        ),
        (
            "dynamic_batching { default_priority_level: 1 }",
            "default_priority_level of m needs priority_levels",
        ),
        (
            "dynamic_batching { priority_levels: 200 default_priority_level: 1 }",
            "priority-levels must be 1 to 100",
        ),
        (
            "dynamic_batching { priority_queue_policy { key: 1 value { } } }",
            "priority queue policy of m is for level 1, and the levels are none",
        ),
        (
            "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
        ),
        (
            "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
        ),
        ("instance_group { kind: KIND_GPU gpus: -1 }", "count and gpus must not be negative"),
        ("instance_group { count: -1 }", "count and gpus must not be negative"),
        ("instance_group { gpus: 4000 }", "device must look like"),
        ("response_cache { enable: true } sequence_batching { }", "does not support models with sequence"),
        (
            "response_cache { enable: true } model_transaction_policy { decoupled: true }",
            "Response caching does not support decoupled models",
        ),
        (
            'model_warmup { inputs { key: "x" value { data_type: TYPE_FP32 } } }',
            "expects zero_data, random_data or input_data_file for input 'x'",
        ),
        (
            'model_warmup { inputs { key: "x" value { data_type: TYPE_FP32 dims: -1 zero_data: true } } }',
            "expects all variable-size dimensions are specified for input 'x'",
        ),
        ('model_warmup { inputs { key: "x" value { zero_data: true } } }', "input 'x' needs a data_type"),
        (
            'parameters { key: "TF_NUM_INTRA_THREADS" value { string_value: "-1" } }',
            "TF_NUM_INTRA_THREADS must be an integer",
        ),
        (
            'parameters { key: "TF_USE_PER_SESSION_THREADS" value { string_value: "maybe" } }',
            "TF_USE_PER_SESSION_THREADS must be true or false",
        ),
        ('parameters { key: "HOTGRAPH_PORT" value { string_value: "1" } }', "there is no such setting"),
        ('parameters { key: "HOTGRAPH_SESSION_CONFIG" value { } }', "there is no such setting of a model"),
        ('parameters { key: "HOTGRAPH_BATCHING" value { string_value: "x" } }', "batching must be one of"),
        ('parameters { key: "HOTGRAPH_PAD" value { string_value: "x" } }', "must be NAME = VALUE"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        translated(text)


@given(any_config())
@settings(max_examples=300)
def test_any_configuration_is_translated_or_refused(config: ModelConfig) -> None:
    try:
        found, lines = settings_from(config, BASE)
    except SettingsError:
        return
    assert found.config is config
    assert isinstance(found.warmup, WarmupSettings)
    assert all(line.startswith("model 'm': ") for line in lines)
