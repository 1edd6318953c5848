// A count that takes longer than a page may: [data-exact] is replaced by what its address answers, told the form
// of a builder when there is one. A count that is under way is given up when the form is changed.

let counting = null;

async function count() {
  counting?.abort();
  const place = document.querySelector("[data-exact]");
  if (!place) return;
  counting = new AbortController();
  const form = document.querySelector("form[data-builder]");
  const asked = form ? { method: "POST", body: new FormData(form) } : {};
  try {
    const answer = await fetch(place.dataset.exact, { ...asked, headers: { Accept: "text/html" }, signal: counting.signal });
    if (answer.ok && place.isConnected) place.outerHTML = await answer.text();
  } catch {
    // given up, or the server is away: what is there stays
  }
}

document.addEventListener("redrawn", count);
count();
