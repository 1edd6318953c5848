// A short word in the corner that leaves by itself.

export function toast(text, tone = "info") {
  if (!text) return;
  const box = document.createElement("div");
  box.className = `notice notice-${tone}`;
  box.setAttribute("role", tone === "bad" ? "alert" : "status");
  const line = document.createElement("p");
  line.textContent = text;
  box.append(line);
  document.querySelector("[data-toasts]").append(box);
  setTimeout(() => box.remove(), tone === "bad" ? 8000 : 4000);
}
