"""Run the notebooks, report on a run, publish it. It may know every room but cli; only here is papermill.

Open `steps` for what a notebook declares and when it must run again, `run` for running, `report` for the HTML
page, `publish` for what goes into the repository.
"""
