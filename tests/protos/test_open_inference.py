"""open_inference.py: the messages agree with those of a client that is not ours."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import pytest
from google.protobuf import descriptor_pool

from hotgraph_protos import model_config
from hotgraph_protos import open_inference as oip

COMPARE = """
from tritonclient.grpc import model_config_pb2, service_pb2
from hotgraph_protos import model_config, open_inference as oip

KNOWN_TO_US_ALONE = {
    ("ModelMetadataResponse", "properties"),
    ("ModelMetadataResponse", "PropertiesEntry"),
    # what KServe's clients read
    ("RepositoryModelLoadResponse", "model_name"),
    ("RepositoryModelLoadResponse", "isLoaded"),
    ("RepositoryModelUnloadResponse", "model_name"),
    ("RepositoryModelUnloadResponse", "isUnloaded"),
}
compared = 0

def facts(field):
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else None
    return field.number, field.type, field.is_repeated, kind and kind.full_name, oneof

def compare_enum(ours, theirs):
    assert ours.full_name == theirs.full_name
    assert [(v.name, v.number) for v in ours.values] == [(v.name, v.number) for v in theirs.values]

def compare(name, ours, theirs):
    global compared
    assert ours.full_name == theirs.full_name
    for field in ours.fields:
        if (name, field.name) in KNOWN_TO_US_ALONE:
            # it must not take a number that they use for something else
            assert field.number not in theirs.fields_by_number, field.full_name
            continue
        assert facts(field) == facts(theirs.fields_by_name[field.name]), field.full_name
        compared += 1
    assert not set(theirs.fields_by_name) - set(ours.fields_by_name), name
    for nested in ours.nested_types:
        if (name, nested.name) not in KNOWN_TO_US_ALONE:
            compare(name, nested, theirs.nested_types_by_name[nested.name])
    for enum in ours.enum_types:
        compare_enum(enum, theirs.enum_types_by_name[enum.name])

for ours, theirs in (oip, service_pb2), (model_config, model_config_pb2):
    ours, theirs = ours.DESCRIPTOR, theirs.DESCRIPTOR
    assert list(ours.enum_types_by_name) == list(theirs.enum_types_by_name)
    for name, enum in ours.enum_types_by_name.items():
        compare_enum(enum, theirs.enum_types_by_name[name])
    assert set(ours.message_types_by_name) == set(theirs.message_types_by_name)
    for name, message in ours.message_types_by_name.items():
        compare(name, message, theirs.message_types_by_name[name])
assert compared > 250, compared

service = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"]
their_service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
assert set(service.methods_by_name) == set(their_service.methods_by_name)
for method in service.methods:
    their_method = their_service.methods_by_name[method.name]
    assert method.input_type.full_name == their_method.input_type.full_name
    assert method.output_type.full_name == their_method.output_type.full_name
    assert method.client_streaming == their_method.client_streaming
    assert method.server_streaming == their_method.server_streaming
"""


def test_numbers_types_and_methods_equal_those_of_tritonclient() -> None:
    run_alone(COMPARE)


def run_alone(program: str) -> None:
    """In an interpreter of its own: tritonclient fills the default pool, and kserve could not follow."""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


def test_configuration_is_one_class_whichever_module_it_is_taken_from() -> None:
    assert oip.ModelConfig is model_config.ModelConfig
    response = oip.ModelConfigResponse(config=model_config.ModelConfig(name="m"))
    response.config.input.add(data_type=model_config.TYPE_STRING)
    assert type(response.config) is model_config.ModelConfig
    assert model_config.DataType.Name(response.config.input[0].data_type) == "TYPE_STRING"


KSERVE = """
from kserve.protocol.grpc import grpc_predict_v2_pb2 as kserve
from hotgraph_protos import open_inference as oip

for what, done in ("Load", "isLoaded"), ("Unload", "isUnloaded"):
    answer = getattr(oip, f"RepositoryModel{what}Response")(model_name="m", **{done: True})
    read = getattr(kserve, f"RepositoryModel{what}Response").FromString(answer.SerializeToString())
    assert read.model_name == "m" and getattr(read, done) is True
    sent = getattr(kserve, f"RepositoryModel{what}Request")(model_name="m").SerializeToString()
    assert getattr(oip, f"RepositoryModel{what}Request").FromString(sent).repository_name == "m"
"""


def test_kserve_reads_what_we_say_of_loading() -> None:
    run_alone(KSERVE)


def test_default_pool_does_not_know_our_messages() -> None:
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindFileByName("open_inference.proto")


def test_every_message_of_the_file_is_a_class_of_the_module() -> None:
    for name, descriptor in oip.DESCRIPTOR.message_types_by_name.items():
        assert getattr(oip, name).DESCRIPTOR is descriptor


def test_field_that_is_not_declared_is_kept() -> None:
    """Clients of other versions send more than we declare; it must not be lost on the way through."""
    undeclared = b"\xfa\x7f\x03abc"
    assert oip.ModelInferRequest.FromString(undeclared).SerializeToString() == undeclared


def test_classes_of_nested_messages_outlive_their_messages() -> None:
    def used() -> weakref.ref[type]:
        request = oip.ModelInferRequest()
        request.inputs.add(name="x")
        return weakref.ref(type(request.inputs[0]))

    kept = used()
    gc.collect()
    assert kept() is not None
