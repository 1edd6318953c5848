"""The pages' icons: inline SVG from static/icons.svg, in the colour of the text beside them."""

from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

SVG = "{http://www.w3.org/2000/svg}"


def icon(name: str) -> Markup:
    """The named icon, hidden from screen readers: the word beside it says what it means."""
    return ICONS[name]


def _drawn(symbol: ElementTree.Element) -> Markup:
    look = f"icon {symbol.get('class', '')}".strip()
    path = symbol[0].get("d", "")
    return Markup('<svg class="{}" viewBox="{}" aria-hidden="true"><path d="{}"/></svg>').format(
        look, symbol.get("viewBox"), path
    )


ICONS = {
    symbol.get("id", ""): _drawn(symbol)
    for symbol in ElementTree.parse(Path(__file__).parent / "static" / "icons.svg").iter(f"{SVG}symbol")
}
