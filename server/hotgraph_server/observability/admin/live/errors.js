// The last errors, with what their callers were told.

import {byId, element, fill, say} from "./elements.js";
import {ago, clock, number} from "./words.js";

const SHOWN = 8;

// A list of errors; `named`: it says whose they are.
export class ErrorList {
  constructor(named) {
    this.named = named;
    this.items = new Map();
    this.list = element("ul", {class: "errors"});
    this.more = element("button", {type: "button", class: "plain"});
    this.more.addEventListener("click", () => { this.all = true; this.draw(this.errors, this.now); });
    this.all = false;
    this.node = element("div", {}, this.list, this.more);
  }

  // `now`: seconds since the epoch, by the server's clock.
  draw(errors, now) {
    this.errors = errors;
    this.now = now;
    const shown = this.all ? errors : errors.slice(0, SHOWN), kept = new Map();
    for (const error of shown) {
      const key = [error.model, error.version, error.signature, error.status, error.text].join("\n");
      const item = this.items.get(key) || this.#item(error);
      say(item.when, `${clock(error.at_s)} · ${ago(now - error.at_s)}`);
      say(item.times, error.times > 1 ? `${number(error.times)} times` : "once");
      kept.set(key, item);
    }
    this.items = kept;
    fill(this.list, [...kept.values()].map(item => item.node));
    this.more.hidden = shown.length === errors.length;
    say(this.more, `show all ${errors.length}`);
  }

  #item(error) {
    const when = element("span", {class: "faint"}), times = element("span", {class: "faint"});
    const whose = [error.model || "no model", error.version ? `v${error.version}` : "", error.signature].filter(Boolean).join(" · ");
    const head = element("div", {class: "error-head"}, element("span", {class: "status"}, error.status));
    if (this.named) head.append(element("span", {class: "whose"}, whose));
    else if (error.signature) head.append(element("span", {class: "whose"}, error.signature));
    head.append(times, when);
    return {when, times, node: element("li", {}, head, element("code", {}, error.text))};
  }
}

let all = null;

export function drawErrors(answer) {
  if (!all) {
    all = new ErrorList(true);
    byId("errors").append(all.node);
  }
  all.draw(answer.errors, answer.wall_s);
  say(byId("errors-about"), answer.errors.length ? "equal ones are joined" : "none since the start");
}
