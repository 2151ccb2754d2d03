"""A gate's report as text, JUnit XML, GitHub annotations and Markdown; names in it are foreign text and stay text."""
