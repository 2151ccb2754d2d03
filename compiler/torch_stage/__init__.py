"""Where torch modules are changed: a child process per stage, what it is told, and what it leaves behind."""
