// The agent's desk: places what the server draws, sends what is pressed and typed. It holds no state of its own:
// what it must know about the call it reads from the regions.

import { Live, serverNow } from "./live.js";
import { Media } from "./webrtc.js";
import { Ring } from "./ring.js";
import { keepDraft } from "./draft.js";
import { stationDialog } from "./station.js";
import { showLine } from "./line.js";
import { toast } from "./toast.js";

const main = document.querySelector("[data-desk]");
const words = JSON.parse(main.dataset.words);
const find = (selector, root = document) => root.querySelector(selector);
const title = document.title;

serverNow(main.dataset.now);
let stream = main.dataset.stream;
let last = Number(main.dataset.seq);

export const live = new Live("/live", words);
const ring = new Ring();
const media = new Media({
  offer: (sdp) => live.request("MediaOffer", { sdp }).then((answer) => answer.sdp),
  report: (state, detail) => live.request("MediaReport", { state, detail }).catch(() => {}),
});
export const draft = keepDraft(live, words);
const station = stationDialog({ live, media, words, about });
showLine(media, words);

// What the server says about us, read where it is drawn.
function about() {
  const status = find("[data-agent]").dataset;
  const call = find("[data-call]").dataset;
  return {
    agent: status.agent, station: status.station, stationState: status.stationState, extension: status.extension,
    call: call.call, state: call.state, muted: call.muted === "true", display: call.display, queue: call.queue,
  };
}

live.addEventListener("open", async () => {
  const answer = await live.request("Attach", { stream, last_event: last, page: main.dataset.page }).catch(() => null);
  if (!answer) return;
  stream = answer.stream;
  last = answer.seq;
  serverNow(answer.snapshot.now);
  live.ready();
  draft.resend();
  settle();
});
live.addEventListener("back", () => toast(words.back, "ok"));
live.addEventListener("event", ({ detail }) => {
  last = Math.max(last, detail.seq ?? 0);
  if (detail.event === "FormDrafted") draft.elsewhere(detail.form);
  settle();
});

let told = {};
// After each message: sound, audio and title follow what is drawn now.
function settle() {
  const now = about();
  const talking = ["connected", "held", "reconnecting", "dialing"].includes(now.state);
  if (now.station === "webrtc") media.start();
  else media.stop();
  media.speak(talking, now.muted);
  if (told.stationState === "ok" && now.stationState === "no_media") media.lost();
  if (now.state === "ringing") ring.start(now.call, words.call_from.replace("{number}", now.display), now.queue);
  else ring.stop();
  document.title = now.state === "ringing" ? `☎ ${now.display} · ${words.ringing}` : talking ? `● ${now.display} · Ramal` : title;
  if (now.call && now.call !== told.call) find(".desk-call").scrollIntoView({ block: "nearest" });
  trouble(now);
  station.settle(now);
  told = now;
}

// What is missing, in words, with what to do about it.
function trouble(now = about()) {
  let text = "";
  if (now.station === "webrtc") {
    if (media.state === "elsewhere") text = words.elsewhere;
    else if (["no_microphone", "no_permission", "insecure", "no_media_path"].includes(media.state)) text = words[media.state];
  } else if (now.station === "softphone" && ["not_registered", "taken"].includes(now.stationState)) {
    text = words[now.stationState];
  }
  const box = find("[data-trouble]");
  if (find("p", box).textContent !== text) find("p", box).textContent = text;
  find("[data-retry]", box).textContent = media.state === "elsewhere" ? words.take : words.retry;
  box.dataset.look = media.state;
  find("[data-retry]", box).hidden = now.station !== "webrtc";
  box.hidden = !text || find("[data-station-dialog]").open;
}
media.addEventListener("state", () => trouble());
find("[data-station-dialog]").addEventListener("close", () => trouble());
find("[data-retry]").addEventListener("click", () => media.take());
live.addEventListener("back", () => media.check());

// A button is a form; here it goes over the connection and its refusal is said beside it.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.dataset.verb) return;
  event.preventDefault();
  if (form.dataset.sending !== undefined) return;
  form.dataset.sending = "";
  try {
    if (form.matches("[data-tabulation]")) await draft.save(form);
    else await send(form);
  } finally {
    delete form.dataset.sending;
  }
});

