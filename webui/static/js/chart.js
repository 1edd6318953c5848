// Two charts side by side, today and the same day of last week, on one scale. Drawn by uPlot.
import uPlot from "../vendor/uPlot.esm.js";

const LINES = ["offered", "answered", "abandoned"];
const charts = new Map();
let drawn = null;

export function drawChart(wall, message, words) {
  drawn = { wall, message, words };
  const top = Math.max(4, ...LINES.flatMap((line) => [...message.today[line], ...message.last_week[line]].map((n) => n ?? 0)));
  const [from, to] = hoursToShow(message);
  for (const day of ["today", "last_week"]) {
    const place = wall.querySelector(`[data-chart="${day}"]`);
    const minutes = message.today.offered.map((_, step) => step * message.minutes_per_step);
    const data = [minutes, ...LINES.map((line) => message[day][line])];
    charts.get(day)?.destroy();
    charts.set(day, new uPlot(options(place, words, [from, to], top), data, place));
  }
  tellInWords(wall, message, words);
}

function options(place, words, [from, to], top) {
  const style = getComputedStyle(place);
  const color = (name) => style.getPropertyValue(`--chart-${name}`).trim();
  const axis = { stroke: color("text"), grid: { stroke: color("grid"), width: 1 }, ticks: { stroke: color("grid"), width: 1 } };
  const font = `${Math.max(12, parseFloat(style.fontSize) * 0.8)}px ${style.fontFamily}`;
  const hours = (_, minutes) => (minutes === null ? "" : clock(minutes));
  const count = (_, number) => number ?? "";
  return {
    width: Math.max(240, place.clientWidth),
    height: Math.max(120, place.clientHeight),
    cursor: { sync: { key: "wall" }, points: { show: true }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: [from, to] }, y: { range: [0, top * 1.08] } },
    axes: [
      { ...axis, font, values: (_, splits) => splits.map(clock), incrs: [60, 120, 180, 240, 360], space: parseFloat(font) * 5 },
      { ...axis, font, size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
    ],
    series: [
      { label: words.hour, value: hours },
      { label: words.offered, value: count, stroke: color("offered"), width: 2, points: { show: false } },
      { label: words.answered, value: count, stroke: color("answered"), fill: color("answered-fill"), width: 2, points: { show: false } },
      { label: words.abandoned_line, value: count, stroke: color("abandoned"), width: 2, dash: [6, 3], points: { show: false } },
    ],
    legend: { live: true },
  };
}

// The hours in which anything happened on either day, never fewer than eight; so the night does not fill half of it.
function hoursToShow(message) {
  const busy = [];
  for (const day of [message.today, message.last_week]) {
    day.offered.forEach((number, step) => { if (number) busy.push(step * message.minutes_per_step); });
  }
  busy.push((message.steps - 1) * message.minutes_per_step);
  let from = Math.floor(Math.min(...busy) / 60) * 60;
  let to = Math.min(1440, Math.ceil((Math.max(...busy) + message.minutes_per_step) / 60) * 60);
  if (to - from < 480) {
    from = Math.max(0, Math.min(from, 1440 - 480));
    to = Math.max(to, from + 480);
  }
  return [from, to];
}

// The same in one sentence, for those who do not see the picture and for those in a hurry.
function tellInWords(wall, message, words) {
  for (const day of ["today", "last_week"]) {
    const text = LINES.reduce((text, line, at) => text.replace(`%${at + 1}`, message.sums[day][line]), words.sums);
    const place = wall.querySelector(`[data-sums="${day}"]`);
    if (place.textContent !== text) place.textContent = text;
  }
}

function clock(minutes) {
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}

function drawAgain() {
  if (drawn) drawChart(drawn.wall, drawn.message, drawn.words);
}

let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(drawAgain); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
