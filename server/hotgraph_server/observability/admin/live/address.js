// What the page's address remembers behind its #: which rows are open, the order, the filter.

const DEFAULT = {sort: "duty", up: false, filter: "", state: ""};

export function read() {
  const said = new URLSearchParams(location.hash.slice(1)), sort = said.get("sort") || "";
  return {
    open: new Set(said.getAll("open")),
    sort: sort.replace(/^-/, "") || DEFAULT.sort,
    up: sort ? !sort.startsWith("-") : DEFAULT.up,
    filter: said.get("filter") || "",
    state: said.get("state") || "",
  };
}

export function write(view) {
  const said = new URLSearchParams();
  if (view.sort !== DEFAULT.sort || view.up !== DEFAULT.up) said.set("sort", (view.up ? "" : "-") + view.sort);
  if (view.filter) said.set("filter", view.filter);
  if (view.state) said.set("state", view.state);
  for (const key of view.open) said.append("open", key);
  const text = said.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}
