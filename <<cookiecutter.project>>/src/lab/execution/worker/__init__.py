"""A worker of our own: experiments in a lasting checkout, each the same as DVC would make it.

carry_out.py      a run carried out; the modules that it needs lie beside it
stages.py         a stage's command run, in processes that have its packages: stage_process.py, stage_packages.py
devices.py        GPUs and cores counted
The process that takes runs from DVC's queue is execution/dvc/worker_process.py.
"""
