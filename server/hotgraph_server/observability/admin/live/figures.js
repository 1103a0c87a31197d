// Figures out of answers of /api/status. Plain functions: no page, no clock.
//
// Everything that an answer holds counts from the start of the server. What happens now is the difference of
// two answers.

const HISTOGRAM = /_durations$|^rows_per_run$/;
const COUNTS = ["runs", "failed_runs", "rows", "answered", "failed", "cache_hits", "ran_s", "waited_s"];
const REFUSALS = ["refused_full", "refused_late", "refused_by_size", "refused_draining", "timed_out"];

export function keyOf(model, number) { return `${model}@${number}`; }

export function added(a, b, sign = 1) {
  const sum = {};
  for (const [key, value] of Object.entries(a)) {
    const other = b[key];
    if (typeof value === "number") sum[key] = value + sign * (other || 0);
    else if (Array.isArray(value)) sum[key] = value.map((x, i) => x + sign * (other ? other[i] || 0 : 0));
    else sum[key] = added(value, other || {}, sign);
  }
  return sum;
}

// The counts of a signature, without what is said of it in words.
export function counts(signature) {
  const found = {events: signature.events};
  for (const key of COUNTS) found[key] = signature[key];
  for (const [key, value] of Object.entries(signature)) if (HISTOGRAM.test(key)) found[key] = value;
  return found;
}

// Of several, at least one, as of one; null: there is none.
export function total(several) {
  return several.length ? several.reduce((sum, one) => added(sum, one)) : null;
}

// What counts have grown by since an older answer; all of them if they were not there then, or began anew.
export function since(now, then) {
  return !then || then.runs > now.runs || then.answered > now.answered ? now : added(now, then, -1);
}

export function refused(figures) { return REFUSALS.reduce((sum, name) => sum + figures.events[name], 0); }
export function failed(figures) { return figures.failed + figures.events.expired; }
export function answered(figures) { return figures.answered + figures.cache_hits; }
export function ended(figures) { return answered(figures) + failed(figures) + refused(figures); }

// Of a histogram; between two bounds as if its values were spread evenly. Null: it is empty.
export function quantile(bounds, counted, q) {
  const all = counted.reduce((x, y) => x + y, 0);
  let seen = 0;
  for (let i = 0; i < counted.length; i++) {
    if (counted[i] && seen + counted[i] >= q * all) {
      const low = i ? bounds[i - 1] : 0, high = bounds[Math.min(i, bounds.length - 1)];
      return low + (high - low) * (q * all - seen) / counted[i];
    }
    seen += counted[i];
  }
  return null;
}

function ratio(a, b) { return b ? a / b : null; }

// What a table and a chart say of so many seconds, of so many processes.
export function point(grown, seconds, processes, bounds) {
  const calls = grown.answered + grown.failed;
  return {
    calls: ended(grown) / seconds,
    answered: answered(grown) / seconds,
    refused: refused(grown) / seconds,
    failed: failed(grown) / seconds,
    p50: quantile(bounds.duration_s, grown.call_durations, .5),
    p99: quantile(bounds.duration_s, grown.call_durations, .99),
    rows: ratio(grown.rows, grown.runs),
    wait: ratio(grown.waited_s, calls),
    run: ratio(grown.ran_s, grown.runs),
    duty: Math.min(grown.ran_s / seconds / processes, 1),
  };
}
