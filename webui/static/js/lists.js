// Lists: on a narrow screen the filters stay folded until asked for, and a choice of several says what was chosen.

const narrow = matchMedia("(max-width: 760px)").matches;
for (const box of document.querySelectorAll("[data-filters]")) {
  if (narrow && !box.querySelector(".field-wrong")) box.open = false;
}

document.addEventListener("change", (event) => {
  const several = event.target.closest(".several");
  if (!several) return;
  const chosen = [...several.querySelectorAll(":checked")].map((box) => box.nextElementSibling.textContent);
  several.querySelector("summary > span").textContent = chosen.length ? chosen.join(", ") : several.dataset.all;
});
document.addEventListener("keydown", (key) => {
  const several = key.target.closest?.(".several[open]");
  if (key.key !== "Escape" || !several) return;
  several.open = false;
  several.querySelector("summary").focus();
  key.preventDefault();
});
