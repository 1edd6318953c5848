"""Extensions: the numbers of stations, and the digests with which telephones register at them."""

from dataclasses import dataclass

REALM = "ramal"


@dataclass(frozen=True, slots=True)
class Extension:
    number: str
    user_id: int | None
    label: str
    ha1_md5: str
    ha1_sha256: str
