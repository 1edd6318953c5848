// An agent's work in a campaign, on the desk's connection: the contact window, the script, the outcome.

import { live, draft } from "./desk.js";
import { toast } from "./toast.js";
import "./load.js";

const AFTER = 500; // ms without typing
const FORMS = "[data-window], [data-made], [data-outcome]";
const frame = document.querySelector("[data-taken]");
const find = (selector, root = document) => root.querySelector(selector);

// Everything typed into a form, without what is empty.
function values(form) {
  const typed = {};
  for (const [name, value] of new FormData(form)) if (name !== "csrf" && name !== "verb" && value !== "") typed[name] = value;
  return typed;
}

// What each button asks for.
const ASKS = {
  not_dialed: ({ item }) => ["SaveWithoutDialing", { item, status: "not_dialed" }],
  DialItem: ({ item, number }) => ["DialItem", { item, number }],
  SaveWithoutDialing: (typed) => ["SaveWithoutDialing", typed],
  BlockNumber: ({ item, number, note, record }) => ["BlockNumber", { item, number, note, record: record === "1" }],
  ExitItem: ({ item }) => ["ExitItem", { item }],
  NextItem: ({ item }) => ["ExitItem", { item }],
  RecordContact: (typed) => ["RecordContact", typed],
  SetOutcome: ({ status, again_date, ...typed }) => ["SetOutcome", typed],
  voicemail: ({ item, note }) => ["SetOutcome", { item, note, status: "voicemail" }],
  wrong_number: ({ item, note }) => ["SetOutcome", { item, note, wrong_number: true }],
  no_contact: ({ item, note, status, again_date }) => ["SetOutcome", { item, note, status, no_contact: true, callback_date: again_date }],
  again: ({ item, number }) => ["DialItem", { item, number }],
  block: ({ item, number, note }) => ["BlockNumber", { item, number, note }],
};

const SAVES = ["SaveWithoutDialing", "RecordContact", "SetOutcome"];
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches(FORMS)) return;
  event.preventDefault();
  if (form.dataset.sending !== undefined) return;
  form.dataset.sending = "";
  const campaign = Number(find("[data-work]")?.dataset.campaign);
  const button = event.submitter?.value ?? (form.matches("[data-window]") ? "DialItem" : form.matches("[data-made]") ? "RecordContact" : "SetOutcome");
  clearTimeout(timer);
  typing = null;
  say(form, "", {});
  try {
    const [verb, asked] = ASKS[button](values(form));
    if (button === "SetOutcome") {
      const answers = draft.now();
      if (answers) asked.answers = answers;
    }
    const contact = find("[data-work]")?.dataset.contact;
    const answer = await live.request(verb, asked);
    if (SAVES.includes(verb) && !answer.work) {
      kept = null;
      toast(frame.dataset.saved.replace("{contact}", contact), "ok");
    }
    if (answer.waits_until) toast(frame.dataset.waits.replace("{time}", day(answer.waits_until)), "bad");
    if (button === "NextItem") await live.request("NextItem", { campaign });
  } catch (refused) {
    const { callback_at, ...others } = refused.details?.errors ?? {};
    if (button === "no_contact" && callback_at) refused.details.errors = { ...others, again_at: callback_at };
    refusedWith(form, refused);
  } finally {
    delete form.dataset.sending;
  }
});

const day = (at) => new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "short", timeStyle: "short" }).format(new Date(at));

// A refusal stands beside the fields it concerns, those of the tabulation too; else in the window itself.
function refusedWith(form, refused) {
  const errors = refused.details?.errors ?? {};
  const here = Object.fromEntries(Object.entries(errors).filter(([name]) => find(`[data-field="${name}"]`, form)));
  const others = Object.fromEntries(Object.entries(errors).filter(([name]) => !(name in here)));
  const inForm = Object.keys(others).some((name) => find(`#tabulation [data-field="${name}"]`));
  if (inForm) draft.refused(others);
  const place = form.isConnected ? form : find(`[data-typed="${form.dataset.typed}"]`) ?? find(FORMS);
  if (!place) toast(refused.message, "bad"); // the person is no longer before the agent
  else say(place, inForm || Object.keys(here).length || find("[data-window-refusal]") ? "" : refused.message, here);
}

function say(form, message, errors) {
  const whole = find("[data-refusal]", form);
  if (whole) {
    whole.textContent = message;
    whole.hidden = !message;
  } else toast(message, "bad");
  for (const field of form.querySelectorAll("[data-field]")) {
    const wrong = errors[field.dataset.field];
    field.classList.toggle("field-wrong", Boolean(wrong));
    const note = find("[data-wrong]", field);
    if (!note) continue;
    find("span", note).textContent = wrong ?? "";
    note.hidden = !wrong;
  }
  const first = find(".field-wrong :is(input, select, textarea)", form);
  first?.closest("details")?.setAttribute("open", "");
  first?.focus();
}

