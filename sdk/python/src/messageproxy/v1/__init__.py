"""The wire contract, generated. Applications need none of it."""
