// Campaigns: the grid of hours by mouse and keyboard with what it means, what was typed and not saved, marks for all.

const DAYS = 7;
const HOURS = 24;

for (const box of document.querySelectorAll("[data-hours]")) hours(box);
for (const form of document.querySelectorAll("[data-wizard]")) unsaved(form);
for (const all of document.querySelectorAll("[data-mark-all]")) marks(all);
for (const area of document.querySelectorAll("[data-count]")) counted(area);
for (const line of document.querySelectorAll("[data-audience]")) audience(line);

function hours(box) {
  const grid = box.querySelector(".hours-grid");
  const cells = new Map([...grid.querySelectorAll("input")].map((input) => [input.value, input]));
  const at = (day, hour) => cells.get(`${day}-${hour}`);
  const place = (input) => input.value.split("-").map(Number);
  const destination = new Set(JSON.parse(box.dataset.destination));
  const presets = JSON.parse(box.dataset.presets);
  const respected = box.querySelector("[name=respect_destination_window]");
  const number = new Intl.NumberFormat(document.documentElement.lang);

  function say() {
    const preset = box.querySelector("[name=hours_preset]:checked")?.value;
    const chosen = preset === "custom" ? [...cells.values()].filter((input) => input.checked).map((input) => input.value) : presets[preset] ?? [];
    const callable = respected?.checked ? chosen.filter((cell) => destination.has(cell)) : chosen;
    const text = callable.length === chosen.length ? box.dataset.said : box.dataset.within;
    const said = text.replace("{hours}", number.format(callable.length)).replace("{all}", number.format(chosen.length));
    const line = box.querySelector("[data-says]");
    if (line.textContent !== said) line.textContent = said;
    for (const [cell, input] of cells) input.parentElement.classList.toggle("outside", Boolean(respected?.checked) && !destination.has(cell));
  }

  // One cell takes the Tab key; the arrows move from it, Shift and an arrow carries its tick along.
  function stand(input, focus) {
    for (const other of cells.values()) other.tabIndex = other === input ? 0 : -1;
    if (focus) input.focus();
  }
  stand(at(0, 8), false);
  grid.addEventListener("focusin", (event) => event.target.matches("input") && stand(event.target, false));
  grid.addEventListener("keydown", (event) => {
    if (!event.target.matches("input")) return;
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -HOURS], End: [0, HOURS] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [day, hour] = place(event.target);
    const next = at(within(day + step[0], DAYS), within(hour + step[1], HOURS));
    if (event.shiftKey) tick(next, event.target.checked);
    stand(next, true);
  });

  // Dragging ticks, or clears, what the pointer passes over: whichever the first cell became.
  let painting = null;
  let pressed = false; // by a mouse or pen, whose click comes after
  grid.addEventListener("pointerdown", (event) => {
    const input = event.target.closest("td label")?.querySelector("input");
    if (!input || event.button !== 0 || event.pointerType === "touch") return;
    event.preventDefault();
    painting = !input.checked;
    pressed = true;
    tick(input, painting);
    stand(input, true);
  });
  grid.addEventListener("pointerover", (event) => {
    const input = painting === null ? null : event.target.closest("td label")?.querySelector("input");
    if (input) tick(input, painting);
  });
  addEventListener("pointerup", () => { painting = null; setTimeout(() => { pressed = false; }); });
  grid.addEventListener("click", (event) => {
    if (pressed && event.target.closest("td label")) event.preventDefault(); // the press did it
  });

  // A day's or an hour's name ticks the whole of it, or clears it when it is full.
  for (const head of grid.querySelectorAll("[data-row], [data-column]")) {
    const mine = () => [...cells.values()].filter((input) => {
      const [day, hour] = place(input);
      return head.dataset.row !== undefined ? day === Number(head.dataset.row) : hour === Number(head.dataset.column);
    });
    const turn = () => { const full = mine().every((input) => input.checked); mine().forEach((input) => tick(input, !full)); };
    head.tabIndex = 0;
    head.addEventListener("click", turn);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); turn(); } });
  }

  const fill = box.querySelector("[data-fill]");
  fill.hidden = false;
  fill.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cells]");
    if (!button) return;
    for (const input of cells.values()) input.checked = false;
    for (const part of button.dataset.cells.split(",").filter(Boolean)) {
      const [days, range] = part.trim().split(" ").map((each) => each.split("-").map(Number));
      for (let day = days[0]; day <= days[1]; day++) for (let hour = range[0]; hour <= range[1]; hour++) at(day, hour).checked = true;
    }
    changed();
  });

  function tick(input, on) {
    if (input.checked !== on) {
      input.checked = on;
      changed();
    }
  }
  const changed = () => grid.dispatchEvent(new Event("change", { bubbles: true }));
  box.addEventListener("change", say);
  say();
}

// How many customers the chosen filter finds, as soon as it is chosen.
function audience(line) {
  const select = document.getElementById(line.dataset.of);
  let counting = null;
  const show = async (exact = "") => {
    counting?.abort();
    counting = new AbortController();
    const { signal } = counting;
    const asked = select.value;
    const answer = asked ? await fetch(`${line.dataset.audience}?filter=${asked}${exact}`, { signal }).catch(() => null) : null;
    const text = answer?.ok ? await answer.text() : "";
    if (signal.aborted || (exact && !text)) return; // another one was chosen meanwhile; or the estimate stays
    line.textContent = text;
    line.hidden = !text;
    if (!exact && answer?.headers.get("X-Exact") === "0") show("&exact=1");
  };
  select.addEventListener("change", () => show());
  show();
}

function within(value, bound) {
  return Math.min(bound - 1, Math.max(0, value));
}

// Leaving by a link or closing the page with something typed is asked about once by the browser.
function unsaved(form) {
  let typed = form.querySelector(".field-wrong") !== null;
  let sending = false;
  form.addEventListener("input", () => { typed = true; });
  form.addEventListener("change", () => { typed = true; });
  form.addEventListener("submit", () => { sending = true; });
  addEventListener("pageshow", () => { sending = false; });
  addEventListener("beforeunload", (event) => { if (typed && !sending) event.preventDefault(); });
}

function marks(all) {
  const boxes = () => [...all.closest("table").querySelectorAll("tbody input[type=checkbox]")];
  all.addEventListener("change", () => boxes().forEach((box) => { box.checked = all.checked; }));
  all.closest("table").addEventListener("change", () => {
    const count = boxes().filter((box) => box.checked).length;
    all.checked = count === boxes().length;
    all.indeterminate = count > 0 && count < boxes().length;
  });
}

function counted(area) {
  const hint = document.getElementById(area.getAttribute("aria-describedby"));
  if (!hint) return;
  const text = hint.textContent;
  const show = () => { hint.textContent = area.value ? `${text} · ${area.value.length}/${area.maxLength}` : text; };
  area.addEventListener("input", show);
  show();
}