// What is typed is kept by the server, and comes back with the page.
let timer = 0;
let typing = null;
let kept = null; // what was typed last, and of whom
function keep() {
  clearTimeout(timer);
  const form = typing;
  typing = null;
  if (!form?.isConnected || form.dataset.sending !== undefined) return;
  const { item, ...typed } = values(form);
  for (const input of form.elements) if (input.name && input.type !== "radio") typed[input.name] ??= "";
  kept = { item, values: { ...(kept?.item === item && kept.values), ...typed } };
  live.request("DraftItem", { item, values: typed }).then(() => (form.dataset.kept = ""), () => (typing ??= form));
}
document.addEventListener("input", (event) => {
  const form = event.target.closest(FORMS);
  if (!form) return;
  typing = form;
  delete form.dataset.kept;
  clearTimeout(timer);
  timer = setTimeout(keep, AFTER);
});
// A server that was started again knows the person in hand, and not what was being typed.
live.addEventListener("back", () => {
  if (!kept || find("[data-work]")?.dataset.work !== kept.item) return;
  for (const form of document.querySelectorAll(FORMS)) {
    for (const [name, value] of Object.entries(kept.values)) {
      for (const input of value ? form.querySelectorAll(`[name="${name}"]`) : []) {
        if (input.type === "radio") input.checked ||= input.value === value && !find(`[name="${name}"]:checked`, form);
        else if (input.type === "checkbox") input.checked = true;
        else if (input.type !== "hidden") input.value ||= value;
        input.closest("details")?.setAttribute("open", "");
      }
    }
  }
  settle();
  live.request("DraftItem", kept).catch(() => {});
});
document.addEventListener("focusout", keep);
addEventListener("pagehide", keep);
document.addEventListener("visibilitychange", () => document.hidden && keep());

// The service record can be left out only of a block (UAU-56).
function record() {
  const box = find("[data-record]");
  if (!box) return;
  const blocking = find("#w-status")?.value === "block";
  box.disabled = !blocking;
  if (!blocking) box.checked = true;
}

// An action type brings its script and its outcomes; an outcome says the result.
function action() {
  const type = find("[data-action-type]");
  if (!type) return;
  const script = type.selectedOptions[0]?.dataset.script ?? "";
  const box = find("[data-action-script]");
  box.hidden = !script;
  find("p", box).textContent = script;
  const outcome = find("[data-action-outcome]");
  for (const option of outcome.options) option.hidden = option.disabled = Boolean(option.dataset.type) && option.dataset.type !== type.value;
  if (outcome.selectedOptions[0]?.disabled) outcome.value = "";
}
document.addEventListener("change", (event) => {
  if (event.target.matches("#w-status")) record();
  if (event.target.matches("[data-action-type]")) action();
  if (event.target.matches("[data-action-outcome]")) choose(event.target.selectedOptions[0]?.dataset.result);
  if (event.target.name === "a.category") {
    const success = (event.target.selectedOptions?.[0] ?? event.target).dataset.success;
    if (success && !find("[data-outcome] [name=result]:checked")) choose(success === "true" ? "success" : "failure");
  }
});
function choose(result) {
  const radio = result && find(`:is([data-outcome], [data-made]) [name=result][value=${result}]`);
  if (radio) radio.checked = true;
}
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-add-script]")) return;
  const conversation = find("#o-conversation");
  const script = find("[data-action-script] p").textContent;
  conversation.value = [conversation.value.trim(), script].filter(Boolean).join("\n\n");
  conversation.dispatchEvent(new Event("input", { bubbles: true }));
  conversation.focus();
});
// The fields of the form that the script's step asks for stand out, and a click on their name leads there.
function asks() {
  const wanted = (find("[data-asks]")?.dataset.asks ?? "").split(" ");
  for (const field of document.querySelectorAll("#tabulation [data-field]")) field.classList.toggle("asked", wanted.includes(field.dataset.field));
}
document.addEventListener("click", (event) => {
  const name = event.target.closest("[data-goto]")?.dataset.goto;
  const field = name && find(`#tabulation [data-field="${name}"]`);
  if (!field) return;
  event.preventDefault();
  field.scrollIntoView({ block: "center" });
  find("input, select, textarea", field)?.focus({ preventScroll: true });
});
function settle() {
  record();
  action();
  asks();
}
document.addEventListener("placed", settle);
settle();

// The list is read again once somebody is finished with; who is lost to another is told.
live.addEventListener("event", ({ detail }) => {
  if (detail.event === "ItemLost") toast(lost(detail), "bad");
  if (detail.event === "WorkChanged" && !detail.work) people();
});

function lost({ contact, by, freed_by, reason }) {
  const words = by ? frame.dataset.taken : freed_by ? frame.dataset.freedBy : frame.dataset.freed;
  return words.replace("{contact}", contact).replace("{by}", by ?? freed_by).replace("{why}", reason);
}

async function people() {
  const list = find("[data-people]");
  if (!list) return;
  const answer = await fetch(list.dataset.people, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  list.innerHTML = await answer.text();
  const { writeTimes } = await import("./times.js");
  writeTimes(list);
  if (document.activeElement === document.body) find("[data-verb=NextItem] button", list)?.focus({ preventScroll: true });
}

