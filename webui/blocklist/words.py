"""Why a row of an imported do-not-call list was not taken. Pure."""

from crm.blocklist import ALREADY, NOT_A_PHONE, REPEATED
from webui.i18n import N_

REASONS = {
    NOT_A_PHONE: N_("no telephone number"),
    REPEATED: N_("stands in the file twice"),
    ALREADY: N_("was blocked already"),
}
