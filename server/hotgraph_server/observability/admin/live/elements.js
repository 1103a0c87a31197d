// Elements of the page. Text only ever goes through textContent: names and messages come from elsewhere.

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function byId(id) { return document.getElementById(id); }

// Only where it is another: a selection stays.
export function say(node, text) { if (node.textContent !== text) node.textContent = text; }

export function dress(node, name) { if (node.className !== name) node.className = name; }

// Puts children in place without touching those that are: a selection, a focus or a tooltip stays.
export function fill(parent, children) {
  children.forEach((child, i) => {
    if (parent.children[i] !== child) parent.insertBefore(child, parent.children[i] || null);
  });
  while (parent.children.length > children.length) parent.lastElementChild.remove();
}

const tiles = new Map();

// A figure of the whole, in the page's row of tiles; made when it is first shown.
export function tile(label, value, bad = false) {
  if (!tiles.has(label)) {
    const text = element("b");
    byId("tiles").append(element("div", {class: "tile"}, text, element("span", {}, label)));
    tiles.set(label, text);
  }
  say(tiles.get(label), value);
  dress(tiles.get(label), bad ? "wrong" : "");
}

export function finding(kind, text, more) {
  const item = element("li", {class: `finding ${kind}`}, element("b", {}, text));
  if (more) item.append(element("span", {class: "faint"}, ` ${more}`));
  return item;
}

export function findings(found) {
  return found.map(({kind, text, advice}) => finding(kind, text, advice && `Next: ${advice}.`));
}

const SVG = "http://www.w3.org/2000/svg";

// A line without axes, for a cell.
export function sparkline() {
  const svg = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
  svg.setAttribute("viewBox", "0 0 60 16");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return {svg, draw(values) {
    const most = Math.max(...values, 0) || 1, from = 60 - values.length;
    line.setAttribute("points", values.map((y, i) => `${from + i},${(15 - 14 * y / most).toFixed(1)}`).join(" "));
  }};
}
