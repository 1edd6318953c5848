"""Recordings: who may hear which, and where the file is."""

from pathlib import Path

from crm.calls import CallRecord
from crm.entry import missing
from crm.users import User, can


def may_hear(user: User, call: CallRecord) -> bool:
    """With the right to hear recordings: one's own calls, and everybody's where one sees the tabulations."""
    return can(user, "hear_recordings") and (call.user_id == user.id or can(user, "see_tabulations"))


def file_of(call: CallRecord, data: Path) -> Path:
    """Refused when there is none, or when its path would lead out of the data folder."""
    root = data.resolve()
    file = (root / (call.recording or "")).resolve()
    if not (call.recording and file.is_relative_to(root) and file.is_file()):
        raise missing("recording")
    return file
