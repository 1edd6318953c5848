// The agent's audio: one standing connection for each login, G.711 only, offered anew after a reload or a lost path.
//
// states: off · asking · elsewhere · connecting · ok · no_microphone · no_permission · insecure · no_media_path
// While nobody talks the sender has no track and sends nothing; muted it sends silence. Only one window of a browser
// has the audio: the one that holds the lock. When it closes, the next one takes over by itself.

const LOCK = "ramal-audio";
const PATH_WITHIN = 5000; // ms from the answer to a connected path
const WAITS = [300, 1000, 2000, 4000, 8000]; // ms between attempts
const GRACE = 1200; // ms a path may be interrupted before a new one is made
const VOICE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Media extends EventTarget {
  constructor({ offer, report }) {
    super();
    this.offer = offer;
    this.report = report;
    this.state = "off";
    this.wanted = this.talking = this.muted = false;
    this.attempts = 0;
    this.far = document.querySelector("[data-far]");
    navigator.mediaDevices?.addEventListener("devicechange", () => this.wanted && !this.microphone && this.begin());
  }

  start() {
    if (this.wanted) return;
    this.wanted = true;
    this.take(false);
  }

  stop() {
    if (!this.wanted) return;
    this.wanted = false;
    this.give?.();
    this.abandon();
    this.silence();
    this.become("off");
  }

  // Have the audio in this window: again after a failure, or from another window.
  take(steal = true) {
    if (this.state.startsWith("no_") || this.state === "insecure") this.become("connecting");
    if (this.give || !navigator.locks) this.begin();
    else if (!this.queued || (steal && this.state === "elsewhere")) this.lock(steal && this.state === "elsewhere");
  }

  async lock(steal) {
    this.queued = true;
    if (!steal) this.become("elsewhere", 400);
    try {
      await navigator.locks.request(LOCK, { steal }, () => new Promise((give) => {
        this.queued = false;
        this.give = () => { this.give = null; give(); };
        if (this.wanted) this.begin();
        else this.give();
      }));
    } catch { // another window took it
      this.give = null;
      this.abandon();
      if (this.wanted) this.lock(false);
    }
  }

  // Resolves when the audio is there, or what is missing is known.
  settled() {
    return new Promise((resolve) => {
      const look = () => {
        if (["off", "asking", "connecting"].includes(this.state)) return;
        this.removeEventListener("state", look);
        resolve(this.state);
      };
      this.addEventListener("state", look);
      look();
    });
  }

  // One attempt at a time: who asks meanwhile waits for the same.
  begin() {
    if (!this.begun) {
      const begun = this.reach().finally(() => { if (this.begun === begun) this.begun = null; });
      this.begun = begun;
    }
    return this.begun;
  }

  // The attempt under way comes to nothing, and nobody waits for it: the next one begins anew.
  abandon() {
    this.attempt = this.begun = null;
    this.hangUp();
  }

  async reach() {
    clearTimeout(this.again);
    const attempt = this.attempt = {};
    if (!await this.listen(attempt)) return;
    this.hangUp();
    this.become("connecting");
    const connection = new RTCPeerConnection({ iceServers: [] });
    this.connection = connection;
    const line = connection.addTransceiver("audio", { direction: "sendrecv" });
    line.setCodecPreferences?.(RTCRtpReceiver.getCapabilities("audio").codecs
      .filter(({ mimeType }) => ["audio/PCMA", "audio/PCMU", "audio/telephone-event"].includes(mimeType)));
    this.sender = line.sender;
    connection.ontrack = ({ track }) => { this.far.srcObject = new MediaStream([track]); this.far.play().catch(() => {}); };
    connection.onconnectionstatechange = () => connection === this.connection && this.follow(connection);
    this.settle();
    try {
      await connection.setLocalDescription();
      const answer = await this.offer(connection.localDescription.sdp);
      if (connection !== this.connection) return;
      await connection.setRemoteDescription({ type: "answer", sdp: answer });
      await this.connected(connection);
    } catch (error) {
      if (connection === this.connection && this.wanted) this.failed(error);
    }
  }

  connected(connection) {
    return new Promise((resolve, refuse) => {
      const late = setTimeout(() => refuse(new Error("no path")), PATH_WITHIN);
      const look = () => {
        if (connection.connectionState === "connected" || connection !== this.connection) { clearTimeout(late); resolve(); }
        if (connection.connectionState === "failed") { clearTimeout(late); refuse(new Error("failed")); }
      };
      connection.addEventListener("connectionstatechange", look);
      look();
    });
  }

  follow(connection) {
    clearTimeout(this.grace);
    if (connection.connectionState === "connected") {
      clearTimeout(this.again); // it was only slow
      this.attempts = 0;
      this.become("ok");
      this.report("ok");
    } else if (connection.connectionState === "disconnected") {
      this.grace = setTimeout(() => this.begin(), GRACE);
    } else if (connection.connectionState === "failed" && !this.begun) this.failed(new Error("failed"));
  }

  failed(error) {
    if (error?.code === "wrong_state") return this.hangUp(); // the server knows no WebRTC station: nothing to reach
    if (error?.code !== "lost") {
      this.become("no_media_path");
      this.report("no_media_path", String(error?.message ?? ""));
    }
    clearTimeout(this.again);
    this.again = setTimeout(() => this.wanted && this.give && this.begin(), WAITS[Math.min(this.attempts++, WAITS.length - 1)]);
  }

  // The server has lost its end of a connection that stands here: there is no need to wait until it shows.
  lost() {
    if (this.wanted && this.give && this.state === "ok") this.begin();
  }

  // The server is back after a lost connection: is the audio?
  check() {
    if (this.wanted && this.give && this.connection?.connectionState !== "connected") { this.attempts = 0; this.begin(); }
  }

  async listen(attempt) {
    if (this.microphone?.readyState === "live") return true;
    if (!navigator.mediaDevices) return this.missing("insecure", "no_permission");
    this.become("asking", 300);
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: VOICE });
      if (attempt !== this.attempt) {
        for (const track of stream.getTracks()) track.stop();
        return false;
      }
      this.microphone = stream.getAudioTracks()[0];
      this.microphone.onended = () => { this.microphone = null; if (this.wanted) this.begin(); };
      this.meter(stream);
      return true;
    } catch (error) {
      if (attempt !== this.attempt) return false;
      return this.missing(["NotAllowedError", "SecurityError"].includes(error.name) ? "no_permission" : "no_microphone");
    }
  }

  missing(state, told = state) {
    this.hangUp();
    this.become(state);
    this.report(told);
    return false;
  }

  // Who talks is heard; who does not sends nothing.
  speak(talking, muted) {
    if (talking !== this.talking || muted !== this.muted) {
      this.talking = talking;
      this.muted = muted;
      this.settle();
    }
  }

  settle() {
    if (this.microphone) this.microphone.enabled = !(this.talking && this.muted);
    this.sender?.replaceTrack(this.talking ? this.microphone : null).catch(() => {});
  }

  hangUp() {
    clearTimeout(this.again);
    clearTimeout(this.grace);
    this.connection?.close();
    this.connection = this.sender = null;
  }

  silence() {
    this.microphone?.stop();
    this.microphone = null;
    this.context?.close();
    this.context = this.analyser = null;
  }

  meter(stream) {
    this.context?.close();
    this.context = new AudioContext();
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 512;
    this.context.createMediaStreamSource(stream).connect(this.analyser);
    this.samples = new Float32Array(this.analyser.fftSize);
  }

  // How loud the microphone is now, 0 to 1.
  level() {
    if (!this.analyser || !this.microphone) return 0;
    if (this.context.state === "suspended") this.context.resume().catch(() => {});
    this.analyser.getFloatTimeDomainData(this.samples);
    return Math.min(1, Math.sqrt(this.samples.reduce((sum, x) => sum + x * x, 0) / this.samples.length) * 4);
  }

  // Lost packets (share), jitter and round trip (seconds) since the last question.
  async quality() {
    if (this.connection?.connectionState !== "connected") return null;
    const found = { lost: 0, jitter: 0, trip: 0 };
    for (const entry of (await this.connection.getStats()).values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "audio") {
        const before = this.counted ?? { lost: 0, received: 0 };
        this.counted = { lost: entry.packetsLost, received: entry.packetsReceived };
        const [lost, received] = [entry.packetsLost - before.lost, entry.packetsReceived - before.received];
        found.lost = received + lost > 0 ? Math.max(0, lost) / (received + lost) : 0;
        found.jitter = entry.jitter ?? 0;
      } else if (entry.type === "candidate-pair" && entry.nominated) found.trip = entry.currentRoundTripTime ?? 0;
    }
    return found;
  }

  // What passes within `after` ms is not worth saying.
  become(state, after = 0) {
    clearTimeout(this.becoming);
    const change = () => {
      if (this.state === state) return;
      this.state = state;
      this.dispatchEvent(new Event("state"));
    };
    if (after) this.becoming = setTimeout(change, after);
    else change();
  }
}
