"""Key terms as options of commands have them: with commas between."""

import click

from app.domain.errors import ClientError
from app.domain.key_terms import parse_key_terms


def key_terms_of(option: str | None) -> tuple[str, ...]:
    """Raises BadParameter for what can be no key term."""
    try:
        return parse_key_terms([part.strip() for part in (option or "").split(",") if part.strip()])
    except ClientError as error:
        raise click.BadParameter(str(error), param_hint="--key-terms") from error
