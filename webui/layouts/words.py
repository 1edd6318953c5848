"""How the kinds of a field are called, of a layout and of a custom field, and how calls come to be. Pure."""

from crm.form import Kind, Scenario
from webui.i18n import N_

KINDS = {
    Kind.TEXT: N_("Text"),
    Kind.LONG_TEXT: N_("Long text"),
    Kind.NUMBER: N_("Number"),
    Kind.DATE: N_("Date"),
    Kind.PHONE: N_("Telephone"),
    Kind.CHOICE: N_("Choice"),
    Kind.MOTIVE: N_("Motive"),
    Kind.SEGMENT: N_("Segment"),
    Kind.CHECKBOX: N_("Tick box"),
}
SCENARIOS: dict[str, str] = {
    Scenario.DIALER: N_("Dialer"),
    Scenario.MANUAL: N_("Manual"),
    Scenario.INBOUND: N_("Inbound"),
}
