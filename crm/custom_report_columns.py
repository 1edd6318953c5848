"""PURE. What custom reports can show, ask and count: the subjects, and each one's columns with their SQL.

Every word of SQL stands here or in crm.filters, which checks the keys of answers and custom fields.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from crm import form
from crm.campaign_reports import RESULTS, SITUATIONS
from crm.filters import ANSWER, CUSTOM, KINDS, Field, Sort, answer, local_day

CUSTOMER = "customer."


class Shape(StrEnum):
    """The sorts of crm.filters, and two more: a tree asks a moment as a date, a duration as a number."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    PHONE = "phone"
    CHOICE = "choice"
    YES_NO = "yes_no"
    MOMENT = "moment"
    DURATION = "duration"


# What each sort of column can be measured by, and in which parts grouped; "" is by its own value.
MEASURES: Mapping[Shape, tuple[str, ...]] = {
    Shape.TEXT: ("distinct",),
    Shape.NUMBER: ("sum", "average", "least", "most", "distinct"),
    Shape.DATE: ("least", "most", "distinct"),
    Shape.PHONE: ("distinct",),
    Shape.CHOICE: ("distinct",),
    Shape.YES_NO: ("yes",),
    Shape.MOMENT: ("least", "most"),
    Shape.DURATION: ("sum", "average", "least", "most"),
}
PARTS: Mapping[Shape, tuple[str, ...]] = {
    Shape.TEXT: ("",),
    Shape.NUMBER: ("",),
    Shape.DATE: ("", "week", "month", "weekday"),
    Shape.PHONE: ("",),
    Shape.CHOICE: ("",),
    Shape.YES_NO: ("",),
    Shape.MOMENT: ("day", "week", "month", "hour", "weekday"),
    Shape.DURATION: (),
}
WORDS = (Shape.TEXT, Shape.PHONE, Shape.CHOICE)  # whose "no value" is ''


@dataclass(frozen=True, slots=True)
class Column:
    """One fact of a row. `field` is what a filter tree asks of it, under the same key."""

    key: str
    sort: Shape
    group: str  # of the builder: call, campaign, ticket, or one of crm.filters.GROUP_ORDER
    field: Field
    value: str  # SQL; of a text, telephone or choice never null
    order: str = ""  # SQL of the words it is sorted by, where that is not its value
    counted: str = ""  # SQL of what is distinct about it, where that is not its value
    label: str = ""  # of an answer or custom field; the others are named by the pages
    of_customer: bool = False  # only for who may see contacts

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """(value, word) of a choice."""
        return self.field.options

    @property
    def measures(self) -> tuple[str, ...]:
        return MEASURES[self.sort]

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS[self.sort]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is."""

    tables: str  # with the customers by the name of `contact`
    where: str
    moment: str  # by which a period chooses; never null
    moment_key: str  # of its column
    identity: tuple[str, ...]  # of a row, for an order that stays
    belongs: Mapping[str, str]  # what its rows belong to: a name such as #call → SQL
    usual: tuple[str, ...]  # the columns of a report that names none
    columns: tuple[Column, ...]  # besides answers and facts of the customer
    latest_first: bool = True  # unless another order is asked for


# -- Making columns ----------------------------------------------------------------------------------------


def own(
    key: str,
    sort: Shape,
    value: str,
    group: str = "call",
    *,
    order: str = "",
    many: str = "",
    options: Iterable[str] = (),
    counted: str = "",
    as_written: bool = False,
) -> Column:
    """A fact of the row itself; `many` is what a tree asks instead of `value`: "table WHERE …|value"."""
    words = f"coalesce({value}, '')" if sort in WORDS else value
    table, _, of_one = many.partition("|")
    field = Field(
        key,
        SORTS.get(sort) or Sort(sort.value),
        one="" if many else asked(sort, words),
        many=table,
        value=of_one,
        options=tuple((each, each) for each in options),
        group=group,
        as_written=as_written,
    )
    return Column(key, sort, group, field, words, order, counted)


SORTS = {Shape.MOMENT: Sort.DATE, Shape.DURATION: Sort.NUMBER}


def asked(sort: Shape, value: str) -> str:
    """What a tree asks of a value: `Field.one`."""
    match sort:
        case Shape.MOMENT:
            return local_day(value)
        case Shape.DURATION:
            return f"({value})::numeric"
        case Shape.YES_NO:
            return f"coalesce({value}, false)"
        case _:
            return value


def of_form(field: form.Field) -> Column:
    """What this row's own form answered; nothing is known where there is none."""
    sort = Shape(KINDS[field.kind].value)
    value = answer(field)
    if sort is Shape.YES_NO:
        value = f"CASE WHEN tabulation.saved IS NOT NULL THEN {value} END"
    made = own(ANSWER + field.key, sort, value, "form", options=field.options)
    return replace(made, label=field.label, field=replace(made.field, label=field.label))


