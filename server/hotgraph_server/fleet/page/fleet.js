// The fleet's page: asks the driver how the fleet is, and shows it.

import {ask} from "../live/asking.js";
import {byId, dress, element, fill, finding, say, tile} from "../live/elements.js";
import {NONE, ago, bytes, duration, number, percent, rate} from "../live/words.js";

// More rows help nobody, and a fleet may have thousands of models.
const MOST_ROWS = 200, STALE_S = 5;
const rows = new Map();
let latest = null;

// A column: its heading, its class, and what a cell says; or a pill's word, where `pill` is one.
const MODELS = [
  {title: "model", name: true, says: one => one.name},
  {title: "copies", kind: "figure", says: one => `${one.copies} of ${one.copies_wanted}`, bad: one => one.copies < one.copies_wanted},
  {title: "version", kind: "figure", says: one => one.versions.join(", ") || NONE},
  {title: "rollout", kind: "wide-1", pill: one => one.rollout ? one.rollout.step : "", says: one => one.rollout && one.rollout.coming ? `to ${one.rollout.coming}` : ""},
  {title: "calls/s", kind: "figure", says: one => number(one.calls_per_s)},
  {title: "failed/s", kind: "figure wide-2", says: one => rate(one.failed_per_s), bad: one => one.failed_per_s > 0},
  {title: "p99", kind: "figure", says: one => one.p99_ms === null ? NONE : duration(one.p99_ms / 1000)},
  {title: "memory", kind: "figure wide-2", says: one => one.memory_bytes ? bytes(one.memory_bytes) : NONE},
  {title: "on", kind: "text wide-3", says: one => one.replicas.join(", ") || NONE},
];
const REPLICAS = [
  {title: "replica", name: true, says: one => one.replica_id},
  {title: "state", pill: one => one.state, says: () => ""},
  {title: "models", kind: "figure", says: one => String(one.models.length)},
  {title: "calls/s", kind: "figure", says: one => number(one.calls_per_s)},
  {title: "duty", kind: "figure", says: one => percent(one.duty)},
  {title: "queue wait", kind: "figure wide-2", says: one => duration(one.queue_wait_ms / 1000)},
  {title: "memory", kind: "figure", says: one => one.rss_bytes ? bytes(one.rss_bytes) : NONE},
  {title: "restarts", kind: "figure wide-2", says: one => String(one.restarts), bad: one => one.restarts > 0},
  {title: "address", kind: "text wide-3", says: one => one.address || NONE},
];
const NODES = [
  {title: "node", name: true, says: one => one.address || one.node_id},
  {title: "state", pill: one => one.alive ? "alive" : "gone", says: () => ""},
  {title: "replicas", kind: "figure", says: one => String(one.replicas)},
  {title: "processors", kind: "figure", says: one => number(one.cpus)},
  {title: "memory", kind: "figure", says: one => bytes(one.memory_mb * 2 ** 20)},
  {title: "GPUs", kind: "figure wide-2", says: one => one.gpus ? number(one.gpus) : NONE},
];

function head(table, columns) {
  const place = byId(table).tHead;
  if (place.rows.length) return;
  place.append(element("tr", {}, ...columns.map(one => element("th", {scope: "col", class: one.kind || ""}, one.title))));
}

function made(columns) {
  const cells = columns.map(one => {
    const text = element("span"), pill = one.pill ? element("span", {class: "pill"}) : null;
    const cell = element(one.name ? "th" : "td", {class: one.kind || "", ...(one.name ? {scope: "row"} : {})});
    if (pill) cell.append(pill, " ");
    cell.append(text);
    return {cell, text, pill};
  });
  return {row: element("tr", {}, ...cells.map(one => one.cell)), cells};
}

function draw(table, columns, items, key) {
  head(table, columns);
  const shown = items.map(item => {
    const id = `${table} ${item[key]}`;
    if (!rows.has(id)) rows.set(id, made(columns));
    const {row, cells} = rows.get(id);
    columns.forEach((one, i) => {
      say(cells[i].text, one.says(item));
      dress(cells[i].text, one.bad && one.bad(item) ? "wrong" : "");
      if (!one.pill) return;
      const word = one.pill(item);
      say(cells[i].pill, word);
      dress(cells[i].pill, `pill ${word}`);
      cells[i].pill.hidden = !word || word === "steady";
    });
    return row;
  });
  fill(byId(table).tBodies[0], shown);
}

