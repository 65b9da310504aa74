"""The nouns of autometa: small frozen dataclasses that check themselves."""