async function send(form) {
  const verb = form.dataset.verb;
  if (verb === "AnswerCall") media.speak(true, false); // the microphone is on before the customer is
  find("[data-menu][open]")?.removeAttribute("open");
  try {
    await live.request(verb, fields(form));
    if (verb === "MakeCall" && form.dataset.typed) form.elements.number.value = "";
    form.querySelector("[data-refusal]")?.setAttribute("hidden", "");
  } catch (refused) {
    const place = find("[data-refusal]", form);
    if (place) {
      place.textContent = refused.message;
      place.hidden = false;
    } else toast(refused.message, "bad");
    const field = refused.details?.field && form.elements[refused.details.field];
    field?.focus?.();
    settle();
  }
}

function fields(form) {
  const sent = {};
  for (const [name, value] of new FormData(form)) {
    if (name === "csrf" || value === "") continue;
    if (name === "on" || name === "internal" || name === "blended") sent[name] = value === "true";
    else if (name === "contact") sent[name] = Number(value);
    else if (name === "phones") sent[name] = value.split(",").map((phone) => phone.trim()).filter(Boolean);
    else sent[name] = value;
  }
  if (form.dataset.verb === "MakeCall") {
    sent.number = sent.number ?? "";
    sent.internal = form.elements.internal?.type === "checkbox" ? form.elements.internal.checked : Boolean(sent.internal);
  }
  if (form.dataset.verb === "CreateContact") sent.name = sent.name ?? "";
  return sent;
}

// Searching a customer by name, number or document.
document.addEventListener("submit", async (event) => {
  if (!event.target.matches("[data-search]")) return;
  event.preventDefault();
  const place = find("[data-found]", event.target.parentElement);
  try {
    const { contacts } = await live.request("SearchContacts", { text: event.target.elements.text.value });
    const list = find("[data-found-template]").content.firstElementChild.cloneNode(true);
    for (const contact of contacts) {
      const row = find("[data-candidate-template]").content.firstElementChild.cloneNode(true);
      find("[data-name]", row).textContent = contact.name;
      find("[data-about]", row).textContent = [contact.company, contact.phones[0]?.display].filter(Boolean).join(" · ");
      find("[name=call]", row).value = about().call;
      find("[name=contact]", row).value = contact.id;
      list.append(row);
    }
    place.replaceChildren(contacts.length ? list : words.found_none);
  } catch (refused) {
    place.replaceChildren(refused.message);
  }
});

// The keypad writes digits; during a call it sends them as tones.
document.addEventListener("click", (event) => {
  const open = event.target.closest("[data-open]")?.dataset.open;
  if (open === "station") station.open();
  else if (open) openMenu(open);
  const digit = event.target.closest("[data-digit]")?.dataset.digit;
  const number = find("#dial-number");
  if (digit) {
    number.value += digit;
    if (find("[data-tones]")) tone(digit);
  } else if (event.target.closest("[data-erase]")) {
    number.value = number.value.slice(0, -1);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.target.id === "dial-number" && find("[data-tones]") && /^[0-9*#]$/.test(event.key)) tone(event.key);
});
const tone = (digits) => live.request("GenerateDigits", { digits }).catch((refused) => toast(refused.message, "bad"));

function openMenu(id) {
  const menu = document.getElementById(id);
  setTimeout(() => { // after the click that would close it
    menu.open = true;
    (find("[name=state][value=not_ready]", menu)?.form ?? menu).querySelector("button")?.focus();
  });
}

document.addEventListener("input", (event) => {
  const wanted = event.target.dataset.filter && event.target.value.trim().toLowerCase();
  if (wanted === undefined || wanted === "" && !event.target.dataset.filter) return;
  filter(event.target);
});
document.addEventListener("placed", (event) => event.target.querySelectorAll("[data-filter]").forEach(filter));
function filter(input) {
  const wanted = input.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(input.dataset.filter)) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}

// Keys are those shown on the buttons: data-key="F8 Enter". Enter answers only where it would not do something else.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.shiftKey || event.metaKey || event.repeat) return;
  const key = (event.ctrlKey ? "Control+" : "") + event.key;
  if (key === "Enter" && event.target.closest("input, textarea, select, button, a, summary, dialog")) return;
  if (event.ctrlKey && key !== "Control+Enter") return;
  const button = [...document.querySelectorAll("[data-key]")].find((b) => b.dataset.key.split(" ").includes(key) && !b.disabled && b.checkVisibility());
  if (button) {
    event.preventDefault();
    button.click();
  } else if (["F2", "F4", "F6", "F7", "F8", "F9"].includes(key)) {
    event.preventDefault(); // never the browser's own meaning of a key that is ours a moment later
  }
});
// Arrow keys walk through an open menu.
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("[data-menu][open]");
  if (!menu || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  event.preventDefault();
  const all = [...menu.querySelectorAll("button:not([disabled]), a")];
  const at = all.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
  all[(at + all.length) % all.length]?.focus();
});

settle();
