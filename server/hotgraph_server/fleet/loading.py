"""How a server is asked for versions of a model: the parameters of its RepositoryModelLoad. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hotgraph_server.fleet.spec import RolloutSpec

_VERSIONS = "hotgraph_versions"


def parameters_of(versions: tuple[int, ...], rollout: RolloutSpec) -> dict[str, str]:
    """
    Args:
        versions: the one that callers get who ask for none, and perhaps one in its shadow; empty: the newest.
        rollout: by what the two are compared.
    """
    if not versions:
        return {}
    parameters = {_VERSIONS: ",".join(map(str, versions)), "hotgraph_default_version": str(versions[0])}
    if len(versions) > 1:
        parameters["hotgraph_shadow_version"] = str(versions[1])
        if rollout.tolerance is not None:
            parameters["hotgraph_shadow_tolerance"] = str(rollout.tolerance)
    return parameters


def versions_in(parameters: Mapping[str, str]) -> tuple[int, ...]:
    """Those that such parameters ask for."""
    asked = parameters.get(_VERSIONS, "")
    return tuple(int(one) for one in asked.split(",")) if asked else ()
