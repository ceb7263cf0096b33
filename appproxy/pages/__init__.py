"""HTML and JSON that the edge itself answers with: one look, no scripts, nothing from elsewhere."""
