"""Who may call what, and where what callers ask to be written down may go."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import setting


@dataclass(frozen=True)
class AccessSettings:
    """Who may call what; owned by access/, and `request_log_dir` by request_log/."""

    auth: str = setting(
        "",
        "TOML file that closes groups of methods (infer, metadata, control, state, admin) or gives them keys;"
        " read again on SIGHUP",
        metavar="FILE",
    )
    grpc_restricted_protocol: tuple[str, ...] = setting(
        (),
        "a header that calls over gRPC need, by what they do (health, metadata, inference, trace and so on):"
        " the flag of Triton's of this name; may be given again for others",
        kind=list,
        metavar="PROTOCOL[,PROTOCOL]:KEY=VALUE",
        secret=True,
    )
    http_restricted_api: tuple[str, ...] = setting(
        (),
        "a header that requests to the REST port need, by what they do, as --grpc-restricted-protocol has it:"
        " the flag of Triton's of this name; may be given again for others",
        kind=list,
        metavar="API[,API]:KEY=VALUE",
        secret=True,
    )
    request_log_dir: str = setting(
        "",
        "folder that callers of HandleReloadConfigRequest may have calls written down in, by a"
        " logging_config; none: such a request is refused",
        metavar="DIR",
    )
