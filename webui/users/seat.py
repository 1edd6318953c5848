"""A person's extension and password: the login and the telephone change together when so asked."""

from crm import extensions, users
from crm.db import Db
from crm.entry import refuse
from crm.refused import Refused
from crm.users import User


async def seat(db: Db, by: User, user: User, number: str, password: str) -> None:
    """`number` empty takes the extension away. Refused when it is somebody else's or no extension at all."""
    there = await extensions.by_number(db, number) if number else None
    if there is not None and there.user_id not in (None, user.id):
        refuse({"extension": "taken"})
    if number and there is None:
        await make(db, by, number, user, password)
    elif number:
        await extensions.set_password(db, by, number, password)
    if user.extension:
        await extensions.update(db, by, user.extension, user_id=None)
    if number:
        await extensions.update(db, by, number, user_id=user.id)


async def make(db: Db, by: User, number: str, user: User, password: str) -> None:
    try:
        await extensions.create(db, by, number=number, password=password, label=user.name)
    except Refused as refused:
        if "number" in refused.details.get("errors", {}):
            refuse({"extension": refused.details["errors"]["number"]})
        raise


async def set_password(db: Db, by: User, user: User, password: str, telephone: bool) -> None:
    """Another password for the login and, with `telephone`, for the phone at the person's extension too.

    Whoever changes it says so, the person under Profile or an administrator for them; not asked, a softphone
    goes on with the password it has.
    """
    await users.set_password(db, by, user.id, password)
    if telephone and user.extension:
        await extensions.set_password(db, by, user.extension, password)
