// A recording: hear one side or both, slower or faster, and see where somebody speaks. Found by data-player.
// Without script the <audio> element inside plays it all the same.

for (const player of document.querySelectorAll("[data-player]")) start(player);

function start(player) {
  const audio = player.querySelector("audio");
  const canvas = player.querySelector("canvas");
  let sides = null;

  player.querySelector("[data-controls]").hidden = false;

  for (const choice of player.querySelectorAll("[name^=side]")) {
    choice.addEventListener("change", () => { sides ??= split(audio); sides.hear(choice.value); });
  }
  const speed = player.querySelector("[data-speed]");
  speed.addEventListener("change", () => { audio.playbackRate = Number(speed.value); });
  for (const button of player.querySelectorAll("[data-skip]")) {
    button.addEventListener("click", () => { audio.currentTime = Math.max(0, audio.currentTime + Number(button.dataset.skip)); });
  }
  audio.addEventListener("play", () => {
    sides?.wake();
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
  });
  audio.addEventListener("error", () => { player.querySelector("[data-failed]").hidden = false; });
  if (canvas) picture(player, audio, canvas);
}

// The left channel is the customer, the right one the agent. One side alone is heard in both ears.
function split(audio) {
  const context = new AudioContext();
  const source = context.createMediaElementSource(audio);
  const splitter = context.createChannelSplitter(2);
  const merger = context.createChannelMerger(2);
  const gains = [[0, 0], [0, 1], [1, 0], [1, 1]].map(([from, to]) => {
    const gain = context.createGain();
    splitter.connect(gain, from);
    gain.connect(merger, 0, to);
    return { from, to, gain };
  });
  source.connect(splitter);
  merger.connect(context.destination);
  const heard = {
    both: (from, to) => (from === to ? 1 : 0),
    customer: (from) => (from === 0 ? 1 : 0),
    agent: (from) => (from === 1 ? 1 : 0),
  };
  return {
    hear(side) {
      for (const { from, to, gain } of gains) gain.gain.setTargetAtTime(heard[side](from, to), context.currentTime, 0.01);
      context.resume();
    },
    wake() { context.resume(); },
  };
}

// How loud each side is along the call: the customer above the line, the agent below. A click goes there.
async function picture(player, audio, canvas) {
  let loudness = [];
  const look = () => draw(canvas, loudness, audio.duration ? audio.currentTime / audio.duration : 0);
  audio.addEventListener("timeupdate", look);
  audio.addEventListener("seeked", look);
  addEventListener("resize", look);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  canvas.addEventListener("click", (click) => {
    const part = click.offsetX / canvas.clientWidth;
    const go = () => { audio.currentTime = part * audio.duration; };
    if (audio.duration) go();
    else { audio.addEventListener("loadedmetadata", go, { once: true }); audio.load(); }
  });
  const answer = await fetch(canvas.dataset.peaks, { headers: { Accept: "application/json" } });
  if (answer.ok) loudness = (await answer.json()).peaks;
  look();
}

function draw(canvas, loudness, played) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(name).trim();
  const middle = height / 2;
  pen.fillStyle = color("--player-line");
  pen.fillRect(0, middle - 0.5, width, 1);
  loudness.slice(0, 2).forEach((side, index) => {
    const step = width / side.length;
    side.forEach((loud, at) => {
      const tall = (loud / 100) * (middle - 2);
      pen.globalAlpha = at / side.length < played ? 1 : 0.45;
      pen.fillStyle = color(index ? "--player-agent" : "--player-customer");
      pen.fillRect(at * step, index ? middle + 1 : middle - 1 - tall, Math.max(1, step - 0.7), tall);
    });
  });
  pen.globalAlpha = 1;
  pen.fillStyle = color("--player-head");
  pen.fillRect(played * (width - 2), 0, 2, height);
}
