"""orca.py: the messages of load reports, field by field as Envoy and gRPC read them."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool

from hotgraph_protos import orca as pb

# xds/data/orca/v3/orca_load_report.proto
FIELDS = {
    "cpu_utilization": 1,
    "mem_utilization": 2,
    "rps": 3,
    "request_cost": 4,
    "utilization": 5,
    "rps_fractional": 6,
    "eps": 7,
    "named_metrics": 8,
    "application_utilization": 9,
}


def test_report_has_its_fields_by_their_numbers() -> None:
    assert {one.name: one.number for one in pb.OrcaLoadReport.DESCRIPTOR.fields} == FIELDS
    assert pb.OrcaLoadReport.DESCRIPTOR.full_name == "xds.data.orca.v3.OrcaLoadReport"


def test_report_is_on_the_wire_what_its_fields_are() -> None:
    # Field 9, eight bytes of a float.
    assert (
        pb.OrcaLoadReport(application_utilization=1.0).SerializeToString()
        == b"\x49" + b"\0" * 6 + b"\xf0\x3f"
    )


def test_service_streams_reports() -> None:
    (service,) = pb.DESCRIPTOR.services_by_name.values()
    (method,) = service.methods
    assert (service.full_name, method.name) == ("xds.service.orca.v3.OpenRcaService", "StreamCoreMetrics")
    assert (method.server_streaming, method.client_streaming) == (True, False)
    assert method.output_type.full_name == "xds.data.orca.v3.OrcaLoadReport"


def test_default_pool_does_not_know_our_messages() -> None:
    """xds-protos' own would collide with them there."""
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("xds.data.orca.v3.OrcaLoadReport")


def test_message_is_the_same_class_wherever_it_is_taken_from() -> None:
    from hotgraph_protos import orca_load_report

    assert orca_load_report.OrcaLoadReport is pb.OrcaLoadReport
