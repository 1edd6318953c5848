// One face for two libraries: `window.softphone(kind, options)`, and what happens to it in `window.told`.
import JsSIP from "jssip";
import { UserAgent, Registerer, Inviter, SessionState, RegistererState } from "sip.js";

window.told = [];
const tell = (what, detail = "") => window.told.push([what, String(detail)]);
const AUDIO = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false };

class ByJsSIP {
  constructor({ url, uri, password }) {
    this.ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(url)], uri, password, register_expires: 120,
    });
    this.ua.on("registered", () => tell("registered"));
    this.ua.on("unregistered", () => tell("unregistered"));
    this.ua.on("registrationFailed", ({ response, cause }) => tell("refused", response ? response.status_code : cause));
    this.ua.on("newRTCSession", ({ session, originator }) => {
      this.session = session;
      session.on("progress", () => tell("progress"));
      session.on("confirmed", () => tell("confirmed"));
      session.on("ended", ({ originator, cause }) => tell("ended", `${originator} ${cause}`));
      session.on("failed", ({ originator, cause }) => tell("failed", `${originator} ${cause}`));
      if (originator === "remote") tell("called", session.remote_identity.uri.user);
    });
  }
  start() { this.ua.start(); }
  async register() { this.ua.register(); }
  async stop() { this.ua.stop(); }
  async call(target) { this.ua.call(target, { mediaConstraints: AUDIO, pcConfig: { iceServers: [] } }); }
  async answer() { this.session.answer({ mediaConstraints: AUDIO, pcConfig: { iceServers: [] } }); }
  async reject() { this.session.terminate({ status_code: 486 }); }
  async hangUp() { this.session.terminate(); }
  async hold(on) {
    return new Promise((done) => (on ? this.session.hold({}, done) : this.session.unhold({}, done)));
  }
  async digits(text) { this.session.sendDTMF(text, { transportType: "RFC2833" }); }
}

class BySipJs {
  constructor({ url, uri, password }) {
    this.ua = new UserAgent({
      uri: UserAgent.makeURI(uri), transportOptions: { server: url },
      authorizationUsername: UserAgent.makeURI(uri).user, authorizationPassword: password, logLevel: "warn",
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] } },
      delegate: { onInvite: (session) => { this.watch(session); tell("called", session.remoteIdentity.uri.user); } },
    });
    this.registerer = new Registerer(this.ua, { expires: 120 });
    this.registerer.stateChange.addListener((state) => {
      if (state === RegistererState.Unregistered) tell("unregistered");
    });
  }
  async start() { await this.ua.start(); await this.register(); }
  async register() {
    await this.registerer.register({ requestDelegate: {
      onAccept: () => tell("registered"), onReject: ({ message }) => tell("refused", message.statusCode),
    } });
  }
  async stop() { await this.ua.stop(); }
  watch(session) {
    this.session = session;
    this.ended = "remote";
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) tell("confirmed");
      if (state === SessionState.Terminated) tell("ended", this.ended);
    });
  }
  async call(target) {
    const inviter = new Inviter(this.ua, UserAgent.makeURI(target), {
      sessionDescriptionHandlerOptions: { constraints: AUDIO },
    });
    this.watch(inviter);
    await inviter.invite({ requestDelegate: { onProgress: () => tell("progress") } });
  }
  async answer() { await this.session.accept({ sessionDescriptionHandlerOptions: { constraints: AUDIO } }); }
  async reject() { this.ended = "local"; await this.session.reject({ statusCode: 486 }); }
  async hangUp() {
    this.ended = "local";
    if (this.session.state === SessionState.Established) await this.session.bye();
    else await this.session.cancel();
  }
  async hold(on) {
    this.session.sessionDescriptionHandlerOptionsReInvite = { hold: on };
    await new Promise((done) => this.session.invite({ requestDelegate: { onAccept: done } }));
  }
  async digits(text) { for (const digit of text) this.session.sessionDescriptionHandler.sendDtmf(digit); }
}

window.softphone = (kind, options) => {
  window.phone = kind === "jssip" ? new ByJsSIP(options) : new BySipJs(options);
  window.phone.start();
};
