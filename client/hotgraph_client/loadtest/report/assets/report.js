"use strict";
// Draws the charts that the page's JSON describes (charts.py says what each field is), and their tables.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const NONE = "\u2013";
  const NINES = [0, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999];
  const LEFT = 56;
  const RIGHT = 18;
  const TOP = 12;
  const BOTTOM = 48;

  // ---- figures: the same as figures.py writes

  const number = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
    const size = Math.abs(value);
    if (size === 0) return "0";
    for (const [least, digits] of [[99.95, 0], [9.995, 1], [0.9995, 2], [0.09995, 3], [0.009995, 4]]) {
      if (size >= least) {
        return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
      }
    }
    return String(Number(value.toPrecision(3)));
  };
  const share = (nines) => `${Number((100 * (1 - 10 ** -nines)).toFixed(5))} %`;
  const tick = (value) =>
    Math.abs(value) >= 1000 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(6)));

  function shown(axis, value) {
    if (axis.scale === "nines") return share(value);
    if (axis.scale === "names") return axis.names[value];
    return axis.unit && value !== null ? `${number(value)} ${axis.unit}` : number(value);
  }

  // ---- colours: the style sheet's, as they are in this theme

  const probe = document.getElementById("probe");
  const named = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const STATUSES = ["c1", "c2", "c0", "c4", "c3", "c5", "muted", "quiet"];
  // Viridis without its ends, which are lost on white or on black: dark to light, or light to dark.
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

  function ramp(at) {
    const place = (isDark() ? 1.2 + 2.8 * at : 3.1 * at);
    const low = Math.min(3, Math.floor(place));
    const mixed = RAMP[low].map((one, index) => Math.round(one + (RAMP[low + 1][index] - one) * (place - low)));
    return `rgb(${mixed.join(",")})`;
  }

  function colour(series) {
    if (series.colour.startsWith("ramp")) return ramp(Number(series.colour.slice(4)));
    if (series.colour.startsWith("status")) return named(STATUSES[Number(series.colour.slice(6))] ?? "muted");
    return named(/^\d$/.test(series.colour) ? `c${series.colour}` : series.colour);
  }

  const print = matchMedia("print");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const chosenTheme = () => document.documentElement.dataset.theme;
  const isDark = () => !print.matches && (chosenTheme() ? chosenTheme() === "dark" : prefersDark.matches);

  // ---- elements: texts are set as texts, so that no name is markup

  function element(name, text = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function within(parent, ...children) {
    parent.append(...children);
    return parent;
  }

  function table(columns, rows, caption) {
    const head = within(element("tr"), ...columns.map((one, place) =>
      element("th", one, place ? { scope: "col", class: "figure" } : { scope: "col" })));
    const lines = rows.map((cells) => within(element("tr"), ...cells.map((cell, place) => {
      const text = typeof cell === "string" ? cell : number(cell);
      if (!place) return element("th", text, { scope: "row" });
      return element("td", text, typeof cell === "string" ? {} : { class: "figure" });
    })));
    const made = within(element("table"), element("caption", caption), within(element("thead"), head),
      within(element("tbody"), ...lines));
    return within(element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }), made);
  }

  function tableOf(chart) {
    const caption = `Figures of: ${chart.title}`;
    if (chart.table) return table(chart.table.columns, chart.table.rows, caption);
    const columns = chart.series.map((one) => new Map(one.points));
    const places = [...new Set(chart.series.flatMap((one) => one.points.map(([x]) => x)))].sort((a, b) => a - b);
    const names = chart.series.map((one) => (chart.y.unit ? `${one.name}, ${chart.y.unit}` : one.name));
    const rows = places.map((x) => [number(x), ...columns.map((one) => one.get(x) ?? null)]);
    return table([chart.x.name, ...names], rows, caption);
  }

  // ---- axes

  const steps125 = (low, high) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const one of [1, 2, 5]) found.push(Number((one * 10 ** power).toPrecision(3)));
    }
    return found;
  };

  function logRange(values) {
    const low = Math.min(...values);
    const high = Math.max(...values);
    const places = steps125(low, high);
    const least = places.findLast((one) => one <= low * 1.0001) ?? low;
    const greatest = places.find((one) => one >= high * 0.9999 && one > least) ?? high;
    return [least, greatest];
  }

  function logTicks(least, greatest, room) {
    const inside = (one) => one >= least * 0.999 && one <= greatest * 1.001;
    const all = steps125(least, greatest).filter(inside);
    if (all.length <= room) return all;
    const powers = all.filter((one) => Number.isInteger(Number(Math.log10(one).toFixed(6))));
    return powers.length > 1 ? powers : [all[0], ...powers, all[all.length - 1]];
  }

  function linearTicks(least, greatest, room) {
    const raw = (greatest - least) / Math.max(2, room);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw * 0.999);
    const found = [];
    for (let place = Math.ceil(least / step - 0.001); place * step <= greatest * 1.0001 + 1e-12; place++) {
      found.push(Number((place * step).toPrecision(10)));
    }
    return found;
  }

  function axisOf(axis, values, room, vertical) {
    const text = named("quiet");
    const line = { lineStyle: { color: named("line") } };
    const common = {
      axisLine: { show: !vertical, ...line },
      axisTick: { show: !vertical, ...line },
      axisPointer: { label: { show: false } },
      nameTextStyle: { color: text },
      ...(vertical ? {} : { name: axis.name, nameLocation: "middle", nameGap: 30 }),
    };
    const label = { color: text, hideOverlap: true, margin: vertical ? 8 : 10 };
    if (axis.scale === "names") {
      return { ...common, type: "category", data: axis.names, axisLabel: { ...label, width: 90, overflow: "truncate" } };
    }
    const split = { splitLine: { show: true, lineStyle: { color: named("grid") } } };
    const fixed = (type, min, max, ticks, formatter) => ({
      ...common, ...split, type, min, max,
      axisLabel: { ...label, customValues: ticks, formatter },
      axisTick: { ...common.axisTick, customValues: ticks },
    });
    if (axis.scale === "nines") {
      const most = Math.max(1, ...values);
      const wanted = NINES.filter((one) => ![0.75, 0.95].includes(one) || room > 6).map((one) => -Math.log10(1 - one));
      return fixed("value", 0, most, wanted.filter((one) => one <= most + 1e-6), share);
    }
    const positive = values.filter((one) => one > 0);
    if (axis.scale === "log" && positive.length) {
      const [least, greatest] = logRange(positive);
      return fixed("log", least, greatest, logTicks(least, greatest, room), tick);
    }
    const spread = Math.max(...values) - Math.min(...values) || Math.abs(values[0]) || 1;
    let least = axis.least ?? Math.min(...values) - 0.05 * spread;
    if (axis.least === null && Math.min(...values) >= 0) least = Math.max(0, least);
    let greatest = axis.greatest ?? Math.max(...values) + 0.05 * spread;
    if (!(greatest > least)) greatest = least + 1;
    const ticks = linearTicks(least, greatest, room);
    if (vertical && ticks.length > 1 && ticks.at(-1) < greatest * 0.9999) {
      ticks.push(Number((2 * ticks.at(-1) - ticks.at(-2)).toPrecision(10)));
      greatest = ticks.at(-1);
    }
    return fixed("value", least, greatest, ticks, tick);
  }

  // ---- charts

  // On a logarithmic axis there is no 0: it is drawn at the bottom, and said as what it is. A bar of 0 is none.
  function drawable(chart, series, y, bottom) {
    if (y === 0 && series.look === "bars") return null;
    return y !== null && chart.y.scale === "log" && y <= 0 ? bottom : y;
  }

  function seriesOf(chart, series, bottom) {
    const tint = colour(series);
    const points = series.points.map(([x, y]) => ({ value: [x, drawable(chart, series, y, bottom)], figure: y }));
    const common = { name: series.name, data: points, itemStyle: { color: tint }, emphasis: { focus: "series" } };
    if (series.look === "bars") {
      const edge = { borderColor: named("card"), borderWidth: 1 };
      return { ...common, type: "bar", stack: "all", barMaxWidth: 46, itemStyle: { color: tint, ...edge } };
    }
    const hollow = series.shape === "ring";
    const symbol = { symbol: hollow ? "circle" : series.shape, symbolSize: series.size || 5 };
    if (series.look === "points") {
      const ring = hollow ? { color: "transparent", borderColor: tint, borderWidth: 2 } : { color: tint };
      return { ...common, ...symbol, type: "scatter", itemStyle: ring };
    }
    const many = series.points.length > 90 || !series.size;
    const line = {
      ...common, ...symbol, type: "line", showSymbol: !many, connectNulls: false, animation: false,
      lineStyle: { color: tint, width: 2, type: series.dashed ? [5, 4] : "solid" },
    };
    if (series.look === "area") {
      return { ...line, stack: "errors", showSymbol: false, areaStyle: { color: tint, opacity: 0.55 }, lineStyle: { color: tint, width: 1 } };
    }
    return line;
  }

  function marksOf(chart, xs, ys) {
    const inside = chart.marks.filter((one) => {
      const values = one.axis === "x" ? xs : ys;
      return one.at >= Math.min(...values) && one.at <= Math.max(...values);
    });
    if (!inside.length) return [];
    return [{
      type: "line", data: [], silent: true, name: "",
      markLine: {
        silent: true, symbol: "none", animation: false,
        lineStyle: { color: named("good"), type: "dotted", width: 1.5 },
        label: { color: named("good"), position: "insideEndTop", formatter: (one) => one.name },
        data: inside.map((one) => ({ name: one.text, [one.axis === "x" ? "xAxis" : "yAxis"]: one.at })),
      },
    }];
  }

  function tip(chart, found) {
    const list = (Array.isArray(found) ? found : [found]).filter((one) => one.data);
    const box = element("div", "", { class: "tip" });
    if (!list.length) return box;
    const x = list[0].data.value[0];
    const head = chart.heads.find(([at]) => at === x);
    box.append(element("p", head ? head[1] : `${shown(chart.x, x)}${chart.x.scale === "nines" ? " of the calls" : ""}`));
    const body = element("tbody");
    for (const one of list) {
      const row = element("tr");
      const name = within(element("th"), swatch(chart.series[one.seriesIndex]), ` ${one.seriesName}`);
      row.append(name, element("td", shown(chart.y, one.data.figure)));
      body.append(row);
      const said = chart.series[one.seriesIndex].tips[one.dataIndex];
      if (said) box.append(element("p", said));
    }
    return within(box, within(element("table"), body));
  }

  function option(chart, width, height) {
    const all = chart.series.flatMap((one) => one.points);
    const ys = totals(chart).concat(chart.marks.filter((one) => one.axis === "y").map((one) => one.at));
    const xs = all.map(([x]) => x);
    const room = Math.max(3, Math.floor((width - LEFT) / 75));
    const y = axisOf(chart.y, ys, Math.floor((height - TOP - BOTTOM) / 20), true);
    const items = chart.series.every((one) => one.tips.length || one.look === "points");
    return {
      animation: false,
      aria: { enabled: false },
      textStyle: { fontFamily: "inherit" },
      grid: { left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM, outerBoundsMode: "none" },
      legend: { show: false },
      tooltip: {
        trigger: items ? "item" : "axis", confine: true, transitionDuration: 0,
        backgroundColor: named("card"), borderColor: named("line"), textStyle: { color: named("ink") },
        axisPointer: { type: chart.x.scale === "names" ? "shadow" : "line", lineStyle: { color: named("muted") } },
        formatter: (found) => tip(chart, found),
      },
      xAxis: axisOf(chart.x, xs, room, false),
      yAxis: y,
      series: [...chart.series.map((one) => seriesOf(chart, one, y.min)), ...marksOf(chart, xs, ys)],
    };
  }

  // What an axis has to hold: bars and areas stand on each other.
  function totals(chart) {
    const stacked = new Map();
    const found = [];
    for (const series of chart.series) {
      for (const [x, y] of series.points) {
        if (y === null) continue;
        if (series.look === "bars" || series.look === "area") stacked.set(x, (stacked.get(x) ?? 0) + y);
        else found.push(y);
      }
    }
    return [...found, ...stacked.values()];
  }

  // ---- legends: buttons, for keys and for screens of any width

  function swatch(series) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const set = (name, attributes) => {
      const one = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
      made.append(one);
    };
    const tint = colour(series);
    for (const [key, value] of Object.entries({ width: 18, height: 10, "aria-hidden": "true" })) made.setAttribute(key, value);
    if (series.look === "bars" || series.look === "area") set("rect", { x: 3, y: 0, width: 12, height: 10, fill: tint });
    if (series.look === "line") {
      set("line", { x1: 0, y1: 5, x2: 18, y2: 5, stroke: tint, "stroke-width": 2, ...(series.dashed ? { "stroke-dasharray": "4 3" } : {}) });
    }
    if (series.look === "points" || (series.look === "line" && series.size > 4)) set(...mark(series.shape, tint));
    return made;
  }

  function mark(shape, tint) {
    if (shape === "diamond") return ["path", { d: "M9 1 13 5 9 9 5 5Z", fill: tint }];
    if (shape === "triangle") return ["path", { d: "M9 1 13 9 5 9Z", fill: tint }];
    if (shape === "rect") return ["rect", { x: 5.5, y: 1.5, width: 7, height: 7, fill: tint }];
    if (shape === "ring") return ["circle", { cx: 9, cy: 5, r: 3.5, fill: "none", stroke: tint, "stroke-width": 2 }];
    return ["circle", { cx: 9, cy: 5, r: 3.5, fill: tint }];
  }

  function legend(place, chart, drawn, hidden) {
    const buttons = chart.series.map((series) => {
      const button = element("button", "", { type: "button", "aria-pressed": String(!hidden.has(series.name)) });
      button.append(swatch(series), element("span", series.name));
      for (const [event, type] of [["pointerenter", "highlight"], ["pointerleave", "downplay"]]) {
        button.addEventListener(event, () => drawn.dispatchAction({ type, seriesName: series.name }));
      }
      button.addEventListener("click", () => {
        const on = hidden.delete(series.name);
        if (!on) hidden.add(series.name);
        button.setAttribute("aria-pressed", String(on));
        drawn.dispatchAction({ type: on ? "legendSelect" : "legendUnSelect", name: series.name });
      });
      return button;
    });
    place.replaceChildren(...(chart.series.length > 1 ? buttons : []));
  }

  // ---- figures of the page

  const places = new Map();
  for (const figure of document.querySelectorAll("figure[data-chart]")) places.set(figure.dataset.chart, figure);
  const drawings = new Map();

  function draw(chart) {
    const figure = places.get(chart.id);
    const plot = figure.querySelector(".plot");
    let found = drawings.get(chart.id);
    if (!found) {
      found = { drawn: echarts.init(plot, null, { renderer: "svg" }), hidden: new Set() };
      found.drawn.group = chart.group;
      drawings.set(chart.id, found);
      new ResizeObserver(() => resize(found)).observe(plot);
    }
    found.chart = chart;
    found.width = plot.clientWidth;
    found.drawn.setOption(option(chart, found.width, plot.clientHeight), { notMerge: true });
    for (const name of found.hidden) found.drawn.dispatchAction({ type: "legendUnSelect", name });
    legend(figure.querySelector(".legend"), chart, found.drawn, found.hidden);
    const title = figure.querySelector("h3");
    if (title) title.textContent = chart.title;
    figure.querySelector(".said").textContent = chart.summary;
    figure.querySelector(".axis").textContent = chart.y.name;
    plot.setAttribute("aria-label", `${chart.title}. ${chart.summary}`);
    fill(figure, chart);
  }

  // Tables are long: they are made when they are asked for.
  function fill(figure, chart) {
    const details = figure.querySelector("details.data");
    const show = () => {
      details.querySelector(".scroll")?.remove();
      if (details.open) details.append(tableOf(chart));
    };
    details.ontoggle = show;
    show();
  }

  function resize(found) {
    if (!found.drawn.getDom().clientWidth || found.drawn.getDom().clientWidth === found.width) return;
    found.drawn.resize();
    draw(found.chart);
  }

  let step = data.step;

  function drawStep() {
    const charts = data.steps[step] ?? [];
    const ids = new Set(charts.map((one) => one.id));
    for (const [id, figure] of places) {
      if (id.startsWith("time-")) figure.hidden = !ids.has(id);
    }
    charts.forEach(draw);
  }

  function drawAll() {
    data.charts.forEach(draw);
    drawStep();
  }

  document.getElementById("step")?.addEventListener("change", (event) => {
    step = Number(event.target.value);
    drawStep();
  });

  // ---- the theme

  const button = document.getElementById("theme");

  function themed() {
    button.setAttribute("aria-pressed", String(isDark()));
    drawAll();
  }

  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    themed();
  });
  prefersDark.addEventListener("change", themed);
  print.addEventListener("change", () => {
    for (const { drawn } of drawings.values()) drawn.resize();
    drawAll();
  });

  themed();
  echarts.connect("time");
  // For whoever looks from outside: the tests.
  window.report = { drawings, number, data };
}
