"""A SavedModel from disk into a new session on the chosen device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import loader_impl

from hotgraph_server import text_files
from hotgraph_server.errors import DeviceNotFound, LoadError
from hotgraph_server.graph import object_graph
from hotgraph_server.graph.refusals import essence
from hotgraph_server.settings import SessionSettings


def open_session(directory: Path, settings: SessionSettings) -> tuple[Any, Any]:
    """A session that holds the SavedModel, its variables, tables and assets, initialised; and its
    MetaGraphDef.

    Raises:
        DeviceNotFound: TensorFlow has no such device.
        LoadError: there is no SavedModel, it is broken, or its initialisation fails.
    """
    tags = _tags(directory, settings.graph_tag)
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=session_config(settings))
    try:
        present = [_canonical(device.name) for device in session.list_devices()]
        if settings.canonical_device not in present:
            raise DeviceNotFound(settings.device, [name.replace("/device:", "/") for name in present])
        with graph.as_default(), tf.device(settings.canonical_device):
            return session, _load(session, tags, directory)
    except DeviceNotFound:
        session.close()
        raise
    except Exception as error:
        # Whatever a broken file makes TensorFlow raise (OpError, OSError, ValueError, KeyError,
        # DecodeError), to the user it is one thing: this folder cannot be served.
        session.close()
        raise LoadError(str(directory), f"TensorFlow cannot load it: {first_line(error)}") from error


def session_config(settings: SessionSettings) -> Any:
    """What a session is told when it is made: what the file says that the settings name, and then what the
    settings say themselves.

    Raises:
        SettingsError: the file cannot be read.
    """
    config = tf.compat.v1.ConfigProto()
    if settings.session_config:
        config = text_files.read(Path(settings.session_config), tf.compat.v1.ConfigProto)
    # An op without a kernel for the device runs where it has one; strings on a GPU are the rule.
    config.allow_soft_placement = True
    if settings.intra_op_threads:
        config.intra_op_parallelism_threads = settings.intra_op_threads
    if settings.inter_op_threads:
        config.inter_op_parallelism_threads = settings.inter_op_threads
    if settings.own_threads:
        config.use_per_session_threads = True
    config.device_count["CPU"] = max(settings.cpu_devices, config.device_count.get("CPU", 0))
    if settings.gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = settings.gpu_memory_fraction
    # Otherwise the first session takes all of a GPU's memory, and a second model has none.
    config.gpu_options.allow_growth = True
    return config


def first_line(error: Exception) -> str:
    """What a person wants of TensorFlow's texts; the rest is nodes and their tracebacks."""
    return essence(str(error)).strip().partition("\n")[0] or type(error).__name__


def _load(session: Any, tags: Sequence[str], directory: Path) -> Any:
    """Load the MetaGraph with these tags, and return it. What devices the exporter's machine had is of no
    concern here: those that ops were pinned to are taken out, in the graph and in its functions."""
    loader = loader_impl.SavedModelLoader(str(directory))
    meta_graph = loader.get_meta_graph_def_from_tags(tags)
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            node.device = ""
    if not meta_graph.object_graph_def.nodes:
        return loader.load(session, tags, clear_devices=True)
    return _load_objects(session, loader, meta_graph, directory)


def _load_objects(session: Any, loader: Any, meta_graph: Any, directory: Path) -> Any:
    """The same, step by step, for a SavedModel of TensorFlow 2: between the steps, what the loader of
    TensorFlow 1 does not know of them (object_graph.py)."""
    tags = meta_graph.meta_info_def.tags
    object_graph.name_objects(meta_graph)
    saver, _ = loader.load_graph(session.graph, tags, clear_devices=True)
    try:
        loader.restore_variables(session, saver)
    except (tf.errors.OpError, ValueError):
        # ValueError: what is not there under its name, TensorFlow 1 looks for in ways of its own.
        if not object_graph.restores_variables_alone(meta_graph) or object_graph.restore_rest(
            session, meta_graph, directory, restored=False
        ):
            raise
    else:
        object_graph.restore_rest(session, meta_graph, directory)
    # The initialisation of a table may look at variables.
    loader.run_init_ops(session, tags)
    return meta_graph


def _canonical(device: str) -> str:
    """``/job:localhost/replica:0/task:0/device:CPU:0`` to ``/device:CPU:0``."""
    return "/device:" + device.rpartition("/device:")[2]


def _tags(directory: Path, tag: str) -> list[str]:
    """The tags of the MetaGraph to serve: those that hold `tag`, or if that is empty, ``serve`` if it is
    there, else the only one.

    Raises:
        LoadError: nothing there, not readable, or no choice possible.
    """
    binary, text = directory / "saved_model.pb", directory / "saved_model.pbtxt"
    saved_model = saved_model_pb2.SavedModel()
    try:
        if binary.is_file():
            saved_model.ParseFromString(binary.read_bytes())
        elif text.is_file():
            text_format.Parse(text.read_text(), saved_model)
        else:
            raise LoadError(
                str(directory), "no SavedModel here: neither saved_model.pb nor saved_model.pbtxt"
            )
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise LoadError(str(directory), f"saved_model.pb cannot be read: {first_line(error)}") from error
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    tag_sets = [sorted(meta_graph.meta_info_def.tags) for meta_graph in saved_model.meta_graphs]
    wanted = [tag or tf.saved_model.SERVING]
    if wanted in tag_sets:
        return wanted
    holding = [tags for tags in tag_sets if tag in tags] if tag else tag_sets
    if len(holding) == 1:
        return holding[0]
    how_many = "more than one graph is" if holding and tag else "no graph is"
    raise LoadError(str(directory), f"{how_many} tagged {wanted[0]!r}; there are {tag_sets}")
