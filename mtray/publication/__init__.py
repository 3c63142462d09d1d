"""A report for a paper: facts of a run's records, as HTML, Markdown and LaTeX (`mtray report`)."""
