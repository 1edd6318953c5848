"""A refusal: what a person asked for cannot be done, and nothing has changed."""

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """Its text is a complete, polite sentence in English.

    `template` and `values` let a page say it in another language: translate the template, then format it.
    `code` is one word for programs; `details` what they can use, such as {"errors": {field: message}}.
    """

    def __init__(
        self,
        template: str,
        *,
        code: str = "refused",
        details: Mapping[str, Any] | None = None,
        **values: object,
    ) -> None:
        self.template, self.values = template, values
        self.code, self.details = code, dict(details or {})
        super().__init__(template.format(**values) if values else template)
