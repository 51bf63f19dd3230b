"""Files of other projects: `submissions` for the servers of CIRR and CIRCO, `mteb_task` for mteb."""
