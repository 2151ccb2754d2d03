"""The report: one offline page, and the same tables as Markdown, from bundles and their records."""
