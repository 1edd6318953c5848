"""Settings: defaults, file, environment, and every way of getting one wrong."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import Settings, WrongSetting, load

EXAMPLE = Path(__file__).parents[2] / "config" / "example.toml"


def write(folder: Path, text: str) -> Path:
    file = folder / "ramal.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_given_is_the_defaults():
    assert load(None, {}) == Settings()


def test_the_example_names_every_setting_with_its_default():
    import tomllib

    assert load(EXAMPLE, {}) == Settings()
    assert set(tomllib.loads(EXAMPLE.read_text())) == {f.name for f in dataclasses.fields(Settings)}


def test_the_environment_wins_over_the_file(tmp_path):
    file = write(tmp_path, 'http_port = 9000\nlanguage = "en"\n')
    settings = load(file, {"RAMAL_HTTP_PORT": "9001", "HOME": "/nowhere"})
    assert (settings.http_port, settings.language) == (9001, "en")


def test_values_take_the_type_of_their_setting():
    settings = load(
        None,
        {
            "RAMAL_DATA": "/srv/ramal",
            "RAMAL_DEMO_CUSTOMERS": "0",
            "RAMAL_MEDIA_PORTS": "30000-30999",
            "RAMAL_DEMO": "1",
        },
    )
    assert settings.data == Path("/srv/ramal")
    assert (settings.media_port_low, settings.media_port_high) == (30000, 30999)
    assert (settings.demo, settings.demo_customers) == (True, False)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RAMAL_HTTP_PORT", "eighty"),
        ("RAMAL_HTTP_PORT", "65536"),
        ("RAMAL_HTTP_PORT", "-1"),
        ("RAMAL_HTTP_PORT", ""),
        ("RAMAL_HTTP_PORT", "²"),
        ("RAMAL_MEDIA_PORTS", "20000"),
        ("RAMAL_MEDIA_PORTS", "30000-20000"),
        ("RAMAL_MEDIA_PORTS", "20000-x"),
        ("RAMAL_BIND", "everywhere"),
        ("RAMAL_PUBLIC_ADDRESS", "a b"),
        ("RAMAL_LANGUAGE", "fr"),
        ("RAMAL_LOCAL_AREA_CODE", "10"),
        ("RAMAL_DATABASE_URL", "mysql://localhost/x"),
        ("RAMAL_REDIS_URL", "localhost"),
        ("RAMAL_DATA", ""),
        ("RAMAL_DEMO_CUSTOMERS", "perhaps"),
        ("RAMAL_DEMO_PASSWORD", "short"),
        ("RAMAL_COLOUR", "blue"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_with_its_name(variable, text):
    with pytest.raises(WrongSetting) as wrong:
        load(None, {variable: text})
    line = str(wrong.value)
    assert wrong.value.name in (variable, "media_port_high") and "allowed" in line and "\n" not in line


@pytest.mark.parametrize(
    "text", ["http_port = '8080'", "http_port = true", "recordings = 1", "colour = 1", "[web]\nport = 1"]
)
def test_a_file_with_a_wrong_type_or_an_unknown_name_is_refused(tmp_path, text):
    with pytest.raises(WrongSetting):
        load(write(tmp_path, text), {})


def test_a_file_that_cannot_be_read_or_parsed_is_refused(tmp_path):
    with pytest.raises(WrongSetting, match="can be read"):
        load(tmp_path / "missing.toml", {})
    with pytest.raises(WrongSetting, match="correct TOML"):
        load(write(tmp_path, "http_port = "), {})


def test_a_wrong_password_is_not_shown():
    for variable, text in (
        ("RAMAL_DEMO_PASSWORD", "s3cret"),
        ("RAMAL_DATABASE_URL", "pg://ana:s3cret@host/db"),
    ):
        with pytest.raises(WrongSetting) as wrong:
            load(None, {variable: text})
        assert "s3cret" not in str(wrong.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"RAMAL_HTTP_PORT": "5060"},
        {"RAMAL_CTI_PORT": "20001"},
        {"RAMAL_BIND": "0.0.0.0"},
    ],
)
def test_values_that_cannot_stand_together_are_refused(environment):
    with pytest.raises(WrongSetting):
        load(None, environment)


def test_several_ports_may_be_any_free_one():
    settings = load(None, {"RAMAL_HTTP_PORT": "0", "RAMAL_SIP_PORT": "0", "RAMAL_CTI_PORT": "0"})
    assert settings.http_port == settings.sip_port == settings.cti_port == 0


@given(st.sampled_from([f.name for f in dataclasses.fields(Settings)]), st.text())
def test_any_text_is_either_a_setting_or_refused(name, text):
    try:
        load(None, {"RAMAL_" + name.upper(): text})
    except WrongSetting:
        pass
