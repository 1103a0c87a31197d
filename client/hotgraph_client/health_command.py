"""`hotgraph health`: is a server, or one of its models, ready? For probes of containers and for scripts.

Over gRPC it asks grpc.health.v1, which most servers of gRPC have; over HTTP the Open Inference Protocol. It
loads neither numpy nor TensorFlow for gRPC, because containers run it every few seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

import grpc

from .access_flags import add_access_arguments, add_address_argument, add_timeout_argument, key_of, tls_of
from .channel import DEFAULT_ADDRESS, plan_route
from .errors import HotgraphError, NotFound, from_status
from .health import CHECK, SERVING, request_of, status_of
from .tls import Tls

DESCRIPTION = """\
Ask a server whether it, or one of its models, is ready to answer calls. Exit status 0: it is; 1: it is not,
does not answer or is not known; 2: the arguments make no sense. One line says which.
"""
EXAMPLES = """\
examples:
  hotgraph health                                   the server of this machine
  hotgraph health models.example:8500 flowers       one model
  hotgraph health 127.0.0.1:8500 inference.GRPCInferenceService
  hotgraph health http://127.0.0.1:8502             over HTTP: /v2/health/ready
  hotgraph health models.example:443 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key

Without an address it asks HOTGRAPH_HOST (127.0.0.1, if that is none to call) at HOTGRAPH_HEALTH_PORT, or else
at HOTGRAPH_PORT, or else at 8500: in a container, the server that these have set up.
"""

_ANYWHERE = ("", "0.0.0.0", "::", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_address_argument(parser, optional=True)
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="a model, or a service; none: the whole server"
    )
    add_timeout_argument(parser, 2.0)
    add_access_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask; returns the exit status."""
    address = arguments.address or address_here(os.environ)
    try:
        tls, key = tls_of(arguments), key_of(arguments.key_file)
        if address.startswith(("http://", "https://")):
            status = _over_http(address, arguments.name, arguments.timeout_s, tls, key)
        else:
            status = _over_grpc(address, arguments.name, arguments.timeout_s, tls, key)
    except NotFound:
        status = "NOT KNOWN THERE"
    except HotgraphError as error:
        return _fail(error, 1)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    what = f"'{arguments.name}' at {address}" if arguments.name else address
    if status != SERVING:
        return _fail(f"{what} is {status.replace('_', ' ').lower()}", 1)
    print(f"{what} is serving")
    return 0


def address_here(environment: Mapping[str, str]) -> str:
    """HOST:PORT of the server that a container's environment has set up."""
    usual_host, _, port = DEFAULT_ADDRESS.rpartition(":")
    for name in ("HOTGRAPH_PORT", "HOTGRAPH_HEALTH_PORT"):
        # Not what Kubernetes has under that name, tcp://10.0.0.1:8500.
        text = environment.get(name, "").strip()
        port = text if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) else port
    host = environment.get("HOTGRAPH_HOST", "").strip()
    host = usual_host if host in _ANYWHERE else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _over_grpc(address: str, name: str, timeout_s: float, tls: Tls | None, key: str | None) -> str:
    # No other try: whoever asks does so again.
    route = plan_route(address, retries=0, tls=tls)
    headers = () if key is None else (("authorization", f"Bearer {key}"),)
    with (
        grpc.insecure_channel(route.target, route.options)
        if tls is None
        else grpc.secure_channel(route.target, tls.credentials(), route.options)
    ) as channel:
        try:
            # Bytes both ways, which grpc's types do not know.
            check: Any = channel.unary_unary(CHECK)
            answer: bytes = check(request_of(name), timeout=timeout_s, metadata=headers)
        except grpc.RpcError as error:
            raise from_status(
                error.code(), error.details(), error.trailing_metadata(), address=address, model=name
            ) from None
    return status_of(answer)


def _over_http(address: str, name: str, timeout_s: float, tls: Tls | None, key: str | None) -> str:
    # Here, because it loads numpy.
    from .client import Client

    with Client(address, timeout_s=timeout_s, tls=tls, key=key, retries=0) as client:
        return SERVING if (client.is_model_ready(name) if name else client.is_ready()) else "NOT_SERVING"


def _fail(error: object, status: int) -> int:
    print("hotgraph health:", " ".join(str(error).split()), file=sys.stderr)
    return status