# Which of several rows of the customer is shown.
SHOWN_FIRST = {
    "phone": "contact_phone.position, contact_phone.number",
    "city": "contact_address.position, contact_address.id",
    "district": "contact_address.position, contact_address.id",
    "state": "contact_address.position, contact_address.id",
    "postal_code": "contact_address.position, contact_address.id",
    "person_type": "contact_person.position, contact_person.id",
    "person_name": "contact_person.position, contact_person.id",
    "category": "tabulation.saved DESC, tabulation.call_id, tabulation.user_id",
    "campaign": "list_item.id DESC",
    "concluded": "list_item.concluded_at DESC NULLS LAST, list_item.id DESC",
    "ticket_status": "ticket.opened DESC, ticket.id DESC",
}


def of_customer(field: Field, prefix: str = "") -> Column:
    """A fact of the customer, who may not be known; of several the first, or the latest, is shown."""
    key = field.key if field.key.startswith(CUSTOM) else prefix + field.key
    sort = Shape(field.sort.value)
    value = field.one
    if not value:
        order, some = SHOWN_FIRST.get(field.key, SHOWN_FIRST["category"]), field.many
        if field.key.startswith(ANSWER):
            some += f" AND {field.value} " + ("<> ''" if sort in WORDS else "IS NOT NULL")
        value = f"(SELECT {field.value} FROM {some} ORDER BY {order} LIMIT 1)"
    if sort in WORDS:
        value = f"coalesce({value}, '')"
    known = replace(field, key=key, one=asked(sort, value) if field.one else "")
    return Column(key, sort, field.group, known, value, label=field.label, of_customer=True)


def columns(
    subject: str,
    customers: Mapping[str, Field],
    answers: Iterable[form.Field],
    offered: Mapping[str, tuple[tuple[str, str], ...]],
) -> dict[str, Column]:
    """Every column by its key; `offered` are the options of choices by OFFERED."""
    about = SUBJECTS[subject]
    if subject == "customers":
        found = [of_customer(field) for field in customers.values()]
    else:
        found = [with_options(column, offered) for column in about.columns]
        if "tabulation" in about.tables:
            found += [of_form(field) for field in answers]
        name = of_customer(customers["name"], CUSTOMER)
        found.append(
            replace(
                name,
                key="customer",
                field=replace(name.field, key="customer"),
                counted="contact.id",
            )
        )
        found += [
            of_customer(field, CUSTOMER)
            for key, field in customers.items()
            if key != "name" and not key.startswith(ANSWER)
        ]
    return {column.key: column for column in found}


def with_options(column: Column, offered: Mapping[str, tuple[tuple[str, str], ...]]) -> Column:
    if column.sort is not Shape.CHOICE or column.options:
        return column
    return replace(column, field=replace(column.field, options=offered.get(OFFERED[column.key], ())))


# -- The subjects ------------------------------------------------------------------------------------------

