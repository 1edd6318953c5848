// What every page does: times in the reader's zone, counters, menus that close, copied numbers, confirmations.

import { startTimes } from "./times.js";

startTimes(document);

// On a narrow screen the navigation scrolls: where one is stays in sight.
for (const here of document.querySelectorAll(":is(.places, .section) [aria-current]")) {
  here.parentElement.scrollLeft = here.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
}

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// A number is shown in national format and copied as E.164.
document.addEventListener("copy", (event) => {
  const chosen = window.getSelection();
  if (!chosen || chosen.rangeCount === 0) return;
  const at = chosen.anchorNode?.parentElement?.closest("[data-copy]");
  if (at && at.contains(chosen.focusNode)) {
    event.clipboardData.setData("text/plain", at.dataset.copy);
    event.preventDefault();
  }
});

// A form whose change cannot be undone asks once, with what will happen in the question: data-ask="...".
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.ask ?? event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A filter that changes sends its form at once: data-send-on-change.
document.addEventListener("change", (event) => event.target.closest("form[data-send-on-change]")?.requestSubmit());
