// Asks the server how it is, every second, and says so when it does not answer.

import {byId, dress, say} from "./elements.js";

const PERIOD_MS = 1000, PATIENCE_MS = 5000;

export function ask(tell) {
  let last = "the start";

  async function once() {
    const when = byId("when");
    try {
      const response = await fetch("api/status", {cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS)});
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const answer = await response.json();
      tell(answer, Date.now() / 1000);
      last = new Date().toLocaleTimeString("en-GB");
      say(when, last);
      dress(when, "faint right");
    } catch (error) {
      say(when, `no answer since ${last} (${error.message})`);
      dress(when, "right gone");
    } finally {
      // Pages that nobody looks at ask less often.
      setTimeout(once, document.hidden ? 10 * PERIOD_MS : PERIOD_MS);
    }
  }

  once();
}
