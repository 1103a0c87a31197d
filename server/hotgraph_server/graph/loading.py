"""A SavedModel from disk into a new session on the chosen device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import loader_impl, path_helpers

from hotgraph_server import text_proto
from hotgraph_server.errors import DeviceNotFound, LoadError, first_line
from hotgraph_server.graph import object_graph
from hotgraph_server.graph.lifting import assign, lift_constants
from hotgraph_server.graph.other_ops import explained
from hotgraph_server.graph.refusals import essence
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import Array
from hotgraph_server.threads import processors


def open_session(directory: Path, settings: SessionSettings) -> tuple[Any, Any]:
    """A session that holds the SavedModel, its variables, tables and assets, initialised; and its
    MetaGraphDef.

    Raises:
        DeviceNotFound: TensorFlow has no such device.
        LoadError: there is no SavedModel, it is broken, or its initialisation fails.
    """
    saved_model, tags = _read(directory, settings.graph_tag)
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=session_config(settings))
    try:
        present = [_canonical(device.name) for device in session.list_devices()]
        if settings.canonical_device not in present:
            raise DeviceNotFound(settings.device, [name.replace("/device:", "/") for name in present])
        with graph.as_default(), tf.device(settings.canonical_device):
            # What has been read is let go of before anything is made of it.
            saved_model, constants = _without_constants(saved_model, tags, settings.canonical_device)
            assign(session, constants, settings.canonical_device)
            return session, _load(session, _Loader(directory, saved_model), tags, directory)
    except DeviceNotFound:
        session.close()
        raise
    except Exception as error:
        # Whatever a broken file makes TensorFlow raise (OpError, OSError, ValueError, KeyError,
        # DecodeError), to the user it is one thing: this folder cannot be served.
        session.close()
        raise LoadError(str(directory), f"TensorFlow cannot load it: {told(error)}") from error


def session_config(settings: SessionSettings) -> Any:
    """What a session is told when it is made: what the file says that the settings name, and then what the
    settings say themselves.

    Raises:
        SettingsError: the file cannot be read.
    """
    config = tf.compat.v1.ConfigProto()
    if settings.session_config:
        config = text_proto.read(Path(settings.session_config), tf.compat.v1.ConfigProto)
    # An op without a kernel for the device runs where it has one; strings on a GPU are the rule.
    config.allow_soft_placement = True
    if settings.intra_op_threads:
        config.intra_op_parallelism_threads = settings.intra_op_threads
    if settings.inter_op_threads:
        config.inter_op_parallelism_threads = settings.inter_op_threads
    config.intra_op_parallelism_threads = config.intra_op_parallelism_threads or processors.bound()
    config.inter_op_parallelism_threads = config.inter_op_parallelism_threads or processors.bound()
    if settings.own_threads:
        config.use_per_session_threads = True
    config.device_count["CPU"] = max(settings.cpu_devices, config.device_count.get("CPU", 0))
    if settings.gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = settings.gpu_memory_fraction
    # Otherwise the first session takes all of a GPU's memory, and a second model has none.
    config.gpu_options.allow_growth = True
    return config


def told(error: Exception) -> str:
    """What a person wants of TensorFlow's texts, in one line, with advice where there is some."""
    return explained(first_line(essence(str(error)).strip())) or type(error).__name__


class _Loader(loader_impl.SavedModelLoader):  # type: ignore[misc]
    """TensorFlow's, of a SavedModel that has been read already."""

    def __init__(self, directory: Path, saved_model: Any) -> None:
        self._export_dir = str(directory)
        self._variables_path = path_helpers.get_variables_path(self._export_dir)
        self._saved_model = saved_model


def _without_constants(saved_model: Any, tags: Sequence[str], device: str) -> tuple[Any, dict[str, Array]]:
    """A SavedModel of nothing but the MetaGraph with these tags, without its large constants; and those.

    A message gives no memory back while any of it is held, so this is one of its own. What devices the
    exporter's machine had is of no concern here: those that ops were pinned to are taken out, in functions;
    from the graph TensorFlow takes them.
    """
    (meta_graph,) = (one for one in saved_model.meta_graphs if sorted(one.meta_info_def.tags) == list(tags))
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            node.device = ""
    if meta_graph.object_graph_def.nodes:
        object_graph.name_objects(meta_graph)
    constants = lift_constants(meta_graph.graph_def, device)
    kept = saved_model_pb2.SavedModel(saved_model_schema_version=saved_model.saved_model_schema_version)
    kept.meta_graphs.append(meta_graph)
    return kept, constants


def _load(session: Any, loader: _Loader, tags: Sequence[str], directory: Path) -> Any:
    """What the loader's own `load` does, which reads the file again; and, for a SavedModel of TensorFlow 2,
    what that does not know (object_graph.py)."""
    meta_graph = loader.get_meta_graph_def_from_tags(tags)
    with session.graph.as_default():
        saver, _ = loader.load_graph(session.graph, tags, clear_devices=True)
        if meta_graph.object_graph_def.nodes:
            _restore_objects(session, loader, saver, meta_graph, directory)
        else:
            loader.restore_variables(session, saver)
        # Last: the initialisation of a table may look at variables.
        loader.run_init_ops(session, tags)
    return meta_graph


def _restore_objects(session: Any, loader: _Loader, saver: Any, meta_graph: Any, directory: Path) -> None:
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


def _canonical(device: str) -> str:
    """``/job:localhost/replica:0/task:0/device:CPU:0`` to ``/device:CPU:0``."""
    return "/device:" + device.rpartition("/device:")[2]


def _read(directory: Path, tag: str) -> tuple[Any, list[str]]:
    """The SavedModel message, and the tags of the MetaGraph to serve: those that hold `tag`, or if that is
    empty, ``serve`` if it is there, else the only one.

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
        raise LoadError(str(directory), f"saved_model.pb cannot be read: {told(error)}") from error
    except OSError as error:
        raise LoadError(str(directory), error.strerror or str(error)) from error
    tag_sets = [sorted(meta_graph.meta_info_def.tags) for meta_graph in saved_model.meta_graphs]
    wanted = [tag or tf.saved_model.SERVING]
    if wanted in tag_sets:
        return saved_model, wanted
    holding = [tags for tags in tag_sets if tag in tags] if tag else tag_sets
    if len(holding) == 1:
        return saved_model, holding[0]
    if not tag_sets:
        raise LoadError(
            str(directory),
            f"no graph is tagged {wanted[0]!r}: its saved_model.pb is empty, or no SavedModel; of a frozen"
            f" graph one can be made: hotgraph export {directory} DIR",
        )
    how_many = "more than one graph is" if holding and tag else "no graph is"
    raise LoadError(str(directory), f"{how_many} tagged {wanted[0]!r}; there are {tag_sets}")
