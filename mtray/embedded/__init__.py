"""The default study: its corpora (fetched at set-up), and the small models trained by the scripts
in this folder."""
