// What a row opens to: everything that is known of a version. Made when it is opened, gone when it is closed.

import {histogram, lines} from "./charts.js";
import {element, fill, findings, say} from "./elements.js";
import {ErrorList} from "./errors.js";
import {HISTOGRAM_S} from "./history.js";
import {EVENTS, HARMLESS, bytes, duration, number, tensor} from "./words.js";

export class Details {
  constructor(key, bounds) {
    this.key = key;
    this.limits = element("ul", {class: "findings"});
    this.charts = [
      lines("calls a second", [
        {label: "answered", colour: "cool", key: "answered"},
        {label: "refused", colour: "wait", key: "refused"},
        {label: "failed", colour: "bad", key: "failed"}], number, key),
      lines("time of a call", [
        {label: "p99", colour: "hot", key: "p99"},
        {label: "median", colour: "cool", key: "p50"}], duration, key),
      lines("rows a run", [{label: "mean", colour: "cool", key: "rows"}], number, key),
      lines("queue wait against run time", [
        {label: "wait", colour: "wait", key: "wait"},
        {label: "run", colour: "cool", key: "run"}], duration, key),
    ];
    this.histograms = [
      ["rows_per_run", histogram("rows a run", bounds.rows, number, "cool", "runs")],
      ["wait_durations", histogram("queue wait", bounds.duration_s, duration, "wait", "calls")],
      ["run_durations", histogram("run time", bounds.duration_s, duration, "hot", "runs")],
      ["call_durations", histogram("time of a call", bounds.duration_s, duration, "cool", "calls")],
    ];
    this.span = element("span", {class: "faint"});
    this.about = element("p", {class: "faint"});
    this.signatures = new Map();
    this.list = element("div");
    this.errors = new ErrorList(false);
    this.noErrors = element("p", {class: "faint"}, "none since the start");
    this.node = element("div", {class: "details"},
      this.limits,
      element("div", {class: "charts"}, ...this.charts.map(chart => chart.figure)),
      element("h3", {}, "Distributions ", this.span),
      element("div", {class: "charts"}, ...this.histograms.map(([, chart]) => chart.figure)),
      element("h3", {}, "Signatures"), this.list, this.about,
      element("h3", {}, "Last errors"), this.errors.node, this.noErrors);
  }

  close() { for (const chart of [...this.charts, ...this.histograms.map(([, chart]) => chart)]) chart.close(); }

  draw(model, version, answer, history) {
    fill(this.limits, findings(version.limits));
    const line = history.line(this.key);
    for (const chart of this.charts) chart.draw(line);
    const recent = history.grown(this.key, HISTOGRAM_S), whole = history.newest.versions.get(this.key);
    const shown = recent && recent.runs ? recent : whole;
    say(this.span, shown === recent ? `of the last ${HISTOGRAM_S} seconds` : "since the start");
    if (shown) for (const [name, chart] of this.histograms) chart.draw(shown[name]);
    this.#drawSignatures(version);
    say(this.about, `Loaded and warmed up in ${duration(version.load_s)}; ${number(version.waiting)} calls wait;` +
      ` ${duration(version.busy_s)} in runs since the start; ${bytes(version.memory_bytes)} of memory between runs` +
      (version.state_bytes === null ? "" : `; ${bytes(version.state_bytes)} of sequences' state`) + ".");
    const errors = answer.errors.filter(one => one.model === model.name && (!one.version || one.version === version.number));
    this.errors.draw(errors, answer.wall_s);
    this.noErrors.hidden = errors.length > 0;
  }

  #drawSignatures(version) {
    const kept = version.signatures.map(signature => {
      const text = JSON.stringify([signature.inputs, signature.outputs, signature.plan, signature.alone]);
      let part = this.signatures.get(signature.name);
      if (!part || part.text !== text) {
        part = {text, counts: element("div", {class: "counts"})};
        part.node = element("section", {class: "signature"}, title(signature), facts(signature), part.counts);
        this.signatures.set(signature.name, part);
      }
      fillCounts(part, signature);
      return part.node;
    });
    for (const [name, reason] of Object.entries(version.unusable)) {
      if (!this.signatures.has(name)) this.signatures.set(name, {node: element("section", {class: "signature"},
        element("h4", {}, name), element("span", {class: "faint"}, `cannot be called: ${reason}`))});
      kept.push(this.signatures.get(name).node);
    }
    fill(this.list, kept);
  }
}

function title(signature) {
  const made = element("h4", {}, signature.name);
  if (signature.default) made.append(element("span", {class: "faint"}, " the default"));
  return made;
}

function facts(signature) {
  const pairs = [
    ["in", signature.inputs.map(tensor).join(" · ") || "nothing", true],
    ["out", signature.outputs.map(tensor).join(" · "), true],
    ["plan", signature.plan || "–", false],
    ["batches", signature.alone === null ? `calls share runs: ${signature.joined_because}` : `each call runs alone: ${signature.alone}`, false],
  ];
  return element("dl", {class: "about"}, ...pairs.flatMap(([name, text, code]) =>
    [element("dt", {}, name), element("dd", {}, code ? element("code", {}, text) : text)]));
}

function fillCounts(part, signature) {
  const counted = [["answered", signature.answered, false], ["from the cache", signature.cache_hits, false],
    ["failed", signature.failed, true], ["runs", signature.runs, false],
    ...Object.entries(signature.events).map(([name, count]) => [EVENTS[name] || name, count, !HARMLESS.includes(name)])];
  const text = JSON.stringify(counted);
  if (part.counted === text) return;
  part.counted = text;
  part.counts.replaceChildren(...counted.filter(([name, count]) => count || name === "answered").map(
    ([name, count, wrong]) => element("span", wrong ? {class: "wrong"} : {}, element("b", {}, number(count)), ` ${name}`)));
}
