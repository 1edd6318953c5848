// What the keyboard does here: "?" lists it, "/" goes to the page's search. A key is written on what it presses.

const box = document.querySelector("[data-keys]");
const search = () => [...document.querySelectorAll("main input[type=search]")].find((e) => e.checkVisibility());

function said(kbd) {
  const owner = kbd.closest("button, a, label, summary") || kbd.parentElement;
  const words = owner.cloneNode(true);
  for (const each of words.querySelectorAll("kbd")) each.remove();
  return words.textContent.trim().replace(/\s+/g, " ") || owner.getAttribute("aria-label") || owner.title;
}

function line(key, words) {
  const row = document.createElement("div");
  const [name, text] = [document.createElement("dt"), document.createElement("dd")];
  const kbd = document.createElement("kbd");
  kbd.textContent = key;
  name.append(kbd);
  text.textContent = words;
  row.append(name, text);
  return row;
}

export function showKeys() {
  if (!box || document.querySelector("dialog[open]")) return;
  const here = [...document.querySelectorAll("kbd")].filter((kbd) => !box.contains(kbd) && !kbd.closest("[data-keys-open]"));
  const lines = new Map(here.map((kbd) => [`${kbd.textContent} ${said(kbd)}`, [kbd.textContent, said(kbd)]]));
  box.querySelector("[data-keys-here]").replaceChildren(...[...lines.values()].map(([key, words]) => line(key, words)));
  box.querySelector("[data-keys-search]").hidden = !search();
  box.showModal();
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  if (event.key === "?") {
    event.preventDefault();
    showKeys();
  } else if (event.key === "/" && search() && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    const folded = search().closest("details:not([open])");
    if (folded) folded.open = true;
    search().select();
  }
});

document.querySelector("[data-keys-open]")?.addEventListener("click", (event) => {
  event.target.closest("[data-menu]").open = false;
  showKeys();
});
