"""A worker of our own on DVC's queue: DVC kept imported, a lasting checkout, and stages forked from loaded processes.

process.py        the worker: takes tasks, carries them out, notes what came of them; __main__.py starts it
queue_files.py    what it writes for `dvc queue` to read; mailbox.py answers what `dvc queue` asks
stages.py         a stage's command run; stage_process.py is what runs there
devices.py        GPUs and cores counted
workers.py        workers found, started and stopped from outside
"""
