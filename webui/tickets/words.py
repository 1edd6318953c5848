"""What happened with a ticket, in words. Pure."""

from webui.i18n import N_

EVENTS = {
    "opened": N_("Opened"),
    "edited": N_("Gone on with"),
    "moved": N_("Moved"),
    "noted": N_("Note"),
    "called": N_("Called again"),
}
PICTURES = {"opened": "plus", "edited": "edit", "moved": "next", "noted": "note", "called": "phone"}
