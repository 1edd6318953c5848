// The wall: shows the picture the server pushes and lets its clocks run. Found by data-wall. Never polls.
import { drawChart } from "./chart.js";

const STATES = ["busy", "reserved", "wrap_up", "ready", "not_ready"];
const POINTER_RESTS_AFTER_MS = 3000;
const RETRY_MS_MAX = 15000;
const SILENT_MS_MAX = 13000;

const wall = document.querySelector("[data-wall]");
if (wall) start(wall);

function start(wall) {
  const words = JSON.parse(wall.dataset.words);
  const limits = JSON.parse(wall.dataset.thresholds);
  const picture = { queues: new Map(), agents: new Map(), waiting: [] };
  const clock = { ahead: 0, now: () => Date.now() + clock.ahead };
  let pointerMoved = 0;
  let painting = false;

  const region = (name) => wall.querySelector(`[data-region="${name}"]`);
  const blank = (name) => wall.querySelector(`template[data-blank="${name}"]`).content.firstElementChild;

  const take = {
    wall(message) {
      picture.queues = new Map(message.queues.map((queue) => [queue.name, queue]));
      picture.agents = new Map(message.agents.map((agent) => [agent.id, agent]));
      picture.waiting = message.waiting;
      clock.ahead = Date.parse(message.now) - Date.now();
      paintSoon();
    },
    change(message) {
      for (const queue of message.queues ?? []) picture.queues.set(queue.name, queue);
      for (const agent of message.agents ?? []) picture.agents.set(agent.id, agent);
      for (const name of message.queues_gone ?? []) picture.queues.delete(name);
      for (const id of message.agents_gone ?? []) picture.agents.delete(id);
      picture.waiting = message.waiting ?? picture.waiting;
      clock.ahead = Date.parse(message.now) - Date.now();
      paintSoon();
    },
    chart(message) {
      region("chart-away").hidden = true;
      drawChart(wall, message, words);
    },
    chart_away() {
      region("chart-away").hidden = false;
    },
  };

  function paintSoon() {
    if (!painting) {
      painting = true;
      requestAnimationFrame(() => { painting = false; paint(); });
    }
  }

  function paint() {
    paintQueues();
    paintAgents();
    paintWaiting();
    paintTotals();
    tick();
    wall.dataset.drawn = "yes";
  }

  function paintQueues() {
    const rows = [...picture.queues.values()].map((queue) => {
      const row = find(region("queues"), queue.name) ?? make("queue", queue.name);
      say(row, "label", queue.label);
      say(row, "waiting", queue.waiting);
      row.querySelector("[data-cell=longest]").dataset.from = queue.longest_since ?? "";
      say(row, "service_level", percent(queue.service_level_percent));
      say(row, "promise", words.within.replace("%s", span(queue.service_level_seconds)));
      say(row, "offered", queue.offered);
      say(row, "answered", queue.answered);
      say(row, "abandoned", queue.abandoned);
      say(row, "expected", queue.expected_wait_seconds === null ? "–" : span(queue.expected_wait_seconds));
      for (const state of STATES) {
        const count = row.querySelector(`[data-state="${state}"]`);
        setText(count.querySelector("b"), queue.agents[state] ?? 0);
        count.dataset.none = queue.agents[state] ? "no" : "yes";
      }
      return row;
    });
    place(region("queues"), rows);
    region("queues-empty").hidden = rows.length > 0;
  }

  function paintAgents() {
    const groups = new Map([...STATES, "logged_off"].map((state) => [state, []]));
    const byName = [...picture.agents.values()].sort((a, b) => a.name.localeCompare(b.name));
    const hold = performance.now() - pointerMoved < POINTER_RESTS_AFTER_MS;
    for (const agent of byName) {
      const tile = find(region("agents"), agent.id) ?? make("agent", agent.id);
      const state = groups.has(agent.state) ? agent.state : "logged_off";
      paintAgent(tile, agent, state);
      const stays = hold && tile.isConnected;  // nothing moves from under the pointer
      groups.get(stays ? tile.parentElement.dataset.group : state).push(tile);
    }
    for (const [state, tiles] of groups) {
      place(region(`agents-${state}`), tiles);
      const group = wall.querySelector(`[data-group-of="${state}"]`);
      setText(group.querySelector("[data-count]"), tiles.length);
      group.dataset.none = tiles.length ? "no" : "yes";
    }
    region("agents-empty").hidden = picture.agents.size > 0;
    if (hold) setTimeout(paintSoon, POINTER_RESTS_AFTER_MS);
  }

  function paintAgent(tile, agent, state) {
    tile.dataset.state = state;
    say(tile, "name", agent.name);
    say(tile, "extension", agent.extension ?? "");
    tile.querySelector("[data-cell=time]").dataset.from = agent.since ?? "";
    tile.querySelector("[data-cell=time]").title = agent.since ? words.since.replace("%s", hour(agent.since)) : "";
    const call = agent.call;
    say(tile, "reason", state === "not_ready" ? agent.reason_label : "");
    const talk = tile.querySelector("[data-cell=talk]");
    setText(talk, call ? [arrow(call.direction), call.contact || call.display].join(" ") : "");
    talk.title = call ? [words.directions[call.direction], call.contact, call.display].filter(Boolean).join(" · ") : "";
    say(tile, "queue", call?.queue ? picture.queues.get(call.queue)?.label ?? call.queue : "");
  }

  function paintWaiting() {
    const rows = picture.waiting.map((call) => {
      const key = `${call.since} ${call.display}`;
      const row = find(region("waiting"), key) ?? make("waiting", key);
      say(row, "display", call.display);
      say(row, "queue", picture.queues.get(call.queue)?.label ?? call.queue);
      row.querySelector("[data-cell=time]").dataset.from = call.since;
      return row;
    });
    place(region("waiting"), rows);
    region("waiting-empty").hidden = rows.length > 0;
  }

  function paintTotals() {
    const queues = [...picture.queues.values()];
    const sum = (name) => queues.reduce((total, queue) => total + (queue[name] ?? 0), 0);
    const offered = sum("offered");
    const totals = { waiting: sum("waiting"), offered, answered: sum("answered"), abandoned: sum("abandoned") };
    for (const [name, value] of Object.entries(totals)) {
      for (const place of wall.querySelectorAll(`[data-total="${name}"]`)) setText(place, value);
    }
  }

  function tick() {
    const now = clock.now();
    for (const place of wall.querySelectorAll("[data-from]")) {
      const since = Date.parse(place.dataset.from);
      setText(place, Number.isNaN(since) ? place.dataset.without ?? "" : span((now - since) / 1000));
    }
    for (const queue of picture.queues.values()) {
      const row = find(region("queues"), queue.name);
      if (row) colour(row, judge(queue, now, limits, words));
    }
    for (const place of document.querySelectorAll("[data-wall-clock]")) setText(place, hour(new Date(now)));
  }

  function make(name, key) {
    const made = blank(name).cloneNode(true);
    made.dataset.key = key;
    return made;
  }

  wall.querySelector("[data-region=agents]").addEventListener("pointermove", () => { pointerMoved = performance.now(); });
  setInterval(tick, 1000);
  fullScreen();
  listen(wall, words, (message) => take[message.kind]?.(message));
}