OFFERED = {  # which names a choice of the centre's own things goes by
    "agent": "user",
    "opened_by": "user",
    "group": "group",
    "queue": "queue",
    "campaign": "campaign",
    "layout": "layout",
    "type": "type",
    "category": "category",
    "ticket_type": "ticket_type",
    "status": "ticket_status",
}
DIRECTIONS = ("inbound", "outbound", "internal")
CALL_RESULTS = ("answered", "abandoned", "refused", "failed", "no_answer", "busy")
TEXT, NUMBER, PHONE, CHOICE = Shape.TEXT, Shape.NUMBER, Shape.PHONE, Shape.CHOICE
YES_NO, MOMENT, DURATION = Shape.YES_NO, Shape.MOMENT, Shape.DURATION

AGENT = (
    own("agent", CHOICE, "user_account.id::text", order="user_account.name"),
    own("group", CHOICE, "user_account.group_id::text", order="user_group.name"),
)
FORM = (
    own("type", CHOICE, "category.type_id::text", "form", order="category_type.name"),
    own(
        "category",
        CHOICE,
        "category.id::text",
        "form",
        order="category_type.name || ' ' || category.name",
    ),
    own("success", YES_NO, "category.success", "form"),
    own("layout", CHOICE, "tabulation.layout_id::text", "form", order="layout.label"),
)
# Of the call's own day and those beside it: few of the partitions.
DIALED = (
    "attempt WHERE attempt.call_id = tabulation.call_id"
    " AND attempt.started BETWEEN call.started - interval '1 day' AND call.started + interval '1 day'"
)

