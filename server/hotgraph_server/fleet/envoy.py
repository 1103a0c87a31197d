"""Envoy's configuration for a fleet, as text to be read by people as well. Pure.

It is written once, and not again when replicas or models come and go: endpoints come from the file that the
fleet writes (eds.py), which says of each which models it has. A call says which model it is for, by the
header `x-hotgraph-model` or, over REST, by its path; Envoy makes that the call's metadata, and takes one of
the subset of endpoints that have the model. No list of routes grows with the models. A call that says
nothing, or names what nobody has, goes to any replica, which forwards it once or answers NOT_FOUND.

Why LEAST_REQUEST within subsets, and not the weights of load reports (ORCA): measured with Envoy 1.40,
`client_side_weighted_round_robin` as the policy of subsets weighs all endpoints alike until the file is
written again, since its timer looks at the whole cluster only; and Envoy crashed (segmentation fault) in four
of ten runs while reports came in. Of two the one that has less under way works in subsets, needs no reports,
and finds a slow replica as well. Where every model is on every replica (`pin`) there are no subsets, and
reports weigh.

What the policies are, and why: docs/operations.md and deploy/envoy/envoy.yaml, of which this is the sum.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from hotgraph_server.fleet import eds
from hotgraph_server.fleet.spec import FleetSpec

HEADER: Final = "x-hotgraph-model"
"""What a call names its model by; hotgraph's clients send it."""

ADMIN: Final = "127.0.0.1:9901"

_PER_REPLICA_CALLS = 1024
_LEAST_CALLS = 4096


def endpoints_file(spec: FleetSpec) -> Path:
    """What Envoy reads; it has to be there when Envoy starts."""
    return spec.state / "endpoints.json"


def config(spec: FleetSpec, admin: str = ADMIN) -> str:
    """The configuration, as YAML.

    Args:
        admin: where Envoy's own figures are shown, HOST:PORT.
    """
    everywhere = bool(spec.models) and all(model.pin for model in spec.models)
    values = {
        "NAME": spec.name,
        "LISTEN": _socket_address(spec.listen),
        "ADMIN": _socket_address(admin),
        "HEADER": HEADER,
        "KEY": eds.MODEL_KEY,
        "RESOURCE": eds.RESOURCE,
        "CALLS": str(max(_LEAST_CALLS, _PER_REPLICA_CALLS * spec.replicas.most)),
        # The last, for a folder may be called as these are.
        "ENDPOINTS": _quoted(str(endpoints_file(spec))),
    }
    balancing = _WEIGHTED if everywhere and _reports(spec) else _EVEN if everywhere else _BY_MODEL
    # The policies first, for they have values as well.
    text = _TEXT.replace("@GRPC_BALANCING@", balancing)
    text = text.replace("@REST_BALANCING@", _EVEN if everywhere else _BY_MODEL)
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _reports(spec: FleetSpec) -> bool:
    return spec.replicas.settings.get("load_reports") != "never"


def _quoted(text: str) -> str:
    """As YAML has it, which knows JSON's escapes but for those of pairs."""
    return "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else f"\\U{ord(char):08x}"
        for char in text
    ).join('""')


def _socket_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    return json.dumps({"address": host.removeprefix("[").removesuffix("]"), "port_value": int(port)})


_BY_MODEL = """\
    # of two replicas that have the model, the one with less under way
    lb_policy: LEAST_REQUEST
    lb_subset_config:
      fallback_policy: ANY_ENDPOINT
      # an endpoint's models are a list, and each of them makes it one of that model's subset
      list_as_any: true
      subset_selectors:
      - {keys: [@KEY@], fallback_policy: ANY_ENDPOINT}"""

_EVEN = """\
    # every replica has every model
    lb_policy: LEAST_REQUEST"""

_WEIGHTED = """\
    # every replica has every model, so that what replicas say of their load (docs/load-reports.md) can weigh
    load_balancing_policy:
      policies:
      - typed_extension_config:
          name: envoy.load_balancing_policies.client_side_weighted_round_robin
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin
            enable_oob_load_report: true
            oob_reporting_period: 1s
            blackout_period: 10s
            weight_update_period: 1s"""  # noqa: E501 - as Envoy calls it

