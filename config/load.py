"""Settings from defaults, then a TOML file, then the environment; a wrong value stops the start."""

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.settings import Settings

PREFIX = "RAMAL_"
FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
TCP_PORTS = ("http_port", "sip_port", "sips_port", "cti_port", "cti_tls_port")


class WrongSetting(Exception):
    """A setting that cannot be used; its text is one line naming it, its value and what is allowed."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.name, self.value, self.allowed = name, value, allowed
        super().__init__(f"{name} = {value!r} cannot be used; allowed: {allowed}")


def load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings in force; raises WrongSetting for the first value, or name, that cannot be used."""
    settings = Settings(**{**from_file(file), **from_environment(environment)})
    check_together(settings)
    return settings


def from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise WrongSetting("configuration file", str(file), f"a file that can be read ({e})") from e
    except tomllib.TOMLDecodeError as e:
        raise WrongSetting("configuration file", str(file), f"a correct TOML file ({e})") from e
    return {name: checked(name, name, value) for name, value in table.items()}


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if variable == "RAMAL_MEDIA_PORTS":
            values |= port_range(text)
        elif variable.startswith(PREFIX):
            values |= one_variable(variable, text)
    return values


def one_variable(variable: str, text: str) -> dict[str, Any]:
    name = variable.removeprefix(PREFIX).lower()
    kind = FIELDS[name].type if name in FIELDS else str
    value: Any = text
    if kind is int and text.strip().removeprefix("-").isascii() and text.strip().removeprefix("-").isdigit():
        value = int(text.strip())
    elif kind is bool:
        value = SWITCH.get(text.strip().lower(), text)
    return {name: checked(variable, name, value)}


def port_range(text: str) -> dict[str, Any]:
    low, dash, high = text.partition("-")
    if not (dash and low.strip().isdecimal() and high.strip().isdecimal()):
        raise WrongSetting("RAMAL_MEDIA_PORTS", text, "two ports as low-high, such as 20000-29999")
    return {
        name: checked("RAMAL_MEDIA_PORTS", name, int(part))
        for name, part in (("media_port_low", low), ("media_port_high", high))
    }


def checked(shown_name: str, name: str, value: Any) -> Any:
    """The value in the field's type, when the field exists and allows it."""
    if name not in FIELDS:
        raise WrongSetting(
            shown_name, value, f"this setting is not known; the known ones are {', '.join(FIELDS)}"
        )
    field = FIELDS[name]
    if field.type is Path and isinstance(value, str):
        value = Path(value) if value else value
    if type(value) is not field.type and not isinstance(value, Path):
        right = False
    else:
        right = field.metadata["check"](value)
    if not right:
        shown = "(hidden)" if field.metadata["secret"] else (str(value) if isinstance(value, Path) else value)
        raise WrongSetting(shown_name, shown, field.metadata["allowed"])
    return value


def check_together(settings: Settings) -> None:
    """Values each right alone that cannot stand beside each other."""
    low, high = settings.media_port_low, settings.media_port_high
    if high - low < 15:
        raise WrongSetting("media_port_high", high, f"at least 16 ports from media_port_low, which is {low}")
    owner: dict[int, str] = {}
    for name in TCP_PORTS:
        port = getattr(settings, name)
        if port in owner:
            raise WrongSetting(name, port, f"a port other than that of {owner[port]}")
        if low <= port <= high:
            raise WrongSetting(name, port, f"a port outside the media ports {low}-{high}")
        if port:
            owner[port] = name
    if settings.bind in ("0.0.0.0", "::") and not settings.public_address:
        raise WrongSetting("public_address", "", "an address others can reach, because bind is all addresses")
    if settings.smtp_host and not settings.smtp_from:
        raise WrongSetting("smtp_from", "", "an e-mail address, because smtp_host is set")
