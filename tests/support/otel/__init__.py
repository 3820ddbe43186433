"""Two OpenTelemetry providers driven side by side, and all that may differ between them."""