// What its owner should know, the worst first.
function troubles(answer) {
  const found = [], age = Date.now() / 1000 - answer.at_s;
  if (age > STALE_S) found.push(["bad", `The driver has last looked ${ago(age)}.`, ""]);
  for (const one of answer.replicas) if (one.trouble) found.push(["bad", `${one.replica_id}: ${one.trouble}.`, ""]);
  for (const one of answer.replicas) if (one.state === "lost") found.push(["bad", `${one.replica_id} is lost.`, ""]);
  for (const one of answer.models) {
    if (one.unplaced) found.push(["bad", `${one.name}: no place.`, one.unplaced]);
    for (const [replica, why] of Object.entries(one.not_loaded || {})) {
      found.push(["bad", `${one.name} is not on ${replica}:`, why]);
    }
    const rollout = one.rollout;
    if (!rollout) continue;
    if (!rollout.serving && rollout.reason) {
      found.push(["bad", `${one.name}: ${rollout.reason}.`, ""]);
    } else if (rollout.step !== "steady") {
      const slower = rollout.slower === null ? "" : `, runs take ${number(rollout.slower)} times as long`;
      const seen = `${rollout.compared} calls compared, ${rollout.differed} differed, ${rollout.failed} failed${slower}.`;
      found.push([rollout.step === "back" ? "bad" : "wait", `${one.name}: ${rollout.reason}.`, seen]);
    } else {
      for (const why of Object.values(rollout.refused)) found.push(["wait", `${one.name}: ${why}.`, ""]);
    }
  }
  return found.slice(0, 20);
}

function drawModels() {
  if (!latest) return;
  const wanted = byId("filter").value.trim().toLowerCase();
  const found = latest.models.filter(one => one.name.toLowerCase().includes(wanted));
  const shown = found.sort((a, b) => b.calls_per_s - a.calls_per_s || a.name.localeCompare(b.name)).slice(0, MOST_ROWS);
  say(byId("shown"), shown.length < latest.models.length ? `${shown.length} of ${latest.models.length}` : String(shown.length));
  draw("models", MODELS, shown, "name");
}

ask(answer => {
  latest = answer;
  const ready = answer.replicas.filter(one => one.state === "ready").length;
  const whole = answer.models.filter(one => one.copies >= one.copies_wanted && one.copies > 0).length;
  const age = Date.now() / 1000 - answer.at_s, stale = age > STALE_S;
  const state = stale ? "stale" : ready >= answer.replicas_wanted ? "live" : "loading";
  say(byId("state"), state);
  dress(byId("state"), `pill ${state}`);
  say(byId("about"), `fleet ${answer.fleet}  ·  driver up ${duration(Math.round(answer.driver.uptime_s))}`);
  tile("of the replicas wanted are ready", `${ready} / ${answer.replicas_wanted}`, ready < answer.replicas_wanted);
  tile("nodes", String(answer.nodes.filter(one => one.alive).length), answer.nodes.some(one => !one.alive));
  tile("of the models have all copies", `${whole} / ${answer.models.length}`, whole < answer.models.length);
  tile("calls a second", number(answer.models.reduce((sum, one) => sum + one.calls_per_s, 0)));
  const failed = answer.models.reduce((sum, one) => sum + one.failed_per_s, 0);
  tile("failed a second", rate(failed), failed > 0);
  const slowest = Math.max(...answer.models.map(one => one.p99_ms === null ? -1 : one.p99_ms), -1);
  tile("slowest model: 99 of 100 within", slowest < 0 ? NONE : duration(slowest / 1000));
  tile("memory of the replicas", bytes(answer.replicas.reduce((sum, one) => sum + one.rss_bytes, 0)));
  const found = troubles(answer), text = JSON.stringify(found);
  byId("trouble-card").hidden = !found.length;
  if (byId("trouble").dataset.text !== text) {
    byId("trouble").dataset.text = text;
    fill(byId("trouble"), found.map(one => finding(...one)));
  }
  drawModels();
  draw("replicas", REPLICAS, answer.replicas, "replica_id");
  draw("nodes", NODES, answer.nodes, "node_id");
  const recent = [...answer.driver.recent].reverse(), lines = JSON.stringify(recent);
  if (byId("recent").dataset.text !== lines) {
    byId("recent").dataset.text = lines;
    fill(byId("recent"), recent.map(line => element("li", {}, line)));
  }
});
byId("filter").addEventListener("input", drawModels);
