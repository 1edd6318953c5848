// An import under way: its progress as the server pushes it, and the finished page when it has ended. Found by
// data-import. A column that is left out looks so. Found by data-column.

for (const job of document.querySelectorAll("[data-import]")) {
  const bar = job.querySelector("progress");
  const cell = (name) => job.querySelector(`[data-cell=${name}]`);
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const events = new EventSource(job.dataset.import);
  events.onmessage = (message) => {
    const told = JSON.parse(message.data);
    if (told.state !== "running") {
      events.close();
      location.reload();
      return;
    }
    bar.value = Math.max(bar.value, told.share);
    if (cell("phase").textContent !== told.phase) cell("phase").textContent = told.phase;
    for (const name of ["read", "all", "rejected"]) cell(name).textContent = number.format(told[name]);
  };
}

for (const row of document.querySelectorAll("[data-column]")) {
  const choice = row.querySelector("select");
  choice.addEventListener("change", () => row.classList.toggle("gone", !choice.value));
}
