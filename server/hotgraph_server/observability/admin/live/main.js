// The live page: asks for the status, remembers it, shows it.

import {ask} from "./asking.js";
import {byId, dress, element, fill, findings, say, tile} from "./elements.js";
import {drawErrors} from "./errors.js";
import {History, WINDOW_S} from "./history.js";
import {Overview} from "./overview.js";
import {NONE, bytes, duration, number, percent} from "./words.js";

const history = new History(), overview = new Overview(history);

// Processors that the process has kept busy.
function cores() {
  const now = history.newest, then = history.past(WINDOW_S);
  if (then === now || !then.process) return null;
  return Math.max(now.process.cpu_s - then.process.cpu_s, 0) / (now.now_s - then.now_s);
}

function drawTiles(answer) {
  const now = history.now(""), busiest = Math.max(0, ...answer.models.flatMap(model => model.versions.map(version => {
    const point = history.now(`${model.name}@${version.number}`);
    return point ? point.duty : 0;
  })));
  const used = cores();
  tile("calls a second", now ? number(now.calls) : NONE);
  tile("rows a run", now ? number(now.rows) : NONE);
  tile("median call", now ? duration(now.p50) : NONE);
  tile("99 of 100 calls within", now ? duration(now.p99) : NONE);
  tile("of its time the busiest is in runs", now ? percent(busiest) : NONE);
  tile("refused a second", now ? number(now.refused) : NONE, now && now.refused > 0);
  tile("failed a second", now ? number(now.failed) : NONE, now && now.failed > 0);
  tile(`of ${answer.process.processors} processors busy`, used === null ? NONE : used.toFixed(1));
  tile(answer.processes > 1 ? `memory of ${answer.processes} processes` : "memory of the process", bytes(answer.process.rss_bytes));
}

function draw(answer, at) {
  history.add(answer, at);
  say(byId("state"), answer.state);
  dress(byId("state"), `pill ${answer.state}`);
  const {version, ...others} = answer.packages;
  say(byId("about"), [version, ...Object.entries(others).map(pair => pair.join(" ")),
    `up ${duration(Math.round(answer.uptime_s))}`].join("  ·  "));
  const text = JSON.stringify(answer.limits);
  if (answer.limits.length && byId("limits").dataset.text !== text) {
    byId("limits").dataset.text = text;
    fill(byId("limits"), findings(answer.limits));
  }
  drawTiles(answer);
  overview.draw(answer);
  drawErrors(answer);
}

ask(draw);
