"""A trial's recipe as files for another training tool: `export RUN --recipe 7 --to TOOL FOLDER`."""
