"""What the strings of an input hold, as the ops that read them tell: images, sound, numbers, tf.Examples.

Text made of words is refused by such a graph, and then nothing could be tried before a version is live. So
the input's strings are followed forward, through the ops that pass strings on (gathers, stacks, loops over
rows, calls of functions), to the first ops that read them; some that those can read come from encodings.py.

Only a guess: what it does not find is given words, and what it finds wrongly is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hotgraph_server.graph.encodings import Feature, examples, images, numbers, sounds, web_safe
from hotgraph_server.row_independence.effects import BEFORE_ARGUMENTS, functions_of
from hotgraph_server.signatures import NO_VALUES, Content, Values

_IMAGES = {
    **dict.fromkeys(("DecodeJpeg", "DecodeAndCropJpeg", "ExtractJpegShape", "DecodeImage"), "JPEG"),
    "DecodePng": "PNG",
}
_EXAMPLES = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample"})
_READERS = frozenset({*_IMAGES, *_EXAMPLES, "DecodeWav", "StringToNumber"})

# They give on what they get, or some of it, and it is still the caller's.
_PASS = frozenset(
    {
        *("Identity", "IdentityN", "Snapshot", "StopGradient", "Placeholder", "PlaceholderWithDefault"),
        *("Reshape", "Squeeze", "ExpandDims", "Transpose", "StridedSlice", "Slice", "GatherV2", "Gather"),
        *(
            "Pack",
            "Unpack",
            "ConcatV2",
            "Split",
            "SplitV",
            "Select",
            "SelectV2",
            "Where",
            "Tile",
            "BroadcastTo",
        ),
        *("TensorListFromTensor", "TensorListGetItem", "TensorListStack", "TensorListReserve"),
        *("TensorArrayScatterV3", "TensorArrayReadV3", "TensorArrayGatherV3", "TensorArrayV3"),
        *("Enter", "Exit", "Switch", "Merge", "NextIteration", "RefIdentity"),
        *("DecodeBase64", "StringStrip"),
    }
)

# Of several byte strings in a tf.Example, those that people store images under.
_IMAGE_KEYS = ("image", "img", "jpeg", "jpg", "png", "encoded", "picture", "photo")


class _Place(NamedTuple):
    """A node: the function that it is in (empty: none), and its name."""

    scope: str
    node: str


def contents_of(graph_def: Any, inputs: Mapping[str, str], values: Values = NO_VALUES) -> dict[str, Content]:
    """What is known of the strings of some inputs, by alias.

    Args:
        graph_def: a GraphDef with its function library.
        inputs: tensor names, ``op:index``, by alias; of string inputs.
        values: what the graph tells of values, for the odd ones among tf.Examples.
    """
    if not inputs or not _has_readers(graph_def):
        return {}
    graph = _Flow(graph_def, values)
    found = {}
    for alias, tensor in inputs.items():
        content = graph.content_behind(_Place("", tensor.partition(":")[0]))
        if content is not None:
            found[alias] = content
    return found


class _Flow:
    """Where each node's outputs go."""

    def __init__(self, graph_def: Any, values: Values) -> None:
        self._values = values
        self._bodies = {function.signature.name: function for function in graph_def.library.function}
        self._nodes: dict[_Place, Any] = {}
        self._followers: defaultdict[_Place, list[_Place]] = defaultdict(list)
        self._add("", graph_def.node)
        for name, function in self._bodies.items():
            self._add(name, function.node_def)

    def content_behind(self, start: _Place) -> Content | None:
        """What the first op that reads the strings from there takes them for; None: there is none known."""
        encoded = False
        for place in self._forward([start]):
            node = self._nodes.get(place)
            if node is None:
                continue
            encoded |= node.op == "DecodeBase64"
            if node.op not in _READERS:
                continue
            content = self._content(place, node)
            if content is not None:
                return web_safe(content) if encoded else content
        return None

    def _content(self, place: _Place, node: Any) -> Content | None:
        if node.op in _IMAGES:
            return images(_IMAGES[node.op])
        if node.op == "DecodeWav":
            return sounds(max(node.attr["desired_channels"].i, 1))
        if node.op == "StringToNumber":
            return numbers()
        features = self._features(place, node)
        return examples(features, self._values) if features else None

    def _features(self, place: _Place, node: Any) -> list[Feature]:
        """What a tf.Example must hold for an op that parses it."""
        if node.op == "ParseSingleExample":
            dense_keys = [key.decode() for key in node.attr["dense_keys"].list.s]
            sparse_keys = [key.decode() for key in node.attr["sparse_keys"].list.s]
        elif node.op == "ParseExampleV2":
            sparse_keys = self._strings(place.scope, node, 2)
            dense_keys = self._strings(place.scope, node, 3)
        else:
            count = node.attr["Nsparse"].i
            sparse_keys = [
                key for index in range(count) for key in self._strings(place.scope, node, 2 + index)
            ]
            dense_keys = [
                key
                for index in range(node.attr["Ndense"].i)
                for key in self._strings(place.scope, node, 2 + count + index)
            ]
        reader = self._image_behind(place)
        found = []
        shapes = node.attr["dense_shapes"].list.shape
        for key, dtype, shape in zip(dense_keys, node.attr["Tdense"].list.type, shapes, strict=False):
            size = 1
            for dimension in shape.dim:
                size *= max(dimension.size, 1)
            has_length = any(dimension.size < 0 for dimension in shape.dim)
            found.append(Feature(key, dtype, size, has_length=has_length))
        found += [
            Feature(key, dtype, 1, has_length=True)
            for key, dtype in zip(sparse_keys, node.attr["sparse_types"].list.type, strict=False)
        ]
        return _with_images(found, reader)

    def _image_behind(self, place: _Place) -> str:
        """The format of the images that are decoded somewhere behind a node; empty: none are."""
        for other in self._forward(self._followers[place]):
            node = self._nodes.get(other)
            if node is not None and node.op in _IMAGES:
                return _IMAGES[node.op]
        return ""

    def _forward(self, starts: Iterable[_Place]) -> Iterator[_Place]:
        """Places that strings come to, nearest first."""
        waiting = list(dict.fromkeys(starts))
        seen = set(waiting)
        while waiting:
            place = waiting.pop(0)
            yield place
            node = self._nodes.get(place)
            passes = node is None or node.op in _PASS or any(functions_of(node, self._bodies))
            for follower in self._followers[place] if passes else ():
                if follower not in seen:
                    seen.add(follower)
                    waiting.append(follower)

    def _add(self, scope: str, nodes: Iterable[Any]) -> None:
        for node in nodes:
            place = _Place(scope, node.name)
            self._nodes[place] = node
            inputs = [tensor.partition(":")[0] for tensor in node.input if not tensor.startswith("^")]
            for source in inputs:
                self._followers[_Place(scope, source)].append(place)
            for name in functions_of(node, self._bodies):
                self._enter(scope, inputs, node, self._bodies[name])

    def _enter(self, scope: str, inputs: Sequence[str], node: Any, function: Any) -> None:
        """From the inputs of a call to the arguments of the function, and from its results to the call."""
        name = function.signature.name
        before = 0 if node.op == name else BEFORE_ARGUMENTS.get(node.op, 0)
        for source, argument in zip(inputs[before:], function.signature.input_arg, strict=False):
            self._followers[_Place(scope, source)].append(_Place(name, argument.name))
        for end in function.ret.values():
            self._followers[_Place(name, end.partition(":")[0])].append(_Place(scope, node.name))

    def _strings(self, scope: str, node: Any, index: int) -> list[str]:
        """The values of a constant input that holds strings; none where it is no constant."""
        source = self._nodes.get(_Place(scope, node.input[index].partition(":")[0]))
        while source is not None and source.op == "Identity":
            source = self._nodes.get(_Place(scope, source.input[0].partition(":")[0]))
        if source is None or source.op != "Const":
            return []
        return [value.decode("utf-8", "replace") for value in source.attr["value"].tensor.string_val]


def _with_images(features: Sequence[Feature], reader: str) -> list[Feature]:
    texts = [feature for feature in features if feature.is_text]
    if not reader or not texts:
        return list(features)
    likely = [one for one in texts if any(key in one.key.lower() for key in _IMAGE_KEYS)] or texts[:1]
    return [feature._replace(image=reader if feature in likely else "") for feature in features]


def _has_readers(graph_def: Any) -> bool:
    return any(node.op in _READERS for node in graph_def.node) or any(
        node.op in _READERS for function in graph_def.library.function for node in function.node_def
    )
