// Charts, drawn by uPlot: lines over the time of day, and histograms.

import {element} from "./elements.js";
import {clock, number} from "./words.js";

const HEIGHT = 150;
const LEAST_SPAN_S = 60;   // of a time axis
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(); }

function axis(more) {
  return {stroke: colour("faint"), grid: {stroke: colour("line"), width: 1}, ticks: {show: false},
    font: "11px system-ui, sans-serif", ...more};
}

// A chart that is made anew when its colours change, and as wide as its place is.
class Chart {
  constructor(title, options) {
    this.place = element("div", {class: "plot"});
    this.figure = element("figure", {}, element("figcaption", {}, title), this.place);
    this.options = options;
    this.data = null;
    this.plot = null;
    this.watch = new ResizeObserver(() => this.#fit());
    this.watch.observe(this.place);
    this.recolour = () => { this.#end(); this.draw(this.data); };
    dark.addEventListener("change", this.recolour);
  }

  draw(data) {
    this.data = data;
    if (!data) return;
    const width = Math.floor(this.place.clientWidth);
    if (!width) return;
    if (this.plot) this.plot.setData(data);
    else this.plot = new uPlot({...this.options(), width, height: HEIGHT}, data, this.place);
  }

  close() {
    this.watch.disconnect();
    dark.removeEventListener("change", this.recolour);
    this.#end();
  }

  #fit() {
    const width = Math.floor(this.place.clientWidth);
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({width, height: HEIGHT});
    else if (!this.plot) this.draw(this.data);
  }

  #end() {
    if (this.plot) this.plot.destroy();
    this.plot = null;
  }
}

// Lines over time. `series`: [{label, colour, key}], of points; `text` says a value; those with one `group` show
// the same moment when the pointer is over one of them.
export function lines(title, series, text, group) {
  const chart = new Chart(title, () => ({
    cursor: {sync: {key: group}, points: {size: 6}, drag: {x: false, y: false}},
    legend: {live: true},
    scales: {
      x: {time: true, range: (_, low, high) => [Math.min(low, high - LEAST_SPAN_S), high]},
      y: {range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1]},
    },
    axes: [
      axis({size: 26, space: 76, values: (_, at) => at.map(clock)}),
      axis({size: 58, space: 32, values: (_, found) => found.map(text)}),
    ],
    series: [
      {label: "at", value: (_, at) => at === null ? "now" : clock(at)},
      ...series.map(one => ({
        label: one.label, stroke: colour(one.colour), width: 1.6, points: {size: 4},
        value: (plot, value, of) => {
          const shown = plot.cursor.idx === null || plot.cursor.idx === undefined ? plot.data[of].at(-1) : value;
          return shown === null || shown === undefined ? "–" : text(shown);
        },
      })),
    ],
  }));
  return {figure: chart.figure, close: () => chart.close(), draw: points => chart.draw(
    points.length ? [points.map(one => one.at), ...series.map(({key}) => points.map(one => one[key]))] : null)};
}

// Counts by bucket. `text` says a bound, `unit` what is counted.
export function histogram(title, bounds, text, ink, unit) {
  let from = 0;   // the first bucket that is shown
  const edge = i => i < bounds.length ? `≤ ${text(bounds[i])}` : `> ${text(bounds[bounds.length - 1])}`;
  const chart = new Chart(title, () => ({
    cursor: {points: {show: false}, drag: {x: false, y: false}, y: false},
    legend: {live: true},
    scales: {
      x: {time: false, range: (_, low, high) => [low - .6, high + .6]},
      y: {range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1]},
    },
    axes: [
      axis({size: 26, space: 56, incrs: [1, 2, 3, 4], grid: {show: false},
        values: (_, at) => at.map(i => Number.isInteger(i) ? edge(from + i) : "")}),
      axis({size: 58, space: 32, values: (_, found) => found.map(number)}),
    ],
    series: [
      {label: "in", value: (_, i) => i === null || i === undefined ? "all" : edge(from + i)},
      {label: unit, stroke: colour(ink), fill: colour(ink), points: {show: false}, paths: uPlot.paths.bars({size: [.8, 60]}),
        value: (plot, count, of) => number(count === null || count === undefined ? plot.data[of].reduce((x, y) => x + y, 0) : count)},
    ],
  }));
  return {figure: chart.figure, close: () => chart.close(), draw(counted) {
    const used = counted.flatMap((count, i) => count ? [i] : []);
    const first = used.length ? Math.max(used[0] - 1, 0) : 0;
    const last = Math.min(Math.max(used.length ? used[used.length - 1] + 1 : 0, first + 5), counted.length - 1);
    from = Math.max(Math.min(first, last - 5), 0);
    const shown = counted.slice(from, last + 1);
    chart.draw([shown.map((_, i) => i), shown]);
  }};
}
