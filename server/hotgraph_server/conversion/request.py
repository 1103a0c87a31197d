"""What is asked of the process that converts, and what it answers: plain values, as JSON between the two."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any


class Refused(Exception):
    """A file of which no SavedModel can be made; the text is the line that its owner sees."""


@dataclass(frozen=True)
class Request:
    """One conversion.

    Attributes:
        source: the model's file, or the folder of a SavedModel; absolute.
        target: the folder to write, which is not there yet; absolute.
        allow_lambda: may Python code that the file brings be run?
        modules: to import before, for the classes that they register and the ops that they bring.
        libraries: of ops, to load before.
        inputs: tensors of a frozen graph, as "name:0"; empty: found out.
        outputs: the same.
        function: of a SavedModel without signatures; empty: found out.
        specs: inputs as "x=float32[?,4]" has them; empty: found out.
    """

    source: str
    target: str
    allow_lambda: bool = False
    modules: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    function: str = ""
    specs: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Request:
        given = json.loads(text)
        values: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in given.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Answer:
    """What became of it.

    Attributes:
        made_by: what read the file, in words, such as "Keras 3.15.1".
        remarks: what its owner may want to know, a line each.
        error: why nothing was made; empty: something was.
    """

    made_by: str = ""
    remarks: tuple[str, ...] = ()
    error: str = ""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """
        Raises:
            ValueError: it is none.
        """
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("no answer of a conversion") from error
        if not isinstance(values, dict) or not {"made_by", "remarks", "error"} >= values.keys():
            raise ValueError("no answer of a conversion")
        remarks = values.get("remarks", ())
        if not isinstance(remarks, (list, tuple)):
            raise ValueError("no answer of a conversion")
        return cls(str(values.get("made_by", "")), tuple(map(str, remarks)), str(values.get("error", "")))
