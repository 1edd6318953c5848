// A form the server draws anew with each change of its shape: data-builder. Without this script its buttons send
// the form and the page comes back with what was typed; with it only the form's parts are replaced.
//
// A button or a select with data-redraw draws every [data-part] again; typing draws only [data-part][data-live].

const form = document.querySelector("form[data-builder]");
let asked = 0;
let waiting = 0;

async function redraw(extra, liveOnly) {
  const mine = ++asked;
  const body = new FormData(form);
  for (const [name, value] of extra) body.set(name, value);
  let answer;
  try {
    answer = await fetch(form.dataset.draw ?? form.action, { method: "POST", body, headers: { Accept: "text/html" } });
  } catch {
    return; // the next change asks again
  }
  if (mine !== asked || !answer.headers.get("Content-Type")?.startsWith("text/html")) return;
  const drawn = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement?.id;
  const wanted = drawn.querySelector("[data-focus]")?.dataset.focus; // before its part moves into this page
  for (const part of document.querySelectorAll(liveOnly ? "[data-part][data-live]" : "[data-part]")) {
    const next = drawn.querySelector(`[data-part="${part.dataset.part}"]`);
    if (next) part.replaceChildren(...next.childNodes);
  }
  if (!liveOnly) document.getElementById(wanted || focused)?.focus();
  document.dispatchEvent(new CustomEvent("redrawn"));
}

if (form) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches("[data-redraw]")) return;
    event.preventDefault();
    redraw([[button.name, button.value]], false);
  });
  form.addEventListener("change", (event) => {
    clearTimeout(waiting);
    if (event.target.matches("[data-redraw]")) redraw([["do", "show"]], false);
    else redraw([["do", "show"]], true);
  });
  form.addEventListener("input", (event) => {
    if (event.target.matches("select, [type=checkbox]")) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => redraw([["do", "show"]], true), 500);
  });
}

// A word that is put into the text last written in: data-insert="{{nome}}".
let lastText = null;
document.addEventListener("focusin", (event) => {
  if (event.target.matches("textarea")) lastText = event.target;
});
document.addEventListener("click", (event) => {
  const word = event.target.closest("[data-insert]")?.dataset.insert;
  if (!word) return;
  const text = lastText?.isConnected ? lastText : form?.querySelector("textarea");
  if (!text) return;
  text.setRangeText(word, text.selectionStart, text.selectionEnd, "end");
  text.focus();
  text.dispatchEvent(new Event("input", { bubbles: true }));
});