// A row's level and the reason, in words. The worst reason wins.
export function judge(queue, now, limits, words) {
  const reasons = [];
  const add = (value, [amber, red], text, below = false) => {
    const beyond = (bound) => (below ? value < bound : value > bound);
    if (beyond(red)) reasons.push(["red", text(red)]);
    else if (beyond(amber)) reasons.push(["amber", text(amber)]);
  };
  const there = STATES.reduce((total, state) => total + (state === "not_ready" ? 0 : queue.agents[state] ?? 0), 0);
  if (queue.waiting > 0 && there === 0) reasons.push(["red", words.nobody]);
  if (queue.longest_since) {
    const waited = (now - Date.parse(queue.longest_since)) / 1000;
    const bounds = limits.wait_times_service_level.map((times) => times * queue.service_level_seconds);
    add(waited, bounds, (bound) => words.too_long.replace("%s", span(bound)));
  }
  if (queue.offered >= limits.offered_min) {
    if (queue.service_level_percent !== null) {
      add(queue.service_level_percent, limits.service_level_percent, (bound) => words.too_low.replace("%s", percent(bound)), true);
    }
    add((100 * queue.abandoned) / queue.offered, limits.abandoned_percent, (bound) => words.abandoned.replace("%s", percent(bound)));
  }
  return reasons.find(([level]) => level === "red") ?? reasons[0] ?? ["", ""];
}

