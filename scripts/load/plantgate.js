// Posts readings to a plantgate server and says how it answers: a load test for k6
// (https://k6.io, or `make peers`, which builds it as .tools/bin/k6-VERSION).
//
//   API_KEY=… SSL_CERT_FILE=data/tls/ca.crt k6 run scripts/load/plantgate.js
//
// The data stay in the server: point it at one that is there to be tested. Without
// RATE each client sends its next request when it has its answer (a closed loop:
// what can the server take). With RATE requests are sent at that rate whether or
// not the server keeps up (an open loop: what do callers wait at that rate).
//
//   BASE_URL   https://localhost:8443
//   API_KEY    a key of scope data:write; required
//   RATE       requests a second, for the open loop
//   CLIENTS    clients of the closed loop, connections of the open one: 64
//   MACHINES   machines that the data are of, K0000 …, at least CLIENTS: 1000
//   BATCH      records in a request: 1
//   DURATION   30s
//   P99        milliseconds that 99 % of the answers may take: 1000
//   SSL_CERT_FILE              the server's CA, where the system does not know it
//   INSECURE_SKIP_TLS_VERIFY   true: any certificate will do, for a test only
//
// Exit code 0: every request got a 201 and the answers were fast enough. 99: not.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const url = (__ENV.BASE_URL || 'https://localhost:8443').replace(/\/$/, '') + '/data';
const clients = number('CLIENTS', 64);
const machines = number('MACHINES', 1000);
const batch = number('BATCH', 1);
const rate = number('RATE', 0);
const duration = __ENV.DURATION || '30s';

if (!__ENV.API_KEY) throw new Error('API_KEY is required: plantgate keys create --name load --scope data:write');
if (machines < clients) throw new Error('MACHINES must be at least CLIENTS: each client has machines of its own');

// Records that the server says it has stored.
const created = new Counter('plantgate_created');

const closed = { executor: 'constant-vus', vus: clients, duration };
const open = { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration, preAllocatedVUs: clients, maxVUs: clients };
const thresholds = {
  checks: ['rate==1'],
  http_req_duration: [`p(99)<${number('P99', 1000)}`],
};
if (rate > 0) thresholds.dropped_iterations = ['count==0'];

export const options = {
  scenarios: rate > 0 ? { open } : { closed },
  thresholds,
  insecureSkipTLSVerify: __ENV.INSECURE_SKIP_TLS_VERIFY === 'true',
  summaryTrendStats: ['med', 'p(90)', 'p(99)', 'p(99.9)', 'max'],
};

const params = { headers: { 'Content-Type': 'application/json', 'x-api-key': __ENV.API_KEY } };

// Of each client: the last time in microseconds, and which of its machines is next.
let last = 0;
let next = 0;

function number(name, otherwise) {
  const n = Number(__ENV[name] || otherwise);
  if (!Number.isInteger(n) || n < 0) throw new Error(`${name} must be a whole number`);
  return n;
}

// timestamp is the time of day with microseconds, and never the same twice.
function timestamp() {
  last = Math.max(Date.now() * 1000, last + 1);
  const micros = String(last % 1000).padStart(3, '0');
  return new Date(Math.floor(last / 1000)).toISOString().replace('Z', `${micros}Z`);
}

// A client's machines are its number and every CLIENTS-th from there.
function reading() {
  let id = exec.vu.idInTest - 1 + next * clients;
  if (id >= machines) {
    id = exec.vu.idInTest - 1;
    next = 0;
  }
  next += 1;
  return {
    machine_id: `K${String(id).padStart(4, '0')}`,
    timestamp: timestamp(),
    temperature: 70 + (last % 500) / 100,
    status: 'Running',
  };
}

export default function () {
  const body = batch > 1 ? Array.from({ length: batch }, reading) : reading();
  const answer = http.post(url, JSON.stringify(body), params);
  const stored = check(answer, { 'the answer is 201': (a) => a.status === 201 });
  if (batch > 1) {
    // The summary stands at the end; to parse all items would cost more than the test.
    const summary = /"created":(\d+)/.exec(String(answer.body).slice(-160));
    created.add(summary ? Number(summary[1]) : 0);
  } else if (stored) {
    created.add(1);
  }
}
