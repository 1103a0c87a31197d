// hotgraph, or any server of the Open Inference Protocol, called by k6 at a rate, for those who have their load
// tests there. It has been checked by node and against stand-ins of k6's modules, not yet run by k6 itself.
//
//   k6 run scripts/loadtest/k6.js                                        HTTP, 127.0.0.1:8502, model digits
//   k6 run -e PROTOCOL=grpc -e TARGET=127.0.0.1:8500 scripts/loadtest/k6.js
//   k6 run -e RATE=500 -e SECONDS=60 -e P99_MS=20 -e MODEL=flowers -e ROWS=4 scripts/loadtest/k6.js
//
// k6 exits with 99 where p99 is above P99_MS, a check failed or a call was not sent in its time.
//
// What k6 measures: a call's duration from the moment at which it was sent. Calls are due at RATE whether or not
// earlier ones are answered, which is an open loop, as long as there are virtual users who wait for nothing; where
// there are none left (VUS) the call is dropped and counted in dropped_iterations, and is in no percentile. A run
// with dropped iterations therefore says nothing about latency, and counts as failed here. `hotgraph loadtest`
// sends all of them and counts from when they were due (docs/loadtest.md).

import { check } from 'k6';
import http from 'k6/http';
import grpc from 'k6/net/grpc';

const overGrpc = __ENV.PROTOCOL === 'grpc';
const target = __ENV.TARGET || (overGrpc ? '127.0.0.1:8500' : 'http://127.0.0.1:8502');
const model = __ENV.MODEL || 'digits';
const rows = Number(__ENV.ROWS || 1);
const vus = Number(__ENV.VUS || 500);
const service = 'inference.GRPCInferenceService';

const trend = overGrpc ? 'grpc_req_duration' : 'http_req_duration';

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS || 30}s`,
      preAllocatedVUs: Math.min(vus, 100),
      maxVUs: vus,
    },
  },
  thresholds: {
    [trend]: [`p(99)<${__ENV.P99_MS || 50}`],
    checks: ['rate==1'],
    dropped_iterations: ['count==0'],
  },
  summaryTrendStats: ['avg', 'p(50)', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

const client = new grpc.Client();
let connected = false;

function connect() {
  // the server tells its messages itself: no .proto files
  if (!connected) client.connect(target, { plaintext: true, reflect: true });
  connected = true;
}

// What the model says that it takes.
function metadata() {
  if (!overGrpc) {
    const answer = http.get(`${target}/v2/models/${model}`);
    if (answer.status !== 200) throw new Error(`${target} about ${model}: ${answer.status} ${answer.body}`);
    return answer.json();
  }
  connect();
  const answer = client.invoke(`${service}/ModelMetadata`, { name: model });
  if (answer.status !== grpc.StatusOK) throw new Error(`${target} about ${model}: ${answer.error.message}`);
  return answer.message;
}

function value(datatype) {
  if (datatype === 'BYTES') throw new Error('write what to send as text into k6.js: nobody can guess it');
  if (datatype === 'BOOL') return Math.random() < 0.5;
  // below 2, so that ids and counts are in bounds
  return /INT/.test(datatype) ? Math.floor(Math.random() * 2) : Math.random() * 2;
}

// Where gRPC's message has numbers of that type. FP16 has none there: it would be raw bytes.
function member(datatype) {
  if (datatype === 'BOOL') return 'bool_contents';
  if (datatype === 'FP32' || datatype === 'FP64') return `${datatype.toLowerCase()}_contents`;
  const kind = datatype.startsWith('UINT') ? 'uint' : 'int';
  if (/INT(8|16|32)$/.test(datatype)) return `${kind}_contents`;
  if (/INT64$/.test(datatype)) return `${kind}64_contents`;
  throw new Error(`no ${datatype} over gRPC without raw bytes; use HTTP`);
}

// Inputs of random numbers, made once; what every virtual user sends.
export function setup() {
  return {
    inputs: metadata().inputs.map(({ name, datatype, shape }) => {
      // -1, any size, is the rows in front and 1 elsewhere; gRPC's JSON has 64-bit numbers as text
      const sizes = shape.map(Number).map((size, axis) => (size >= 0 ? size : axis === 0 ? rows : 1));
      const data = Array.from({ length: sizes.reduce((all, size) => all * size, 1) }, () => value(datatype));
      return { name, datatype, shape: sizes, data };
    }),
  };
}

export default function ({ inputs }) {
  if (overGrpc) {
    connect();
    const tensors = inputs.map(({ data, ...tensor }) => ({
      ...tensor,
      contents: { [member(tensor.datatype)]: data },
    }));
    const answer = client.invoke(`${service}/ModelInfer`, { model_name: model, inputs: tensors });
    check(answer, { answered: (one) => one.status === grpc.StatusOK });
    return;
  }
  const answer = http.post(`${target}/v2/models/${model}/infer`, JSON.stringify({ inputs }), {
    headers: { 'content-type': 'application/json' },
    tags: { name: 'infer' },
  });
  check(answer, { answered: (one) => one.status === 200 });
}
