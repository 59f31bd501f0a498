"""What git and the backend know of the project's runs, read once a command: records, studies, plans."""
