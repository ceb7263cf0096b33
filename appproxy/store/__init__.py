"""Small documents under revisions: the store's interface, its SQLite form, sealing."""