function colour(row, [level, reason]) {
  if (row.dataset.level !== level) row.dataset.level = level;
  if (row.title !== reason) row.title = reason;
  say(row, "reason", reason);
}

function find(region, key) {
  return region.querySelector(`[data-key="${CSS.escape(String(key))}"]`);
}

// Puts the elements into the region in this order, touching only those that are elsewhere.
function place(region, elements) {
  elements.forEach((element, index) => {
    if (region.children[index] !== element) region.insertBefore(element, region.children[index] ?? null);
  });
  while (region.children.length > elements.length) region.lastElementChild.remove();
}

function say(row, cell, text) {
  setText(row.querySelector(`[data-cell="${cell}"]`), text);
}

function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function percent(number) {
  return number === null || number === undefined ? "–" : `${Math.round(number)} %`;
}

function hour(time) {
  return new Date(time).toLocaleTimeString(document.documentElement.lang || undefined, { hour: "2-digit", minute: "2-digit" });
}

function arrow(direction) {
  return { inbound: "↙", outbound: "↗", internal: "↔" }[direction] ?? "";
}

function fullScreen() {
  const button = document.querySelector("[data-full-screen]");
  const show = (full) => {
    document.documentElement.classList.toggle("wall-full", full);
    button.setAttribute("aria-pressed", full);
    const address = new URL(location);
    if (full) address.searchParams.set("full", "1"); else address.searchParams.delete("full");
    history.replaceState(null, "", address);
    dispatchEvent(new Event("resize"));
  };
  const toggle = async () => {
    const full = !document.documentElement.classList.contains("wall-full");
    show(full);
    try {
      if (full) await document.documentElement.requestFullscreen();
      else if (document.fullscreenElement) await document.exitFullscreen();
    } catch { /* the browser keeps its frame; the page is large all the same */ }
  };
  button.addEventListener("click", toggle);
  document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement) show(false); });
  document.addEventListener("keydown", (key) => {
    const typing = key.target.closest?.("input, textarea, select");
    if (key.key === "f" && !typing && !key.ctrlKey && !key.metaKey && !key.altKey) toggle();
    if (key.key === "Escape" && document.documentElement.classList.contains("wall-full") && !document.fullscreenElement) show(false);
  });
  if (new URL(location).searchParams.has("full")) show(true);
}

// Stays connected. While it is not, the page says so, since when, and that its numbers stand still.
// A line that was cut without a word is known by its silence: the server says something every five seconds.
function listen(wall, words, receive) {
  const notice = wall.querySelector("[data-region=lost]");
  const address = new URL(wall.dataset.wallLive, location);
  address.protocol = address.protocol.replace("http", "ws");
  let socket = null;
  let heard = 0;
  let lostAt = 0;
  let tries = 0;
  let again = 0;

  function connect() {
    clearTimeout(again);
    const mine = socket = new WebSocket(address);
    heard = performance.now();
    mine.onmessage = (message) => {
      if (mine !== socket) return;
      heard = performance.now();
      tries = 0;
      lostAt = 0;
      wall.dataset.connection = "up";
      notice.hidden = true;
      receive(JSON.parse(message.data));
    };
    mine.onclose = () => { if (mine === socket) lose(); };
  }

  function lose() {
    socket?.close();
    socket = null;
    lostAt ||= Date.now();
    wall.dataset.connection = "lost";
    tell();
    const wait = Math.min(RETRY_MS_MAX, 500 * 2 ** tries++);
    again = setTimeout(connect, wait * (0.75 + Math.random() / 2));
  }

  function tell() {
    if (!lostAt) return;
    notice.hidden = false;
    notice.querySelector("[data-cell=lost]").textContent = words.lost.replace("%s", span((Date.now() - lostAt) / 1000));
  }

  setInterval(() => {
    if (socket && performance.now() - heard > SILENT_MS_MAX) lose();
    tell();
  }, 1000);
  addEventListener("offline", () => { if (socket) lose(); });
  addEventListener("online", () => { if (!socket) connect(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  connect();
}
