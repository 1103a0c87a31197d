"""open_inference.py: the messages agree with those of a client that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool

from hotgraph_protos import open_inference as oip

COMPARE = """
from tritonclient.grpc import service_pb2
from hotgraph_protos import open_inference as oip

theirs = service_pb2.DESCRIPTOR
KNOWN_TO_US_ALONE = {("ModelMetadataResponse", "properties"), ("ModelMetadataResponse", "PropertiesEntry")}
compared = 0

def facts(field):
    nested = field.message_type.full_name if field.message_type else None
    oneof = field.containing_oneof.name if field.containing_oneof else None
    return field.number, field.type, field.is_repeated, nested, oneof

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
    for nested in ours.nested_types:
        if (name, nested.name) not in KNOWN_TO_US_ALONE:
            compare(name, nested, theirs.nested_types_by_name[nested.name])

for name, message in oip.DESCRIPTOR.message_types_by_name.items():
    compare(name, message, theirs.message_types_by_name[name])
assert compared > 80, compared

service = oip.DESCRIPTOR.services_by_name["GRPCInferenceService"]
their_service = theirs.services_by_name["GRPCInferenceService"]
for method in service.methods:
    their_method = their_service.methods_by_name[method.name]
    assert method.input_type.full_name == their_method.input_type.full_name
    assert method.output_type.full_name == their_method.output_type.full_name
"""


def test_numbers_types_and_methods_equal_those_of_tritonclient() -> None:
    """In an interpreter of its own: tritonclient fills the default pool, and kserve could not follow."""
    finished = subprocess.run(
        [sys.executable, "-c", COMPARE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


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
