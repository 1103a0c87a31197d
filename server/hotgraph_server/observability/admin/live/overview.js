// The table of models: a row for each version, the busiest first, and what a row opens to.

import {Details} from "./details.js";
import {byId, dress, element, fill, say, sparkline} from "./elements.js";
import {keyOf} from "./figures.js";
import * as address from "./address.js";
import {LIMITS, NONE, bytes, duration, number, percent, rate} from "./words.js";

const SPARK = 60;
const ERRING_S = 60;   // so long after an error a row says so

// `of`: what a row is sorted by; `text`: what it shows. `wide`: the narrowest screens do without it, from 1 on.
const COLUMNS = [
  {key: "name", title: "model", of: row => row.key.toLowerCase(), up: true},
  {key: "state", title: "state", of: row => row.state, up: true, wide: 2},
  {key: "calls", title: "calls/s", hint: "calls that ended, of all kinds", of: row => row.now && row.now.calls, text: number},
  {key: "p50", title: "p50", hint: "half of the calls took less, from their arrival to the end of their run", of: row => row.now && row.now.p50, text: duration, wide: 3},
  {key: "p99", title: "p99", hint: "99 of 100 calls took less", of: row => row.now && row.now.p99, text: duration},
  {key: "rows", title: "rows/run", hint: "mean of the runs", of: row => row.now && row.now.rows, text: number, wide: 2},
  {key: "wait", title: "wait", hint: "in the queue, mean of the calls", of: row => row.now && row.now.wait, text: duration, wide: 3},
  {key: "refused", title: "refused/s", hint: "calls that were refused for load, or timed out in the queue", of: row => row.now && row.now.refused, text: rate, wide: 2, bad: true},
  {key: "failed", title: "failed/s", hint: "calls whose run failed, or whose deadline passed", of: row => row.now && row.now.failed, text: rate, wide: 2, bad: true},
  {key: "memory", title: "memory", hint: "what the version takes between runs, as measured when it was loaded: tensors, graph, and what is prepared for runs", of: row => row.memory, text: bytes, wide: 4},
  {key: "kept", title: "kept", hint: "memory of sequences' state", of: row => row.kept, text: bytes, wide: 4},
  {key: "duty", title: "load", hint: "share of the time that its executor was in runs", of: row => row.now && row.now.duty, text: percent},
];

