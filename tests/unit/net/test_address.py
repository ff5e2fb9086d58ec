from __future__ import annotations

import pytest

from mfdb.kernel.errors import InterfaceError
from mfdb.net.address import parse_host_port, show_host_port


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:65535", "[::1]:4001", "a-b.example:1"])
def test_an_address_survives_parsing(text: str) -> None:
    assert show_host_port(*parse_host_port(text)) == text


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "host:65536", "host:-1", "::1:1", "[::1]", "a b:1", "a:1\n"]
)
def test_what_is_no_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InterfaceError) as caught:
        parse_host_port(text)
    assert caught.value.hint
