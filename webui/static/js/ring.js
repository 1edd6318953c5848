// Ringing: a soft two-tone made on the spot, and a notification when the page is not in front.

const EVERY = 3.2; // seconds from one ring to the next

export class Ring {
  start(call, text, body) {
    if (this.call === call) return;
    this.stop();
    this.call = call;
    this.context ??= new AudioContext();
    this.play();
    this.timer = setInterval(() => this.play(), EVERY * 1000);
    if (document.hidden && "Notification" in window && Notification.permission === "granted") {
      this.note = new Notification(text, { body, tag: call, requireInteraction: true });
      this.note.onclick = () => { window.focus(); this.note?.close(); };
    }
  }

  stop() {
    if (!this.call) return;
    clearInterval(this.timer);
    this.note?.close();
    this.call = this.note = null;
    this.volume?.gain.cancelScheduledValues(0);
    this.volume?.gain.setValueAtTime(0, 0);
  }

  // After a reload the browser may hold sound back until a key or the microphone is used: each ring tries again.
  play() {
    if (this.context.state !== "running") {
      this.context.resume().then(() => this.call && this.play()).catch(() => {});
      return;
    }
    const now = this.context.currentTime;
    this.volume = this.context.createGain();
    this.volume.connect(this.context.destination);
    this.volume.gain.setValueAtTime(0, now);
    for (const [at, pitch] of [[0, 523.25], [0.22, 659.25], [0.44, 523.25], [0.66, 659.25]]) {
      const tone = this.context.createOscillator();
      tone.type = "sine";
      tone.frequency.value = pitch;
      tone.connect(this.volume);
      tone.start(now + at);
      tone.stop(now + at + 0.2);
      this.volume.gain.linearRampToValueAtTime(0.22, now + at + 0.02);
      this.volume.gain.linearRampToValueAtTime(0.0001, now + at + 0.2);
    }
  }
}
