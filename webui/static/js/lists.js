// Lists: on a narrow screen the filters stay folded until asked for, and a choice of several says what was chosen.

const narrow = matchMedia("(max-width: 760px)").matches;
for (const box of document.querySelectorAll("[data-filters]")) {
  if (narrow && !box.querySelector(".field-wrong")) box.open = false;
}

for (const several of document.querySelectorAll(".several")) {
  const said = several.querySelector("summary > span");
  const all = several.dataset.all;
  several.addEventListener("change", () => {
    const chosen = [...several.querySelectorAll(":checked")].map((box) => box.nextElementSibling.textContent);
    said.textContent = chosen.length ? chosen.join(", ") : all;
  });
  several.addEventListener("keydown", (key) => {
    if (key.key === "Escape" && several.open) {
      several.open = false;
      several.querySelector("summary").focus();
      key.preventDefault();
    }
  });
}
