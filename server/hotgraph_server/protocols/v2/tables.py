"""A service put together from tables of methods, one table a module. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from hotgraph_server.transport.service import HotMethod, PlainMethod, Service, StreamingMethod

Method = PlainMethod | HotMethod | StreamingMethod
Table = Mapping[str, Method]
"""Methods by their names in the service. A method whose module is in no table is not served: the transport
answers UNIMPLEMENTED."""


def merged(name: str, descriptor: object, tables: Iterable[Table], early: Collection[str] = ()) -> Service:
    """The service of that name with the methods of all tables.

    Args:
        name: the service's full name.
        descriptor: the FileDescriptor of its file.
        early: see Service.

    Raises:
        ValueError: two tables have the same method.
    """
    every: dict[str, Method] = {}
    for table in tables:
        if twice := every.keys() & table.keys():
            raise ValueError(f"two modules answer {', '.join(sorted(twice))}")
        every.update(table)
    plain: dict[str, PlainMethod] = {}
    streaming: dict[str, StreamingMethod] = {}
    hot: dict[str, HotMethod] = {}
    for called, method in every.items():
        if isinstance(method, PlainMethod):
            plain[called] = method
        elif isinstance(method, StreamingMethod):
            streaming[called] = method
        else:
            hot[called] = method
    return Service(name, descriptor, hot=hot, plain=plain, streaming=streaming, early=early)
