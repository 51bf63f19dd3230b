"""The command line: one command, `tfcovr`, with verbs; `tfcovr --help` is its table of contents.

`main` parses, and turns an error into one sentence and an exit status. `verb` registers verbs and
their options. The files called `*_verbs` hold the verbs, each a few calls into the rooms.
"""
