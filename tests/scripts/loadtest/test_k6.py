"""scripts/loadtest/k6.js in node, with stand-ins for k6's modules: it sends what the protocol wants."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from hotgraph_protos import open_inference as oip

SCRIPT = Path(__file__).parents[3] / "scripts" / "loadtest" / "k6.js"
NODE = shutil.which("node")

MODEL = {
    "name": "m",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": ["-1", "3"]},
        {"name": "ids", "datatype": "INT64", "shape": ["-1", "-1"]},
        {"name": "on", "datatype": "BOOL", "shape": ["1"]},
    ],
}

# Each module of k6's does nothing but write down what it is asked, and answers a model that is there.
STAND_INS = {
    "index.js": "export const check = (answer, wanted) => { told.push({checked: wanted.answered(answer)}) }",
    "http.js": """export default {
        get: (url) => { told.push({get: url}); return {status: 200, json: () => model} },
        post: (url, body) => { told.push({post: url, body: JSON.parse(body)}); return {status: 200} },
    }""",
    "net/grpc.js": """export class Client {
        connect(target, options) { told.push({connect: target, options}) }
        invoke(method, message) {
            told.push({invoke: method, message});
            return {status: 0, message: method.endsWith('Metadata') ? model : {}};
        }
    }
    export default {Client, StatusOK: 0}""",
}
MAIN = """
globalThis.__ENV = JSON.parse(process.argv[2]); globalThis.model = JSON.parse(process.argv[3]);
globalThis.told = [];
const script = await import('./k6.mjs');
const made = JSON.parse(JSON.stringify(script.setup()));
script.default(made); script.default(made);
console.log(JSON.stringify({told, options: script.options}));
"""


def played(folder: Path, model: dict[str, Any] = MODEL, **environment: str) -> Any:
    """What the script asks of k6 in its beginning and in two calls, in order; and its options."""
    if NODE is None:
        pytest.skip("there is no node")
    modules = folder / "node_modules" / "k6"
    for name, text in STAND_INS.items():
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_text(text)
    exports = {".": "./index.js", "./http": "./http.js", "./net/grpc": "./net/grpc.js"}
    (modules / "package.json").write_text(json.dumps({"name": "k6", "type": "module", "exports": exports}))
    shutil.copy(SCRIPT, folder / "k6.mjs")
    (folder / "main.mjs").write_text(MAIN)
    done = subprocess.run(
        [NODE, "main.mjs", json.dumps(environment), json.dumps(model)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def test_calls_over_http_have_the_tensors_that_the_model_states(tmp_path: Path) -> None:
    told = played(tmp_path, MODEL="m", ROWS="2")["told"]
    url = "http://127.0.0.1:8502/v2/models/m"
    assert [next(iter(each)) for each in told] == ["get", "post", "checked", "post", "checked"]
    assert told[0]["get"] == url
    assert told[1]["post"] == f"{url}/infer"
    assert told[2]["checked"] is True
    # Both calls: what is random is made once.
    assert told[1]["body"] == told[3]["body"]
    x, ids, on = told[1]["body"]["inputs"]
    assert (x["datatype"], x["shape"], len(x["data"])) == ("FP32", [2, 3], 6)
    assert (ids["datatype"], ids["shape"], len(ids["data"])) == ("INT64", [2, 1], 2)
    assert on["data"] in ([True], [False])


def test_calls_over_grpc_are_messages_of_the_protocol(tmp_path: Path) -> None:
    told = played(tmp_path, MODEL="m", PROTOCOL="grpc", TARGET="there:1")["told"]
    # Once for the beginning and the calls together: all of it is one virtual user here.
    assert [each for each in told if "connect" in each] == [
        {"connect": "there:1", "options": {"plaintext": True, "reflect": True}}
    ]
    asked, *called = [each for each in told if "invoke" in each]
    assert asked == {"invoke": "inference.GRPCInferenceService/ModelMetadata", "message": {"name": "m"}}
    assert [each["invoke"] for each in called] == ["inference.GRPCInferenceService/ModelInfer"] * 2
    # k6 makes messages of values as protobuf's JSON says, and refuses fields that there are not.
    request = json_format.ParseDict(called[0]["message"], oip.ModelInferRequest())
    assert request.model_name == "m"
    assert [list(tensor.shape) for tensor in request.inputs] == [[1, 3], [1, 1], [1]]
    x, ids, on = (tensor.contents for tensor in request.inputs)
    counts = (len(x.fp32_contents), len(ids.int64_contents), len(on.bool_contents))
    assert counts == (3, 1, 1)


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
@pytest.mark.parametrize("kind", ["INT", "UINT"])
def test_every_kind_of_integers_has_its_place_in_the_message(tmp_path: Path, kind: str, bits: int) -> None:
    model = {"inputs": [{"name": "x", "datatype": f"{kind}{bits}", "shape": [-1]}]}
    called = [each for each in played(tmp_path, model, PROTOCOL="grpc")["told"] if "invoke" in each]
    request = json_format.ParseDict(called[1]["message"], oip.ModelInferRequest())
    (field,) = (field.name for field, _ in request.inputs[0].contents.ListFields())
    assert field == f"{kind.lower()}{64 if bits == 64 else ''}_contents"


def test_text_cannot_be_guessed_and_the_script_says_where_to_write_it(tmp_path: Path) -> None:
    model = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}
    with pytest.raises(RuntimeError, match=r"write what to send as text into k6\.js"):
        played(tmp_path, model)


def test_calls_that_were_not_sent_and_a_slow_tail_fail_the_run(tmp_path: Path) -> None:
    options = played(tmp_path, RATE="250", SECONDS="7", P99_MS="20", VUS="40")["options"]
    steady = options["scenarios"]["steady"]
    assert (steady["executor"], steady["rate"], steady["duration"]) == ("constant-arrival-rate", 250, "7s")
    assert steady["preAllocatedVUs"] <= steady["maxVUs"] == 40
    assert options["thresholds"]["http_req_duration"] == ["p(99)<20"]
    assert options["thresholds"]["dropped_iterations"] == ["count==0"]


def test_every_setting_that_the_script_reads_is_in_its_head() -> None:
    text = SCRIPT.read_text()
    head = text.partition("\nimport ")[0]
    read = set(re.findall(r"__ENV\.(\w+)", text))
    assert read
    assert not {name for name in read if name not in head}
