"""The default study: its corpora (downloaded at set-up), and the small models trained by the
scripts in this folder."""
