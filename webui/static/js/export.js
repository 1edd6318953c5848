// An export under way: its progress as the server tells it, and the finished page when it has ended. Found by data-export.
// One just asked for is fetched by itself, once. Found by data-fetch-now.

for (const job of document.querySelectorAll("[data-export]")) {
  const bar = job.querySelector("progress");
  const events = new EventSource(job.dataset.export);
  events.onmessage = (message) => {
    const { state, rows_done: done, rows_all: all } = JSON.parse(message.data);
    if (state !== "running") {
      events.close();
      location.reload();
    }
    if (all) {
      bar.max = all;
      bar.value = done;
      job.querySelector("[data-cell=all]").textContent = all;
    }
    job.querySelector("[data-cell=done]").textContent = done;
  };
}

for (const link of document.querySelectorAll("[data-fetch-now]")) {
  history.replaceState(null, "", location.pathname);
  link.click();
}
