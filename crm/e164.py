"""PURE. Telephone numbers as people write them, turned into one form (E.164) and back.

Brazilian numbers take a fast path of plain string work; what it does not know is asked of libphonenumber.
"""

import re

import phonenumbers

from config.settings import AREA_CODES

PUNCTUATION = str.maketrans("", "", " \t\u00a0()-./")
SHORT_MAX = 6  # extensions, services such as 190, queues: kept as they are dialed
TOLL_CODES = ("300", "303", "500", "800", "900")  # 0800 and its siblings: 0, the code, 6 or 7 digits
NATIONWIDE = re.compile(r"(300[34]|400[0-9]|4020)\d{4}")  # one number for all area codes, such as 4004-1234


def normalise(text: str, area_code: str) -> str | None:
    """E.164 ("+5511987654321") of what was dialed or received; None when it cannot be a number.

    Numbers of two to six digits (extensions, 190) stay as they are. `area_code` completes local numbers.
    """
    digits = without_punctuation(text.strip())
    plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        answer = None
    elif plus:
        answer = international(digits)
    elif len(digits) <= SHORT_MAX:
        answer = digits if len(digits) >= 2 else None
    else:
        answer = brazilian(digits, area_code) or other(digits)
    return answer


def without_punctuation(text: str) -> str:
    """What people write most is taken out first: three times as quick as asking about every letter."""
    if not text.isdigit():
        text = text.replace(" ", "").replace("-", "").replace("(", "").replace(")", "").replace(".", "")
    return text if text.isdigit() else text.translate(PUNCTUATION)


def brazilian(digits: str, area_code: str) -> str | None:
    """The fast path: every usual way of writing a Brazilian number."""
    length = len(digits)
    if length == 8 and NATIONWIDE.fullmatch(digits):
        national: str | None = digits
    elif length in (8, 9):
        national = geographic(area_code + digits)
    elif length in (10, 11) and digits[0] != "0":
        national = geographic(digits)
    elif length in (12, 13) and digits.startswith("55"):
        national = geographic(digits[2:])
    elif digits.startswith("0") and digits[1:4] in TOLL_CODES and length in (10, 11):
        national = digits[1:]
    elif digits.startswith("0") and length in (11, 12):
        national = geographic(digits[1:])
    elif digits.startswith("0") and digits[1] != "0" and length in (13, 14):
        national = geographic(digits[3:])  # 0, the carrier's two digits (CSP), area code and number
    else:
        national = geographic(digits)
    return "+55" + national if national else None


def geographic(digits: str) -> str | None:
    """Area code and subscriber number, with the ninth digit of mobiles put in where it is missing."""
    length, first = len(digits), digits[2:3]
    if digits[:2] not in AREA_CODES or not digits.isdigit():
        return None
    if (length == 10 and first in "2345") or (length == 11 and first == "9"):
        return digits
    return digits[:2] + "9" + digits[2:] if length == 10 and first in "6789" else None


def international(digits: str) -> str | None:
    """What followed a plus sign."""
    if not 8 <= len(digits) <= 15 or digits.startswith("0"):
        return None
    if not digits.startswith("55"):
        return "+" + digits
    national = digits[2:]
    if NATIONWIDE.fullmatch(national) or (national[:3] in TOLL_CODES and len(national) in (9, 10)):
        return "+" + digits
    known = geographic(national)
    return "+55" + known if known else valid("+" + digits)


def other(digits: str) -> str | None:
    """Calls abroad: 00, with or without the carrier's two digits, country and number."""
    if digits.startswith("00"):
        return valid("+" + digits[2:]) or valid("+" + digits[4:])
    return None


def valid(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def display(number: str) -> str:
    """The number as a Brazilian would write it; anything that is not E.164 stays as it is."""
    if not number.startswith("+"):
        return number
    if not number.startswith("+55"):
        return abroad(number)
    national = number[3:]
    if national[:3] in TOLL_CODES and len(national) in (9, 10):
        shown = f"0{national[:3]} {national[3:-4]} {national[-4:]}"
    elif NATIONWIDE.fullmatch(national):
        shown = f"{national[:4]}-{national[4:]}"
    elif geographic(national) == national:
        shown = f"({national[:2]}) {national[2:-4]}-{national[-4:]}"
    else:
        shown = abroad(number)
    return shown


def abroad(number: str) -> str:
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
