"""A contract in words, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hotgraph_server.model_config import datatypes
from hotgraph_server.models.contract import Contract, TensorContract


def shown(contract: Contract) -> Iterator[str]:
    """The lines that say what clients of a version may count on."""
    if contract.signature is None:
        yield "  calls must name their signature, and nothing is promised to them"
    elif contract.batched:
        most = contract.max_batch_size
        rows = f"{most} rows at most" if most else "any number of rows"
        yield f"  a batch dimension before all shapes below, {rows}"
    else:
        yield "  no batch dimension: shapes are whole"
    tensors = [("in", tensor, contract.inputs[tensor.name]) for tensor in contract.config.input]
    tensors += [("out", tensor, contract.outputs[tensor.name]) for tensor in contract.config.output]
    width = max((len(tensor.name) for _, tensor, _ in tensors), default=0)
    for direction, tensor, promised in tensors:
        name = datatypes.name_of(tensor.data_type)
        yield f"  {direction:3}  {tensor.name:{width}}  {name:11}  {_shape(promised)}"
    yield from _ways(contract)


def _ways(contract: Contract) -> Iterator[str]:
    rules = contract.sequence
    if rules is not None:
        hidden = ", ".join(sorted(rules.hidden_inputs)) or "no tensors"
        yield f"  calls of a sequence go one after the other ({rules.strategy}); the server fills in {hidden}"
        for state in rules.states:
            yield f"  {state.output_alias} of a sequence's call is {state.input_alias} of its next"
    if contract.cached:
        yield "  answers may be kept and given again"
    if contract.decoupled:
        yield "  calls come in streams only"


def _shape(promised: TensorContract) -> str:
    if promised.dims is None:
        return "any shape"
    words = [_sizes(promised.dims)]
    if promised.reshape is not None:
        words.append(f"here, {_sizes(promised.reshape)} in the model")
    if promised.optional:
        words.append(" may be left out")
    if promised.labels:
        words.append(f" {len(promised.labels)} labels")
    return " ".join(words)


def _sizes(dims: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if size < 0 else str(size) for size in dims) + "]"
