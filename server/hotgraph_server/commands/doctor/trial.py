"""A model that the doctor loads as the server would, and what is seen of it then."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from hotgraph_server.commands.doctor.findings import Kind, Subject
from hotgraph_server.errors import StartError
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.settings import AllVersions, Latest, ModelSettings, Specific, StateSettings

if TYPE_CHECKING:
    from hotgraph_server.models.version import Version


def find_versions(model: Subject, settings: ModelSettings) -> bool:
    """Look for what there is to serve. Returns whether there is anything."""
    try:
        found = versions_in(settings.path, settings.folder)
    except StartError as error:
        model.add(Kind.CHANGE, str(error))
        return False
    served: list[int] = []
    match settings.versions:
        case Specific(numbers):
            served = sorted(set(numbers) & set(found))
            for number in sorted(set(numbers) - set(found)):
                model.add(Kind.CHANGE, f"version {number} is asked for and is not there")
        case Latest(count):
            served = sorted(found)[-count:]
        case AllVersions():
            served = sorted(found)
    model.add(Kind.SAME, f"versions {', '.join(map(str, served)) or 'none'} of {settings.path}")
    return bool(served)


def load(model: Subject, settings: ModelSettings, *, batched_before: bool) -> None:
    """Load the newest version as the server would, and say what it is like here.

    Args:
        batched_before: did the other server join calls of this model?
    """
    from hotgraph_server.protocols.tfs.warmup_records import records_in
    from hotgraph_server.repository import loader

    # A doctor leaves nothing behind.
    settings = dataclasses.replace(settings, state=StateSettings(), log=None)
    try:
        version = loader.load(settings, records_in)
    except StartError as error:
        model.add(Kind.CHANGE, str(error).removeprefix(f"{settings.path}: "))
        return
    try:
        _tell(model, version, batched_before)
    finally:
        version.stop(timeout_s=5)


def _tell(model: Subject, version: Version, batched_before: bool) -> None:
    for name, fault in version.unusable.items():
        model.add(Kind.DIFFERENT, f"signature {name} cannot be called: {fault}")
    for signature in version.signatures.values():
        reason = version.unbatched_reasons[signature.name]
        if signature.variables:
            model.add(
                Kind.BETTER,
                f"signature {signature.name} writes variables ({', '.join(sorted(signature.variables)[:3])}):"
                " calls run in their order, and --state-dir keeps them over restarts",
            )
        if reason is None:
            why = version.joined_because(signature.name)
            model.add(Kind.BETTER, f"signature {signature.name}: calls share batches: {why or 'as said'}")
        elif batched_before:
            model.add(
                Kind.DIFFERENT, f"signature {signature.name}: each call runs alone, no batches: {reason}"
            )
        else:
            model.add(Kind.SAME, f"signature {signature.name}: each call runs alone: {reason}")
        if signature.python_call:
            model.add(
                Kind.DIFFERENT,
                f"signature {signature.name}: a run that comes to {signature.python_call} fails, as it does"
                " in every server: its Python function is not in the SavedModel",
            )
