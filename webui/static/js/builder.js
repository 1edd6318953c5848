// A form the server draws anew with each change of its shape: data-builder. Without this script its buttons send
// the form and the page comes back with what was typed; with it only the form's parts are replaced.
//
// What has data-redraw draws every [data-part] again, data-redraw="tree order" only those and the live ones; typing
// draws only [data-part][data-live]. A search with data-find narrows the list of check boxes of that id.

const form = document.querySelector("form[data-builder]");
let asked = 0;
let waiting = 0;

async function redraw(extra, parts) {
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
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = drawn.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!next || !("live" in part.dataset || !parts || parts.includes(part.dataset.part))) continue;
    const scrolled = [...part.querySelectorAll("[id]")].filter((e) => e.scrollTop).map((e) => [e.id, e.scrollTop]);
    part.replaceChildren(...next.childNodes);
    for (const [id, top] of scrolled) document.getElementById(id)?.scrollTo(0, top);
  }
  for (const search of form.querySelectorAll("[data-find]")) narrow(search);
  if (parts?.length !== 0) document.getElementById(wanted || focused)?.focus();
  document.dispatchEvent(new CustomEvent("redrawn"));
}

// Which parts an element asks for: undefined is all of them, none are the live ones alone.
function partsOf(element) {
  return element.dataset.redraw ? element.dataset.redraw.split(" ") : undefined;
}

// Words without their accents: "Situação" is found by "situacao".
function bare(words) {
  return words.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function narrow(search) {
  const list = document.getElementById(search.dataset.find);
  const asked = bare(search.value.trim());
  search.hidden = false;
  for (const group of list.querySelectorAll("fieldset")) {
    for (const box of group.querySelectorAll("label")) box.hidden = !bare(box.textContent).includes(asked);
    group.hidden = !group.querySelector("label:not([hidden])");
  }
  list.querySelector("[data-none]").hidden = !!list.querySelector("fieldset:not([hidden])");
}

if (form) {
  for (const search of form.querySelectorAll("[data-find]")) {
    narrow(search);
    search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault(); // it only narrows the list
    });
  }
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.matches("[data-redraw]")) return;
    event.preventDefault();
    redraw([[button.name, button.value]], partsOf(button));
  });
  form.addEventListener("change", (event) => {
    clearTimeout(waiting);
    if (event.target.matches("[data-find]")) return;
    redraw([["do", "show"]], event.target.matches("[data-redraw]") ? partsOf(event.target) : []);
  });
  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-find]")) narrow(event.target);
    if (event.target.matches("select, [type=checkbox], [data-find]")) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => redraw([["do", "show"]], []), 500);
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
