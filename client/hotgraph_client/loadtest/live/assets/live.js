"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const LOWEST = 0, DECADES = 6, KEPT = 600, EVERY_MS = 1000;
  const seconds = new Map();
  let change = 0, load = null, touched = false, failures = 0;

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const charts = ["calls", "latency", "server"].map((id) => ({ id, drawn: null }));

  const fromSlider = (at) => Number((10 ** (LOWEST + (at / 1000) * DECADES)).toPrecision(3));
  const toSlider = (rate) => Math.round(((Math.log10(Math.max(rate, 1)) - LOWEST) / DECADES) * 1000);
  const text = (value) => (value === null || value === undefined ? "\u2013"
    : value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3))));

  const SERIES = {
    calls: [["due", "due"], ["answered", "answered"], ["errors", (s) => sum(s.errors)]],
    latency: [["p50", "p50_ms"], ["p99", "p99_ms"], ["greatest", "max_ms"], ["sender's lag p99", "lag_p99_ms"]],
    server: [["rows of a run", "rows_per_run"], ["waiting", "queue_wait_ms"], ["run", "run_ms"]],
  };
  const sum = (errors) => Object.values(errors).reduce((all, one) => all + one, 0);
  const value = (second, of) => (typeof of === "string" ? second[of] : of(second)) ?? null;

  function option(id, list) {
    const style = getComputedStyle(document.documentElement);
    const quiet = style.getPropertyValue("--quiet").trim(), line = style.getPropertyValue("--line").trim();
    const axis = { axisLabel: { color: quiet }, axisLine: { lineStyle: { color: line } }, splitLine: { lineStyle: { color: line } } };
    return {
      animation: false, aria: { enabled: true },
      grid: { left: 8, right: 12, top: 32, bottom: 8, containLabel: true },
      legend: { top: 0, textStyle: { color: quiet } },
      tooltip: { trigger: "axis" },
      xAxis: { type: "value", min: "dataMin", max: "dataMax", ...axis, axisLabel: { color: quiet, formatter: "{value} s" } },
      yAxis: { type: "value", min: 0, ...axis },
      series: SERIES[id].map(([name, of]) => ({
        name, type: "line", showSymbol: false, connectNulls: false,
        data: list.map((second) => [second.at_s, value(second, of)]),
      })),
    };
  }

  function draw() {
    const list = [...seconds.values()].sort((a, b) => a.at_s - b.at_s).slice(-KEPT);
    const told = list.some((second) => second.rows_per_run !== null && second.rows_per_run !== undefined);
    byId("of-server").hidden = !told;
    for (const chart of charts) {
      if (chart.id === "server" && !told) continue;
      chart.drawn ??= echarts.init(byId(chart.id), dark.matches ? "dark" : null, { renderer: "canvas" });
      chart.drawn.setOption({ ...option(chart.id, list), backgroundColor: "transparent" });
    }
    // of the last second not all answers are there
    const now = list[list.length - 2] ?? list[list.length - 1];
    if (now === undefined) return;
    const shown = [
      ["due", text(now.due)], ["answered", text(now.answered)], ["p50 ms", text(now.p50_ms)],
      ["p99 ms", text(now.p99_ms)], ["errors", text(sum(now.errors))], ["lag p99 ms", text(now.lag_p99_ms)],
      ...(told ? [["rows of a run", text(now.rows_per_run)], ["waiting ms", text(now.queue_wait_ms)]] : []),
    ];
    byId("now").replaceChildren(...shown.map(([name, figure]) => {
      const box = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = figure;
      box.append(dt, dd);
      return box;
    }));
  }

  function show(state, over) {
    load = state;
    const ended = over || state.stopped;
    const last = Math.max(...seconds.keys());
    byId("status").textContent = ended ? "ended" : state.paused ? "paused"
      : Number.isFinite(last) ? (last < 0 ? "warm-up" : `${last + 1} s`) : "waiting for the first second";
    byId("pause").textContent = state.paused ? "go on" : "pause";
    for (const button of document.querySelectorAll("button, input")) button.disabled = ended;
    if (!touched) {
      byId("rate").value = state.rate;
      byId("slider").value = toSlider(state.rate);
      showMix(state.mix);
    }
  }

  function showMix(mix) {
    const entries = Object.entries(mix).sort((a, b) => a[0] - b[0]);
    const box = byId("mix");
    box.hidden = entries.length < 2;
    if (box.querySelectorAll("input").length === entries.length) {
      for (const [rows, share] of entries) {
        box.querySelector(`input[data-rows="${rows}"]`).value = Number((100 * share).toPrecision(4));
      }
      return;
    }
    for (const [rows, share] of entries) {
      const label = document.createElement("label"), input = document.createElement("input");
      label.textContent = rows;
      Object.assign(input, { type: "number", min: 0, step: "any", value: Number((100 * share).toPrecision(4)) });
      input.dataset.rows = rows;
      label.append(input);
      box.append(label);
    }
  }

  async function ask(wanted) {
    try {
      const answer = await fetch("load", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wanted),
      });
      const told = await answer.json();
      byId("refused").textContent = told.error ?? "";
      if (answer.ok) {
        touched = false;
        show(told.load, false);
      }
    } catch {
      byId("refused").textContent = "the load test has ended";
    }
  }

  async function look() {
    try {
      const told = await (await fetch(`state?since=${change}`)).json();
      failures = 0;
      change = told.change;
      for (const second of told.seconds) seconds.set(second.at_s, second);
      for (const old of [...seconds.keys()].sort((a, b) => a - b).slice(0, -KEPT)) seconds.delete(old);
      show(told.load, told.over);
      draw();
      if (told.over) return;
    } catch {
      failures += 1;
      if (failures > 3) {
        byId("status").textContent = "ended: the command has left";
        for (const button of document.querySelectorAll("button, input")) button.disabled = true;
        return;
      }
    }
    setTimeout(look, EVERY_MS);
  }

  byId("slider").addEventListener("input", () => {
    touched = true;
    byId("rate").value = fromSlider(Number(byId("slider").value));
  });
  byId("load").addEventListener("input", () => { touched = true; });
  byId("rate").addEventListener("input", () => { byId("slider").value = toSlider(Number(byId("rate").value)); });
  byId("load").addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = { rate: Number(byId("rate").value) };
    const inputs = [...byId("mix").querySelectorAll("input")];
    if (inputs.length > 1) {
      wanted.mix = Object.fromEntries(inputs.map((input) => [input.dataset.rows, Number(input.value)]));
    }
    ask(wanted);
  });
  byId("pause").addEventListener("click", () => ask({ paused: !load?.paused }));
  byId("stop").addEventListener("click", () => ask({ stopped: true }));
  window.addEventListener("resize", () => charts.forEach((chart) => chart.drawn?.resize()));
  dark.addEventListener("change", () => {
    for (const chart of charts) { chart.drawn?.dispose(); chart.drawn = null; }
    draw();
  });
  look();
})();