export class Overview {
  constructor(history) {
    this.history = history;
    this.view = address.read();
    this.rows = new Map();
    this.order = [];
    this.sorted = false;   // by what was asked for last
    this.heads = new Map(COLUMNS.map(column => [column.key, this.#head(column)]));
    byId("columns").append(...[...this.heads.values()].map(head => head.cell));
    const filter = byId("filter");
    filter.value = this.view.filter;
    filter.addEventListener("input", () => { this.view.filter = filter.value; this.#changed(); });
    addEventListener("hashchange", () => { this.view = address.read(); filter.value = this.view.filter; this.#changed(); });
  }

  draw(answer) {
    this.answer = answer;
    const there = answer.models.flatMap(model =>
      model.versions.length ? model.versions.map(version => this.#row(model, version)) : [this.#row(model, null)]);
    const keys = new Set(there.map(row => row.key));
    for (const [key, row] of this.rows) if (!keys.has(key)) { this.#close(row); this.rows.delete(key); }
    this.erring = new Map(answer.errors.filter(one => answer.wall_s - one.at_s < ERRING_S).reverse().map(one => [one.model, one]));
    for (const row of there) this.#measure(row);
    this.#drawStates(there);
    this.#place(there);
  }

  #changed() {
    this.sorted = false;
    address.write(this.view);
    if (this.answer) this.draw(this.answer);
  }

  #head(column) {
    const arrow = element("span", {class: "arrow", "aria-hidden": "true"});
    const button = element("button", {type: "button", ...(column.hint ? {title: column.hint} : {})}, column.title, arrow);
    const cell = element("th", {scope: "col", class: classOf(column)}, button);
    button.addEventListener("click", () => {
      const up = Boolean(column.up);
      this.view.up = this.view.sort === column.key ? !this.view.up : up;
      this.view.sort = column.key;
      this.#changed();
    });
    return {cell, arrow};
  }

  #row(model, version) {
    const key = version ? keyOf(model.name, version.number) : model.name;
    let row = this.rows.get(key);
    if (!row) {
      row = this.#make(key, model.name, version);
      this.rows.set(key, row);
    }
    row.model = model;
    row.version = version;
    row.state = version ? version.state : this.answer.state === "loading" ? "loading" : "not there";
    row.memory = version ? version.memory_bytes : null;
    row.kept = version ? version.state_bytes : null;
    return row;
  }

  #make(key, name, version) {
    const row = {key, cells: new Map(), spark: sparkline(), pill: element("span"), limit: element("span"), erring: element("span"), meter: element("span", {class: "meter", "aria-hidden": "true"})};
    row.meter.append(element("i"));
    row.node = element("tr", {class: "row"});
    row.toggle = element("button", {type: "button", class: "name", "aria-expanded": "false"},
      element("span", {class: "mark", "aria-hidden": "true"}), element("span", {class: "title"}, name));
    if (version) row.toggle.append(element("span", {class: "faint"}, `v${version.number}`));
    for (const column of COLUMNS) {
      const cell = element(column.key === "name" ? "th" : "td", {class: classOf(column), ...(column.key === "name" ? {scope: "row"} : {})});
      const text = element("span");
      row.cells.set(column.key, text);
      if (column.key === "name") cell.append(row.toggle, row.limit, row.erring);
      else if (column.key === "state") cell.append(row.pill);
      else if (column.key === "calls") cell.append(row.spark.svg, text);
      else if (column.key === "duty") cell.append(row.meter, text);
      else cell.append(text);
      row.node.append(cell);
    }
    row.node.addEventListener("click", event => {
      // Who marks text does not want it to move away.
      if (!event.target.closest(".name") && String(getSelection())) return;
      this.#toggle(row);
    });
    return row;
  }

  #measure(row) {
    row.now = row.version ? this.history.now(row.key) : null;
    dress(row.pill, `pill ${row.state.replace(" ", "-")}`);
    say(row.pill, row.state);
    const limit = row.version && row.version.limits[0], word = limit ? LIMITS[limit.kind] || "" : "";
    dress(row.limit, word ? `limit ${limit.kind}` : "");
    say(row.limit, word);
    row.limit.title = word ? limit.text : "";
    const error = this.erring.get(row.model.name);
    dress(row.erring, error ? "limit erring" : "");
    say(row.erring, error ? "errors" : "");
    row.erring.title = error ? `${error.status}: ${error.text}` : "";
    for (const column of COLUMNS) {
      if (!column.text) continue;
      const value = column.of(row), cell = row.cells.get(column.key);
      say(cell, value === null || value === undefined ? NONE : column.text(value));
      if (column.bad) dress(cell, value ? "wrong" : "");
    }
    dress(row.node, `row${row.now && row.now.calls ? "" : " still"}`);
    row.meter.firstElementChild.style.width = `${100 * (row.now ? row.now.duty : 0)}%`;
    row.spark.draw(this.history.line(row.key).slice(-SPARK).map(one => one.calls));
  }

  #drawStates(rows) {
    const counted = new Map();
    for (const row of rows) counted.set(row.state, (counted.get(row.state) || 0) + 1);
    if (this.view.state && !counted.has(this.view.state)) counted.set(this.view.state, 0);
    const text = JSON.stringify([[...counted], this.view.state]);
    if (this.states === text) return;
    this.states = text;
    byId("states").replaceChildren(...counted.size < 2 && !this.view.state ? [] : [...counted].map(([state, count]) => {
      const on = this.view.state === state;
      const chip = element("button", {type: "button", class: `pill ${state.replace(" ", "-")}`, "aria-pressed": String(on)}, `${count} ${state}`);
      chip.addEventListener("click", () => { this.view.state = on ? "" : state; this.#changed(); });
      return chip;
    }));
  }

  #place(there) {
    const column = COLUMNS.find(one => one.key === this.view.sort) || COLUMNS[COLUMNS.length - 1];
    for (const [key, {cell, arrow}] of this.heads) {
      const on = key === column.key;
      if (on) cell.setAttribute("aria-sort", this.view.up ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
      say(arrow, on ? this.view.up ? "▲" : "▼" : "");
    }
    const wanted = this.view.filter.trim().toLowerCase();
    const shown = there.filter(row => row.key.toLowerCase().includes(wanted) && (!this.view.state || row.state === this.view.state));
    this.#sort(shown, column);
    fill(byId("rows"), shown.flatMap(row => this.#drawn(row)));
    byId("none").hidden = shown.length > 0 || !there.length;
    say(byId("shown"), shown.length === there.length ? `${there.length}` : `${shown.length} of ${there.length}`);
    this.#drawDetails(shown);
  }

  // Rows do not move away under a pointer or a focus, unless it was asked for.
  #sort(shown, column) {
    const body = byId("rows");
    const held = this.sorted && (body.matches(":hover") || body.querySelector(":focus-visible"));
    const place = new Map(this.order.map((key, i) => [key, i]));
    if (held && shown.every(row => place.has(row.key))) {
      shown.sort((a, b) => place.get(a.key) - place.get(b.key));
      return;
    }
    const sign = this.view.up ? 1 : -1;
    shown.sort((a, b) => compare(column.of(a), column.of(b), sign)
      || compare(a.now && a.now.duty, b.now && b.now.duty, -1) || compare(a.now && a.now.calls, b.now && b.now.calls, -1)
      || compare(a.key, b.key, 1));
    this.order = shown.map(row => row.key);
    this.sorted = true;
  }

  #drawn(row) {
    const open = this.view.open.has(row.key) && row.version !== null;
    row.toggle.setAttribute("aria-expanded", String(open));
    if (!open) {
      this.#close(row);
      return [row.node];
    }
    if (!row.details) {
      row.details = new Details(row.key, this.answer.bounds);
      row.below = element("tr", {class: "below"}, element("td", {colspan: COLUMNS.length}, row.details.node));
    }
    return [row.node, row.below];
  }

  // When they are in their place: a chart is as wide as that is.
  #drawDetails(shown) {
    for (const row of shown) if (row.details) row.details.draw(row.model, row.version, this.answer, this.history);
  }

  #toggle(row) {
    if (!row.version) return;
    if (!this.view.open.delete(row.key)) this.view.open.add(row.key);
    address.write(this.view);
    this.draw(this.answer);
  }

  #close(row) {
    if (!row.details) return;
    row.details.close();
    row.below.remove();
    row.details = row.below = null;
  }
}

function classOf(column) {
  return [`column-${column.key}`, column.text ? "figure" : "", column.wide ? `wide-${column.wide}` : ""].filter(Boolean).join(" ");
}

// What is not known comes last, whichever way.
function compare(a, b, sign) {
  const none = x => x === null || x === undefined;
  if (none(a) || none(b)) return none(a) - none(b);
  return a < b ? -sign : a > b ? sign : 0;
}
