"""What the tests share: a recorded nanospan, another decoder, and fresh interpreters."""
