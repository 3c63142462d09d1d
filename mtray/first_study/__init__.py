"""A first study: what `mtray init` writes from a model and files (`mtray.commands.init`)."""
