"""What a doctor has found, and how it is told. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


class Kind(enum.Enum):
    """What a finding means for whoever moves."""

    CHANGE = "change"  # it is not served until this is done
    DIFFERENT = "different"  # it is served, and something is not as it was
    BETTER = "better"
    SAME = "same"


@dataclass(frozen=True)
class Finding:
    """One thing, in words without a full stop."""

    kind: Kind
    text: str


@dataclass
class Subject:
    """A model, or the server as a whole.

    Attributes:
        name: of the model; empty: it is the server.
        findings: in the order in which they were made.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: Kind, text: str) -> None:
        """A finding, in one line."""
        self.findings.append(Finding(kind, " ".join(text.split())))

    def of(self, kind: Kind) -> list[str]:
        """The texts of a kind."""
        return [finding.text for finding in self.findings if finding.kind is kind]

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if count := len(self.of(Kind.CHANGE)):
            return f"{count} to change"
        if count := len(self.of(Kind.DIFFERENT)):
            return f"served, {count} different"
        return "served as it was"


@dataclass(frozen=True)
class Examination:
    """All of a deployment.

    Attributes:
        command: that takes its place.
        subjects: the server first, then its models.
    """

    command: str
    subjects: Sequence[Subject]

    @property
    def is_fit(self) -> bool:
        """Is all of it served without a change?"""
        return not any(subject.of(Kind.CHANGE) for subject in self.subjects)


_MARKS = {Kind.CHANGE: "CHANGE", Kind.DIFFERENT: "differs", Kind.BETTER: "better", Kind.SAME: "same"}


def lines(examination: Examination) -> Iterator[str]:
    """The report, for people."""
    width = max(map(len, _MARKS.values()))
    for subject in examination.subjects:
        yield f"{f'model {subject.name}' if subject.name else 'server'}: {subject.verdict}"
        for kind, mark in _MARKS.items():
            yield from (f"  {mark:{width}}  {text}" for text in subject.of(kind))
        yield ""
    models = [subject for subject in examination.subjects if subject.name]
    fit = sum(not model.of(Kind.CHANGE) for model in models)
    when = "start with" if examination.is_fit else "start, when nothing is left to change, with"
    yield f"{fit} of {len(models)} models are served as they are; {when}:"
    yield f"  {examination.command}"


def document(examination: Examination) -> dict[str, Any]:
    """The report, for programs."""
    return {
        "fit": examination.is_fit,
        "command": examination.command,
        "subjects": [
            {"model": subject.name, **{kind.value: subject.of(kind) for kind in Kind}}
            for subject in examination.subjects
        ],
    }
