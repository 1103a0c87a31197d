"""Which generated input a graph takes, for tests of what comes after that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hotgraph_server.graph.graph import Graph
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.batch_safety import ROWS
from hotgraph_server.warmup.probing import BoundedRuns, Limits, Measured, Taken, probe
from hotgraph_server.warmup.row_comparison import Run
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

from .fakes import FakeClock

_PLENTY = Limits(seconds=1e6, nbytes=2**40)


def kind_of(signature: Signature, run: Run, rows: int = ROWS) -> Kind | str:
    """The widest kind of generated input that a graph takes, so many rows at once; or why it takes none."""
    taken = probe(signature, bounded(run), rows)
    return taken.kind if isinstance(taken, Taken) else str(taken).partition("\n")[0]


def bounded(run: Run) -> BoundedRuns:
    """Runs that may take all the time and memory there is."""
    return BoundedRuns(lambda inputs: Measured(run(inputs), 0), _PLENTY, FakeClock())


def kinds_of(graph: Graph) -> dict[str, Kind]:
    """For `Graph.settle`: what each of its signatures takes."""
    readers = [one for one in graph.signatures.values() if not one.writes]
    kinds = {one.name: kind_of(one, _running(graph, one), rows=1) for one in readers}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, Kind)}


def inputs_for(graph: Graph, signature: Signature, rows: int) -> Iterator[list[Array]]:
    """Generated input of so many rows that the graph takes; none, or one set of it."""
    kind = kind_of(signature, _running(graph, signature), rows)
    if isinstance(kind, Kind):
        yield generate(signature, rows, kind)


def _running(graph: Graph, signature: Signature) -> Run:
    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        return graph.run(signature, signature.output_aliases, inputs)

    return run
