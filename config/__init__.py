"""Every setting of the product: its default, its unit, what is allowed, and how it is read."""

from config.load import WrongSetting, load
from config.settings import Settings

__all__ = ["Settings", "WrongSetting", "load"]
