// The tabulation as it is typed: kept by the server a moment after each change, at leaving a field and at leaving the page.

const AFTER = 400; // ms without typing

export function keepDraft(live, words) {
  let timer = 0;
  let dirty = false;
  let unanswered = 0; // drafts on their way to the server
  const form = () => document.querySelector("[data-tabulation]");

  function answers(of) {
    const typed = {};
    for (const input of of.elements) {
      if (!input.name.startsWith("a.")) continue;
      const key = input.name.slice(2);
      if (input.type === "radio") typed[key] = input.checked ? input.value : (typed[key] ?? "");
      else typed[key] = input.type === "checkbox" ? (input.checked ? "1" : "") : input.value;
    }
    return typed;
  }

  async function keep() {
    clearTimeout(timer);
    const open = form();
    if (!dirty || !open) return;
    dirty = false;
    unanswered += 1;
    try {
      await live.request("DraftTabulation", { call: open.elements.call.value, answers: answers(open) });
    } catch {
      dirty = true; // sent again when the connection is back
    } finally {
      unanswered -= 1;
    }
  }

  document.addEventListener("input", (event) => {
    if (!event.target.closest("[data-tabulation]")) return;
    dirty = true;
    clearTimeout(timer);
    timer = setTimeout(keep, AFTER);
    right(event.target.closest("[data-field]"));
  });
  document.addEventListener("focusout", (event) => event.target.closest("[data-tabulation]") && keep());
  // The live connection dies with the page and may take the last words along; a beacon outlives it.
  addEventListener("pagehide", () => {
    const open = form();
    if (open && (dirty || unanswered)) navigator.sendBeacon("/desk/DraftTabulation", new FormData(open));
  });
  document.addEventListener("visibilitychange", () => document.hidden && keep());

  function right(field) {
    field?.classList.remove("field-wrong");
    const note = field?.querySelector("[data-wrong]");
    if (note) note.hidden = true;
    for (const input of field?.querySelectorAll("input, select, textarea") ?? []) input.removeAttribute("aria-invalid");
  }

  function say(errors) {
    let first = null;
    for (const field of form().querySelectorAll("[data-field]")) {
      const error = errors[field.dataset.field];
      right(field);
      if (!error) continue;
      field.classList.add("field-wrong");
      const note = field.querySelector("[data-wrong]");
      note.querySelector("span").textContent = error;
      note.hidden = false;
      for (const input of field.querySelectorAll("input, select, textarea")) input.setAttribute("aria-invalid", "true");
      first ??= field;
    }
    const input = first?.querySelector("input:checked, input, select, textarea");
    input?.focus({ preventScroll: true });
    first?.scrollIntoView({ block: "nearest" });
  }

  return {
    resend: keep,

    // What is typed now, null without an open form; the drafting of it waits no longer.
    now() {
      clearTimeout(timer);
      dirty = false;
      return form() && answers(form());
    },
    refused: (errors) => form() && say(errors),

    // Another window of this agent typed: take it over where nobody types here.
    elsewhere(sent) {
      const open = form();
      if (!open || dirty || open.elements.call.value !== sent.call) return;
      for (const input of open.elements) {
        const value = input.name.startsWith("a.") ? sent.answers[input.name.slice(2)] : undefined;
        if (value === undefined || input === document.activeElement) continue;
        if (input.type === "radio") input.checked = input.value === value;
        else if (input.type === "checkbox") input.checked = ["1", "on", "true"].includes(value);
        else if (input.value !== value) input.value = value;
      }
    },

    async save(open) {
      clearTimeout(timer);
      dirty = false;
      try {
        await live.request("SaveTabulation", { call: open.elements.call.value, answers: answers(open) });
        open.querySelectorAll("[data-field]").forEach(right);
      } catch (refused) {
        const { toast } = await import("./toast.js");
        if (refused.details?.errors) say(refused.details.errors);
        else {
          dirty = refused.code === "lost";
          toast(refused.message, "bad");
        }
      }
    },
  };
}
