// A watched campaign: the server pushes the regions that changed; the page only places them.

import { Live } from "./live.js";

for (const box of document.querySelectorAll("[data-campaign-live]")) {
  const live = new Live(box.dataset.campaignLive, { lost: box.dataset.lost });
  live.addEventListener("event", () => live.ready());
}
