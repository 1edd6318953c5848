// Line quality and microphone level in the bar, by words, bars and a meter.

export function showLine(media, words) {
  const box = document.querySelector("[data-line]");
  const quality = box.querySelector("[data-line-quality]");
  const mic = box.querySelector("[data-line-mic]");
  const meter = mic.querySelector("meter");
  let heardAt = Date.now();

  function say(part, look, text) {
    part.dataset.look = look;
    const place = part.querySelector("[role=status]");
    if (place.textContent !== text) place.textContent = text;
  }

  async function measure() {
    box.hidden = media.state === "off";
    if (box.hidden) return;
    const now = await media.quality();
    let look = media.state === "connecting" || media.state === "asking" ? "connecting" : "off";
    if (now) look = now.lost > 0.05 || now.jitter > 0.06 || now.trip > 0.4 ? "poor" : now.lost > 0.01 || now.jitter > 0.03 || now.trip > 0.2 ? "fair" : "good";
    say(quality, look, words[`line_${look}`]);
    const works = Boolean(media.microphone);
    const quiet = works && media.talking && !media.muted && Date.now() - heardAt > 15000;
    say(mic, works ? (quiet ? "fair" : "good") : "off", words[works ? (quiet ? "mic_quiet" : "mic_ok") : "mic_off"]);
  }

  setInterval(() => {
    if (box.hidden || document.hidden) return;
    const level = media.level();
    if (level > 0.02 || !media.talking) heardAt = Date.now();
    meter.value = level;
  }, 150);
  setInterval(measure, 2000);
  media.addEventListener("state", measure);
  measure();
}
