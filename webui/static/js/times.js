// Times: exact ones in the reader's zone, relative when recent, counters that move each second.

const lang = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang; // 21/11/2026 in both
const forms = {
  clock: new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit" }),
  day: new Intl.DateTimeFormat(lang, { day: "2-digit", month: "2-digit", year: "numeric" }),
  moment: new Intl.DateTimeFormat(lang, { day: "2-digit", month: "2-digit", year: "numeric", hour: "2-digit", minute: "2-digit" }),
  exact: new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "medium" }),
};
const relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
let ahead = 0; // milliseconds the server's clock is ahead of this machine's

export function serverNow(iso) {
  if (iso) ahead = Date.parse(iso) - Date.now();
  return Date.now() + ahead;
}

export function length(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function writeTimes(root) {
  for (const time of root.querySelectorAll("time[data-time]")) {
    const at = Date.parse(time.dateTime);
    const minutes = Math.round((at - serverNow()) / 60000);
    const text = time.dataset.time === "moment" && minutes > -60 && minutes <= 0
      ? relative.format(minutes, "minute") : forms[time.dataset.time].format(at).replace(", ", " ");
    if (time.textContent !== text) time.textContent = text;
    time.title = forms.exact.format(at);
  }
  count(root);
}

function count(root) {
  for (const time of root.querySelectorAll("[data-since]")) {
    const text = length(serverNow() - Date.parse(time.dataset.since));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of root.querySelectorAll("[data-until]")) {
    const text = length(Date.parse(time.dataset.until) - serverNow() + 999);
    if (time.textContent !== text) time.textContent = text;
  }
}

export function startTimes(root) {
  writeTimes(root);
  setInterval(() => count(root), 1000);
  setInterval(() => writeTimes(root), 30000);
}
