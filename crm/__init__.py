"""What is remembered: one file, one noun, one table, its rules and its verbs."""
