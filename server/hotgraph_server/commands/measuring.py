"""``python -m hotgraph_server.commands.measuring JOB``: one way to run a model is measured, and told in JSON.

`hotgraph tune` starts it, and nobody else does: a process of its own because the threads of TensorFlow are
set once in a process, and because what is measured shall not share one with anything. See tuning/jobs.py.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.errors import StartError
from hotgraph_server.model_control.model_factory import in_folder
from hotgraph_server.settings import OpsSettings, StateSettings, build
from hotgraph_server.threads import processors
from hotgraph_server.tuning import jobs

_STOP_S = 5.0


def main() -> int:
    """Measure as the job says; returns the exit status."""
    job = jobs.decode(sys.argv[1])
    # Lines are read by a program; whatever else wants to write there goes elsewhere.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)

    def tell(**line: Any) -> None:
        print(json.dumps(line), file=out)

    try:
        _measure(job, tell)
    except StartError as error:
        tell(fault=" ".join(str(error).split()))
        return 1
    return 0


def _measure(job: jobs.Job, tell: Any) -> None:
    settings = in_folder(job.name, Path(job.directory), {}, job.values)
    # What is written while it is measured was not asked for.
    settings = dataclasses.replace(settings, state=StateSettings())
    import_tensorflow([settings.session], build(OpsSettings, job.values))
    from hotgraph_server.protocols.tfs.warmup_records import records_in
    from hotgraph_server.repository.loader import load
    from hotgraph_server.tuning import costs
    from hotgraph_server.tuning.measuring import measure
    from hotgraph_server.tuning.request_logs import read_log

    version = load(settings, records_in)
    signature = version.signatures.get(job.signature) if job.signature else version.default_signature
    if signature is None:
        names = ", ".join(version.signatures)
        raise StartError(f"{version.title}: choose a signature with --signature; there are {names}")
    if version.sequences is not None:
        raise StartError(f"{version.title}: its calls form sequences, which nothing here knows to simulate")
    alone = version.unbatched_reasons[signature.name] or ""
    # Without company a run is never larger than a call.
    most_rows = job.call_rows if alone else max(job.most_rows, job.call_rows)
    if not any(spec.free_rows for spec in signature.inputs):
        most_rows = 1
    sizes = costs.sizes_to_measure(most_rows)
    points = measure(version, signature, sizes, job.budget_s, lambda text: tell(say=text))
    found = costs.Costs(
        costs.variant_of(job.variant),
        version.plans[signature.name].way,
        tuple(points),
        alone,
        version.buckets.get(signature.name, ()),
        settings.session.intra_op_threads or processors.usable(),
    )
    if job.log:
        logged = read_log(Path(job.log), signature, version.signatures)
        tell(log=logged._asdict())
    tell(costs=costs.as_json(found), xla=version.plans[signature.name].xla, writes=signature.writes)
    tell(signature=signature.name)
    version.stop(_STOP_S)


if __name__ == "__main__":
    sys.exit(main())
