"""The web pages: one folder a noun, its handlers and templates side by side."""
