// Where the agent hears and speaks: the choice, with each thing that may be missing checked and said in words.

export function stationDialog({ live, media, words, about }) {
  const dialog = document.querySelector("[data-station-dialog]");
  const form = dialog.querySelector("[data-station-form]");
  const refusal = form.querySelector("[data-refusal]");
  let starting = false;
  let dismissed = false;

  const kind = () => form.elements.kind.value;
  function check(name, result, text) {
    const row = form.querySelector(`[data-check=${name}]`);
    row.dataset.result = result;
    row.querySelector("[data-check-text]").textContent = text;
  }

  async function look() {
    const browser = kind() === "webrtc";
    for (const name of ["microphone", "permission", "path"]) form.querySelector(`[data-check=${name}]`).hidden = !browser;
    check("extension", "open", words.check_extension);
    if (!browser) return;
    check("path", "open", words.check_path);
    if (!navigator.mediaDevices) {
      check("microphone", "open", words.check_microphone);
      check("permission", "bad", words.insecure);
      return;
    }
    const some = (await navigator.mediaDevices.enumerateDevices()).some((device) => device.kind === "audioinput");
    check("microphone", some ? "good" : "bad", some ? words.check_microphone : words.no_microphone);
    const permission = await navigator.permissions.query({ name: "microphone" }).catch(() => ({ state: "prompt" }));
    if (permission.state === "granted") check("permission", "good", words.check_permission);
    else if (permission.state === "denied") check("permission", "bad", words.no_permission);
    else check("permission", "open", words.ask_permission);
    permission.onchange = () => dialog.open && !starting && look();
  }

  function result() {
    const state = media.state;
    if (state === "no_microphone") check("microphone", "bad", words.no_microphone);
    else if (state === "no_permission" || state === "insecure") check("permission", "bad", words[state]);
    else if (state === "no_media_path") check("path", "bad", words.no_media_path);
    if (["connecting", "ok", "no_media_path"].includes(state)) {
      check("microphone", "good", words.check_microphone);
      check("permission", "good", words.check_permission);
    }
    if (state === "ok") check("path", "good", words.check_path);
  }
  media.addEventListener("state", () => dialog.open && kind() === "webrtc" && result());

  form.addEventListener("change", look);
  navigator.mediaDevices?.addEventListener("devicechange", () => dialog.open && !starting && look());
  form.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { dismissed = true; });

  // The dialog's own close event comes later than the events of the desk, which must not open it again.
  function done() {
    dismissed = true;
    dialog.close();
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (starting) return;
    starting = true;
    refusal.hidden = true;
    form.elements.extension.removeAttribute("aria-invalid");
    if ("Notification" in window && Notification.permission === "default") Notification.requestPermission().catch(() => {});
    try {
      const { station } = await live.request("SetStation", { kind: kind(), extension: form.elements.extension.value.trim() });
      check("extension", "good", words.check_extension);
      if (kind() === "webrtc") {
        if (media.wanted) media.take();
        else media.start();
        const state = await media.settled();
        result();
        if (state === "ok" || state === "elsewhere") done();
      } else if (station?.state === "not_registered") {
        refusal.textContent = words.not_registered;
        refusal.hidden = false;
      } else done();
    } catch (refused) {
      if (refused.code === "taken") check("extension", "bad", refused.message);
      else {
        refusal.textContent = refused.message;
        refusal.hidden = false;
      }
      if (["taken", "not_found"].includes(refused.code)) {
        form.elements.extension.setAttribute("aria-invalid", "true");
        form.elements.extension.select();
      }
    } finally {
      starting = false;
    }
  });

  return {
    open() {
      const now = about();
      if (now.station) form.elements.kind.value = now.station;
      if (now.extension) form.elements.extension.value = now.extension;
      refusal.hidden = true;
      dialog.showModal();
      form.querySelector(".form-actions .button-main").focus();
      look();
    },
    // Asked for once when there is no station; a page that has one goes on without a word.
    settle(now) {
      if (!now.station && !dialog.open && !dismissed) this.open();
    },
  };
}
