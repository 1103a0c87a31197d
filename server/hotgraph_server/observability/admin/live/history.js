// What the page remembers: the counts of the last answers, and for each version a line of points.

import {counts, keyOf, point, since, total} from "./figures.js";

export const WINDOW_S = 10;      // what the table shows
export const HISTOGRAM_S = 30;   // what histograms show
const POINTS = 600;

export class History {
  constructor() { this.clear(); }

  clear() {
    this.answers = [];           // {at, now_s, uptime_s, processes, process, all, versions, signatures}, oldest first
    this.lines = new Map();      // by version, and "" for all: points, oldest first
  }

  // Take in an answer of /api/status, which came at that time (seconds since the epoch).
  add(answer, at) {
    const last = this.newest;
    // A server that was started anew counts from 0.
    if (last && answer.uptime_s < last.uptime_s) this.clear();
    const taken = {at, now_s: answer.now_s, uptime_s: answer.uptime_s, processes: answer.processes,
      process: answer.process, bounds: answer.bounds, versions: new Map(), signatures: new Map()};
    for (const model of answer.models)
      for (const version of model.versions) {
        const key = keyOf(model.name, version.number), of = version.signatures.map(counts);
        version.signatures.forEach((signature, i) => taken.signatures.set(`${key}\n${signature.name}`, of[i]));
        if (of.length) taken.versions.set(key, total(of));
      }
    taken.all = total([...taken.versions.values()]);
    this.answers.push(taken);
    while (this.answers.length > 2 && at - this.answers[1].at > HISTOGRAM_S) this.answers.shift();
    if (this.answers.length > 1) this.#lengthen(taken, this.answers[this.answers.length - 2]);
  }

  get newest() { return this.answers[this.answers.length - 1]; }

  // The oldest answer that is at most so many seconds older than the newest.
  past(seconds) { return this.answers.find(one => this.newest.now_s - one.now_s <= seconds + .5); }

  // What a version ("": all of them) does now; null: not known yet.
  now(key, seconds = WINDOW_S) {
    const then = this.past(seconds);
    return then === this.newest ? null : pointOf(this.newest, then, key);
  }

  // The counts that a version, or a signature of one, has grown by in so many seconds.
  grown(key, seconds, signature) {
    const pick = answer => signature === undefined ? answer.versions.get(key) : answer.signatures.get(`${key}\n${signature}`);
    const now = pick(this.newest), then = this.past(seconds);
    return then === this.newest ? null : since(now, pick(then));
  }

  line(key) { return this.lines.get(key) || []; }

  #lengthen(now, before) {
    for (const key of ["", ...now.versions.keys()]) {
      const made = pointOf(now, before, key);
      if (!made) continue;
      if (!this.lines.has(key)) this.lines.set(key, []);
      const line = this.lines.get(key);
      line.push({at: now.at, ...made});
      if (line.length > POINTS) line.shift();
    }
    for (const key of this.lines.keys()) if (key && !now.versions.has(key)) this.lines.delete(key);
  }
}

function pointOf(now, then, key) {
  const pick = answer => key ? answer.versions.get(key) : answer.all;
  const figures = pick(now);
  if (!figures) return null;
  return point(since(figures, pick(then)), Math.max(now.now_s - then.now_s, 1e-3), now.processes, now.bounds);
}
