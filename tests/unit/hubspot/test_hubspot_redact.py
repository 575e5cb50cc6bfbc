from __future__ import annotations

from integration.http.redacting import redact_text, redact_url


class TestRedaction:
    def test_of_a_url_replaces_token_parameters_only(self) -> None:
        url = "https://api.hubapi.com/leads/v1/lead/8a41?access_token=secret&x=1&hapikey=other"
        expected = "https://api.hubapi.com/leads/v1/lead/8a41?access_token=[redacted]&x=1&hapikey=[redacted]"
        assert redact_url(url) == expected

    def test_of_a_text_replaces_the_token_in_every_form(self) -> None:
        assert redact_text("a+/b and a%2B%2Fb", ["a+/b"]) == "[redacted] and [redacted]"

    def test_of_a_text_without_a_known_token_still_replaces_parameters(self) -> None:
        assert redact_text('GET "/x?access_token=secret"', []) == 'GET "/x?access_token=[redacted]"'
