"""Run the notebooks, report on a run, publish it. May know every room but cli; papermill is imported only here.

Open `steps` for what a notebook declares and when it must run again, `run` for running, `report` for the HTML
page, `publish` for what goes into the repository.
"""
