// What is asked for only when somebody opens it: <details data-load="/address"> with a data-loaded place inside.

const known = new Map();

async function load(details) {
  const place = details.querySelector("[data-loaded]");
  const address = details.dataset.load;
  if (!details.open || !place || place.dataset.loaded === address) return;
  place.dataset.loaded = address;
  if (known.has(address)) place.innerHTML = known.get(address);
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    known.set(address, await answer.text());
    place.innerHTML = known.get(address);
    const { writeTimes } = await import("./times.js");
    writeTimes(place);
  } catch {
    delete place.dataset.loaded;
  }
}

document.addEventListener("toggle", (event) => event.target.matches?.("details[data-load]") && load(event.target), true);
document.addEventListener("placed", (event) => event.target.querySelectorAll("details[data-load][open]").forEach(load));
