"""Recordings: who may hear which, and that no path leads out of the data folder."""

import datetime
from dataclasses import replace

import pytest

from crm import recordings
from crm.calls import CallRecord, Direction
from crm.refused import Refused
from crm.users import Role, User

CALL = CallRecord(
    "x", Direction.INBOUND, datetime.datetime.now(datetime.UTC), user_id=1, recording="recordings/x.wav"
)


def user(id, role, hear):
    return User(id, "u", "U", role, None, None, "en", None, False, hear, True)


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (user(1, Role.AGENT, True), True),  # one's own
        (user(1, Role.AGENT, False), False),
        (user(2, Role.AGENT, True), False),
        (user(2, Role.SUPERVISOR, True), True),
        (user(2, Role.SUPERVISOR, False), False),
        (user(2, Role.AUDITOR, False), True),
        (user(2, Role.ADMINISTRATOR, True), True),
        (replace(user(2, Role.AUDITOR, False), active=False), False),
    ],
)
def test_who_may_hear_a_call(who, may):
    assert recordings.may_hear(who, CALL) == may


def test_the_file_is_below_the_data_folder(tmp_path):
    (tmp_path / "data" / "recordings").mkdir(parents=True)
    file = tmp_path / "data" / "recordings" / "x.wav"
    file.touch()
    (tmp_path / "secret").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    assert recordings.file_of(CALL, tmp_path / "data") == file.resolve()
    for path in (
        "../secret",
        "link",
        str(tmp_path / "secret"),
        "recordings/missing.wav",
        "recordings",
        "",
        None,
    ):
        with pytest.raises(Refused, match="no such recording"):
            recordings.file_of(replace(CALL, recording=path), tmp_path / "data")
