"""Who may use which application, as a pure decision."""
