// Figures as text. Plain functions.

export const NONE = "–";

export function duration(s) {
  if (s === null || !isFinite(s)) return NONE;
  if (s === 0) return "0 s";
  if (s < 1e-3) return `${+(s * 1e6).toPrecision(3)} µs`;
  if (s < 1) return `${+(s * 1e3).toPrecision(3)} ms`;
  if (s < 120) return `${+s.toPrecision(3)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 120) return `${minutes} min`;
  return minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}

export function number(x) {
  if (x === null || !isFinite(x)) return NONE;
  return x >= 100 ? Math.round(x).toLocaleString("en") : String(+x.toPrecision(3));
}

// Of what should not be: nothing is a dash, so that what is there is seen.
export function rate(x) { return x ? number(x) : NONE; }

export function percent(x) {
  if (x === null) return NONE;
  return `${x > 0 && x < .0995 ? +(100 * x).toPrecision(2) : Math.round(100 * x)} %`;
}

export function bytes(n) {
  if (n === null || n === undefined) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (n >= 999.5 && at < units.length - 1) { n /= 1000; at++; }
  return `${+n.toPrecision(3)} ${units[at]}`;
}

// Seconds since the epoch.
export function clock(at) { return new Date(at * 1000).toLocaleTimeString("en-GB"); }

export function ago(s) { return s < 1.5 ? "now" : `${duration(Math.round(s))} ago`; }

export function tensor(spec) {
  const shape = spec.shape === null ? "any shape" : `[${spec.shape.map(d => d === null ? "?" : d).join(", ")}]`;
  return `${spec.alias}: ${spec.dtype} ${shape}`;
}

export const EVENTS = {
  refused_full: "refused, queue full", refused_late: "refused, too late", refused_by_size: "refused by policy",
  refused_draining: "refused, draining", timed_out: "timed out in the queue", delayed: "delayed by policy",
  expired: "expired", cancelled: "cancelled", poison: "poisonous",
  apart: "apart, since calls of their connection keep failing", rerun: "batches run again",
  out_of_memory: "out of memory", checked: "checked", differed: "differed", split: "split",
};

// Those that are nobody's trouble.
export const HARMLESS = ["checked", "split"];

// What a finding of limits.py is called where there is room for a word.
export const LIMITS = {
  graph: "graph", front: "front", processors: "processors", queue: "queue full", deadline: "deadline",
  alone: "runs alone", idle: "", none: "",
};
