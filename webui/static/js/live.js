// A connection to the server that comes back by itself: requests, events, regions, and a banner while it is away.

import { length, serverNow, writeTimes } from "./times.js";

const PING_EVERY = 5000; // ms
const ANSWER_WITHIN = 6000; // ms until a silent connection counts as lost
const WAITS = [250, 500, 1000, 2000, 4000]; // ms between attempts, the last one again and again

export class Live extends EventTarget {
  // words: {lost: "... {time} ...", back: "..."}, said in the banner.
  constructor(path, words = {}) {
    super();
    this.path = path;
    this.words = words;
    this.waiting = new Map();
    this.next = 1;
    this.attempts = 0;
    this.lostAt = 0;
    this.banner = document.querySelector("[data-banner]");
    addEventListener("online", () => this.retry());
    addEventListener("offline", () => this.drop());
    document.addEventListener("visibilitychange", () => document.hidden || this.retry());
    setInterval(() => this.ping(), PING_EVERY);
    setInterval(() => this.tell(), 1000);
    this.open();
  }

  get up() {
    return this.socket?.readyState === WebSocket.OPEN && !this.lostAt;
  }

  open() {
    clearTimeout(this.timer);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${this.path}`);
    this.socket = socket;
    socket.onopen = () => socket === this.socket && this.dispatchEvent(new Event("open"));
    socket.onmessage = (frame) => socket === this.socket && this.take(JSON.parse(frame.data));
    socket.onclose = (closed) => socket === this.socket && this.lost(closed.code);
  }

  // The page says this once the server has answered its first request (or sent its first message).
  ready() {
    const was = this.lostAt;
    this.lostAt = this.attempts = 0;
    this.tell();
    if (was) this.dispatchEvent(new Event("back"));
  }

  drop() {
    const socket = this.socket;
    if (socket && socket.readyState <= WebSocket.OPEN) {
      this.socket = null;
      socket.close();
      this.lost(0);
    }
  }

  lost(code) {
    if (!this.lostAt) this.lostAt = Date.now();
    for (const { refuse } of this.waiting.values()) refuse({ code: "lost", message: this.words.unsent ?? "" });
    this.waiting.clear();
    this.tell();
    this.dispatchEvent(new Event("lost"));
    clearTimeout(this.timer);
    const wait = WAITS[Math.min(this.attempts++, WAITS.length - 1)];
    this.timer = setTimeout(() => this.open(), wait * (0.8 + 0.4 * Math.random()));
    if (code === 4401) location.reload();
    if (code === 1006 && this.attempts % 4 === 3) this.stillLoggedIn();
  }

  // A socket refused again and again may mean that the session is over: the login page says so better than a banner.
  async stillLoggedIn() {
    try {
      const answer = await fetch("/profile", { method: "HEAD", redirect: "manual", headers: { Accept: "text/plain" } });
      if (answer.status === 401) location.reload();
    } catch { /* no network: the banner already says so */ }
  }

  retry() {
    if (this.lostAt && this.socket?.readyState !== WebSocket.CONNECTING && this.socket?.readyState !== WebSocket.OPEN) {
      this.attempts = 0;
      this.open();
    }
  }

  async ping() {
    if (this.up && !this.pinging) {
      this.pinging = true;
      const socket = this.socket;
      const late = setTimeout(() => socket === this.socket && this.drop(), ANSWER_WITHIN);
      await this.request("Ping").catch(() => {});
      clearTimeout(late);
      this.pinging = false;
    }
  }

  // Resolves with the answer; rejects with {code, message, details}, in words for the person.
  async request(verb, fields = {}) {
    if (this.socket?.readyState === WebSocket.CONNECTING && !this.lostAt) { // the page was quicker than its connection
      await new Promise((go) => ["open", "lost"].forEach((what) => this.addEventListener(what, go, { once: true })));
    }
    return new Promise((resolve, refuse) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        refuse({ code: "lost", message: this.words.unsent ?? "" });
        return;
      }
      const id = this.next++;
      this.waiting.set(id, { resolve, refuse });
      this.socket.send(JSON.stringify({ ...fields, id, verb }));
    });
  }

  take(message) {
    if (message.regions) place(message.regions);
    if (message.id !== undefined && message.id !== null) {
      const asked = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.ok) asked?.resolve(message);
      else asked?.refuse(message.error);
    } else {
      this.dispatchEvent(new CustomEvent("event", { detail: message }));
    }
  }

  tell() {
    if (!this.banner) return;
    const text = this.lostAt ? (this.words.lost ?? "").replace("{time}", length(Date.now() - this.lostAt)) : "";
    this.banner.hidden = !(this.lostAt && Date.now() - this.lostAt > 700);
    if (this.banner.textContent !== text) this.banner.textContent = text;
  }
}

// Put new HTML where the regions are. What is being typed, chosen, opened or focused in a region stays; a region
// holding an element with data-keep="x" is left alone while the new HTML has the same.
export function place(regions) {
  for (const [name, html] of Object.entries(regions)) {
    const region = document.querySelector(`[data-region="${name}"]`);
    if (!region) continue;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const kept = region.querySelector("[data-keep]")?.dataset.keep;
    if (kept && fresh.content.querySelector("[data-keep]")?.dataset.keep === kept) continue;
    const before = remember(region);
    region.replaceChildren(fresh.content);
    restore(region, before);
    writeTimes(region);
    region.dispatchEvent(new CustomEvent("placed", { bubbles: true }));
  }
}

const typed = (input) => input.form?.dataset.typed !== undefined && input.name && input.type !== "hidden";
// What nobody touched takes what the server now says.
function changed(input) {
  if (twoStates(input)) return input.checked !== input.defaultChecked;
  if (input.options) return [...input.options].some((option) => option.selected !== option.defaultSelected);
  return input.value !== input.defaultValue;
}
const twoStates = (input) => input.type === "checkbox" || input.type === "radio";
const key = (input) => `${input.form?.dataset.typed}|${input.name}|${input.type === "radio" ? input.value : ""}`;

function remember(region) {
  const focus = region.contains(document.activeElement) ? document.activeElement : null;
  return {
    values: new Map([...region.querySelectorAll("input, select, textarea")].filter((input) => typed(input) && changed(input))
      .map((input) => [key(input), twoStates(input) ? input.checked : input.value])),
    open: new Set([...region.querySelectorAll("details[open][id]")].map((details) => details.id)),
    scroll: new Map([...region.querySelectorAll("[data-scroll]")].map((box) => [box.dataset.scroll, box.scrollTop])),
    focus: focus && (focus.id ? `#${CSS.escape(focus.id)}` : focus.dataset.key ? `[data-key="${focus.dataset.key}"]` : focus.name && `[name="${CSS.escape(focus.name)}"]`),
    range: focus && "selectionStart" in focus && !twoStates(focus) ? [focus.selectionStart, focus.selectionEnd] : null,
  };
}

function restore(region, before) {
  for (const input of [...region.querySelectorAll("input, select, textarea")].filter(typed)) {
    const value = before.values.get(key(input));
    if (value === undefined) continue;
    if (twoStates(input)) input.checked = value;
    else input.value = value;
  }
  for (const id of before.open) region.querySelector(`details[id="${CSS.escape(id)}"]`)?.setAttribute("open", "");
  for (const box of region.querySelectorAll("[data-scroll]")) box.scrollTop = before.scroll.get(box.dataset.scroll) ?? 0;
  if (before.focus) {
    const found = region.querySelector(before.focus);
    found?.focus({ preventScroll: true });
    if (found && before.range && before.range[0] !== null) {
      try { found.setSelectionRange(...before.range); } catch { /* a kind of field without a caret */ }
    }
  }
}

export { serverNow };
