"""What tests say of errors: their code and the facts that they name, never their wording."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from baldro.errors import BaldroError


@contextmanager
def refused(code: str, *facts: object) -> Iterator[pytest.ExceptionInfo[BaldroError]]:
    """What is within is refused.

    Args:
        code: of the error.
        facts: what a user must find in the line: a file and its line, a name, a number, the nearest name; nothing that is only wording.
    """
    with pytest.raises(BaldroError) as error:
        yield error
    assert error.value.code == code, error.value
    missing = [str(fact) for fact in facts if str(fact) not in str(error.value)]
    assert not missing, f"{error.value} does not say {missing}"