SUBJECTS: Mapping[str, Subject] = {
    "tabulations": Subject(
        tables="""
          FROM tabulation
          LEFT JOIN user_account ON user_account.id = tabulation.user_id
          LEFT JOIN user_group ON user_group.id = user_account.group_id
          LEFT JOIN layout ON layout.id = tabulation.layout_id
          LEFT JOIN category ON category.id = tabulation.category_id
          LEFT JOIN category_type ON category_type.id = category.type_id
          LEFT JOIN call ON call.id = tabulation.call_id
          LEFT JOIN queue ON queue.name = call.queue
          LEFT JOIN contact ON contact.id = coalesce(tabulation.contact_id, call.contact_id)""",
        where="tabulation.saved IS NOT NULL",
        moment="tabulation.saved",
        moment_key="saved",
        identity=("tabulation.call_id", "tabulation.user_id"),
        belongs={"#call": "tabulation.call_id", "#contact": "contact.id"},
        usual=("saved", "agent", "queue", "customer", "category"),
        columns=(
            own("saved", MOMENT, "tabulation.saved", "form"),
            *FORM,
            own("started", MOMENT, "call.started"),
            *AGENT,
            own("queue", CHOICE, "call.queue", order="queue.label"),
            own(
                "campaign",
                CHOICE,
                f"(SELECT attempt.campaign_id::text FROM {DIALED} ORDER BY attempt.id LIMIT 1)",
                many=f"{DIALED}|attempt.campaign_id::text",
            ),
            own("direction", CHOICE, "call.direction", options=DIRECTIONS),
            own("number", PHONE, "call.number"),
            own("result", CHOICE, "call.result", options=CALL_RESULTS),
            own("wait_seconds", DURATION, "call.wait_seconds"),
            own("talk_seconds", DURATION, "call.talk_seconds"),
            own("hold_seconds", DURATION, "call.hold_seconds"),
            own("wrapup_seconds", DURATION, "call.wrapup_seconds"),
            own("recorded", YES_NO, "call.recording IS NOT NULL"),
            own("call", TEXT, "tabulation.call_id::text", as_written=True),
        ),
    ),
    "attempts": Subject(
        tables="""
          FROM attempt
          JOIN list_item AS item ON item.id = attempt.item_id
          JOIN campaign ON campaign.id = item.campaign_id AND campaign.generation = item.generation
          LEFT JOIN user_account ON user_account.id = attempt.user_id
          LEFT JOIN user_group ON user_group.id = user_account.group_id
          LEFT JOIN tabulation ON tabulation.call_id = attempt.call_id
               AND tabulation.user_id = attempt.user_id AND tabulation.saved IS NOT NULL
          LEFT JOIN layout ON layout.id = tabulation.layout_id
          LEFT JOIN category ON category.id = coalesce(tabulation.category_id, attempt.category_id)
          LEFT JOIN category_type ON category_type.id = category.type_id
          LEFT JOIN contact ON contact.id = attempt.contact_id""",
        where="true",
        moment="attempt.started",
        moment_key="started",
        identity=("attempt.id",),
        belongs={
            "#call": "attempt.call_id",
            "#contact": "contact.id",
            "#ticket": "attempt.ticket_id",
            "#campaign": "attempt.campaign_id",
        },
        usual=("started", "campaign", "agent", "customer", "situation", "result"),
        columns=(
            own("started", MOMENT, "attempt.started", "campaign"),
            own("campaign", CHOICE, "attempt.campaign_id::text", "campaign", order="campaign.name"),
            own("situation", CHOICE, "attempt.situation", "campaign", options=SITUATIONS),
            own("result", CHOICE, "attempt.result", "campaign", options=RESULTS),
            own("attempt_number", NUMBER, "attempt.attempt_number::numeric", "campaign"),
            own("number", PHONE, "attempt.number", "campaign"),
            *AGENT,
            own("dialed", YES_NO, "attempt.dialed"),
            own("by_dialer", YES_NO, "attempt.by_dialer"),
            own("talk_seconds", DURATION, "attempt.talk_seconds"),
            own("handle_seconds", DURATION, "attempt.handle_seconds"),
            own("callback", MOMENT, "attempt.callback_at", "campaign"),
            own("note", TEXT, "attempt.note", "campaign"),
            own("cause", TEXT, "attempt.cause"),
            own(
                "detection",
                CHOICE,
                "attempt.detection",
                options=("human", "machine", "fax", "silence", "music"),
            ),
            *FORM,
        ),
    ),
    "customers": Subject(
        tables="FROM contact",
        where="true",
        moment="contact.created",
        moment_key="created",
        identity=("contact.id",),
        belongs={"#contact": "contact.id"},
        usual=("name", "phone", "city", "state", "created"),
        columns=(),
        latest_first=False,
    ),
    "tickets": Subject(
        tables="""
          FROM ticket
          LEFT JOIN ticket_type ON ticket_type.id = ticket.type_id
          LEFT JOIN ticket_status ON ticket_status.id = ticket.status_id
          LEFT JOIN campaign ON campaign.id = ticket.campaign_id
          LEFT JOIN user_account ON user_account.id = ticket.opened_by
          LEFT JOIN contact ON contact.id = ticket.contact_id""",
        where="true",
        moment="ticket.opened",
        moment_key="opened",
        identity=("ticket.id",),
        belongs={
            "#ticket": "ticket.id",
            "#contact": "contact.id",
            "#call": "ticket.call_id",
            "#campaign": "ticket.campaign_id",
        },
        usual=("opened", "protocol", "ticket_type", "status", "customer"),
        columns=(
            own("opened", MOMENT, "ticket.opened", "ticket"),
            own("protocol", TEXT, "ticket.protocol", "ticket", as_written=True),
            own("ticket_type", CHOICE, "ticket.type_id::text", "ticket", order="ticket_type.name"),
            own(
                "status",
                CHOICE,
                "ticket.status_id::text",
                "ticket",
                order="ticket_type.name || ' ' || lpad(ticket_status.position::text, 6, '0')",
            ),
            own("open", YES_NO, "ticket.closed IS NULL", "ticket"),
            own("updated", MOMENT, "ticket.updated", "ticket"),
            own("closed", MOMENT, "ticket.closed", "ticket"),
            own(
                "open_seconds",
                DURATION,
                "extract(epoch FROM coalesce(ticket.closed, now()) - ticket.opened)",
                "ticket",
            ),
            own("opened_by", CHOICE, "ticket.opened_by::text", "ticket", order="user_account.name"),
            own("campaign", CHOICE, "ticket.campaign_id::text", "ticket", order="campaign.name"),
            own("text", TEXT, "ticket.text", "ticket"),
        ),
    ),
}
