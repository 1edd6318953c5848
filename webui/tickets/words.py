"""What happened with a ticket, in words. Pure."""

from webui.i18n import N_

EVENTS = {
    "edited": N_("Gone on with"),
    "noted": N_("Note"),
    "called": N_("Called again"),
}
PICTURES = {"opened": "plus", "edited": "edit", "moved": "next", "noted": "note", "called": "phone"}