_TEXT = """\
# Envoy before the fleet @NAME@: gRPC, gRPC-Web from browsers, and REST on one port. Written by hotgraph fleet envoy.
#
# envoy -c envoy.yaml --drain-time-s 10
# Endpoints, and which models each has, come from a file that hotgraph fleet up writes, and hold at once; this
# file stays as it is when replicas and models come and go. Why each policy is as it is: docs/operations.md.
admin:
  address: {socket_address: @ADMIN@}
# files of endpoints are for a node that has a name
node: {id: @NAME@, cluster: @NAME@}
static_resources:
  listeners:
  - name: calls
    address: {socket_address: @LISTEN@}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: calls
          # HTTP/2 of gRPC and HTTP/1.1 of browsers and REST
          codec_type: AUTO
          # streams of ModelStreamInfer and health watchers may be silent for as long as they like
          stream_idle_timeout: 0s
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format:
                text_format_source:
                  inline_string: "%REQ(:PATH)% %REQ(X-HOTGRAPH-MODEL)% %RESPONSE_CODE% %GRPC_STATUS%
                  tries=%UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_FLAGS% %UPSTREAM_HOST% %DURATION%ms\\n"
          http_filters:
          - name: envoy.filters.http.grpc_web
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb}
          - name: envoy.filters.http.grpc_stats
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig
              stats_for_all_methods: true
          # the model that a call is for, where it says so: the subset of endpoints that it goes to
          - name: envoy.filters.http.header_to_metadata
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
              request_rules:
              - header: @HEADER@
                on_header_present: {metadata_namespace: envoy.lb, key: @KEY@, type: STRING}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: hotgraph
              domains: ["*"]
              # no caller says of itself that its call has been forwarded by a server
              request_headers_to_remove: [x-hotgraph-forwarded]
              routes:
              - match: {safe_regex: {regex: "/v[12](/.*)?"}}
                typed_per_filter_config:
                  envoy.filters.http.header_to_metadata:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config
                    request_rules:
                    # a path names its model; a header that does so as well has the last word
                    - header: ":path"
                      on_header_present:
                        metadata_namespace: envoy.lb
                        key: @KEY@
                        type: STRING
                        regex_value_rewrite:
                          pattern: {regex: "^/v[12]/models/([^/:?]+).*$"}
                          substitution: "\\\\1"
                    - header: @HEADER@
                      on_header_present: {metadata_namespace: envoy.lb, key: @KEY@, type: STRING}
                route:
                  cluster: rest
                  timeout: 0s
                  # 503 is UNAVAILABLE; 429 is load, and left alone
                  retry_policy:
                    retry_on: retriable-status-codes,connect-failure,refused-stream
                    retriable_status_codes: [503]
                    num_retries: 2
                    retry_host_predicate: &others
                    - name: envoy.retry_host_predicates.previous_hosts
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate
                    # LEAST_REQUEST prefers a server that fails at once, for it has nothing under way: of two it
                    # takes the lost one again three times in four; 17 looks miss the other once in 130
                    host_selection_retry_max_attempts: 16
              # gRPC, and what the filter has made gRPC of
              - match: {prefix: /}
                route:
                  cluster: grpc
                  # the default of 15 s would cut; the caller's own deadline counts, up to this
                  timeout: 0s
                  max_stream_duration: {grpc_timeout_header_max: 600s}
                  retry_policy:
                    # UNAVAILABLE says that another server may answer and that nothing was run here. `reset`
                    # is a server that died with the call: nothing tells whether it was run, so leave it out
                    # where models keep state. No resource-exhausted: who refuses for load wants fewer calls,
                    # not more.
                    retry_on: unavailable,connect-failure,refused-stream,reset
                    num_retries: 2
                    retry_back_off: {base_interval: 0.02s, max_interval: 0.2s}
                    # a model that one replica has is tried there again
                    retry_host_predicate: *others
                    host_selection_retry_max_attempts: 16
  clusters:
  - name: grpc
    type: EDS
    eds_cluster_config: &endpoints
      service_name: @RESOURCE@
      eds_config:
        resource_api_version: V3
        path_config_source: {path: @ENDPOINTS@}
    connect_timeout: 1s
@GRPC_BALANCING@
    # who is taken off the list gets nothing new, whatever its health says; what it has is answered
    ignore_health_on_host_removal: true
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          # finds a server whose machine is gone, while no call is under way; a server does not mind such
          # pings
          http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}
    health_checks:
    - timeout: 0.5s
      interval: 1s
      # until a cluster has had its first call Envoy looks once a minute otherwise
      no_traffic_interval: 1s
      unhealthy_threshold: 2
      healthy_threshold: 1
      # the service: a replica without a model is as healthy as any
      grpc_health_check: {service_name: inference.GRPCInferenceService}
    outlier_detection:
      # UNAVAILABLE and lost connections count, RESOURCE_EXHAUSTED does not
      consecutive_gateway_failure: 3
      # 0 by default: nothing would be ejected
      enforcing_consecutive_gateway_failure: 100
      # counts INTERNAL too, which may be the model's doing and no server's
      enforcing_consecutive_5xx: 0
      interval: 1s
      base_ejection_time: 5s
      # never all of them
      max_ejection_percent: 50
    circuit_breakers: &bounds
      # Calls under way; and how many of them may be second tries, so that trouble does not multiply the load:
      # when one of few servers dies, many become that at once, and the default of 3 would fail the others.
      thresholds:
      - max_connections: @CALLS@
        max_requests: @CALLS@
        max_pending_requests: @CALLS@
        retry_budget: {budget_percent: {value: 50}, min_retry_concurrency: 100}
        track_remaining: true
  - name: rest
    # the port of the calls speaks HTTP/1.1 too
    type: EDS
    eds_cluster_config: *endpoints
    connect_timeout: 1s
@REST_BALANCING@
    ignore_health_on_host_removal: true
    health_checks:
    - timeout: 0.5s
      interval: 1s
      no_traffic_interval: 1s
      unhealthy_threshold: 2
      healthy_threshold: 1
      http_health_check: {path: /v2/health/ready}
    circuit_breakers: *bounds
"""  # noqa: E501 - as Envoy calls it
