"""A plan carried out: approved, queued, run by a backend's workers, and verified by what exists in git.

campaign.py          a design file from its plan to its last run; preflight_inputs.py asks the world, before
run.py               runs watched wave by wave, and retried where they were disturbed
queueing.py          which runs are queued, by which names; work_tree.py: whether they'd be what is seen here
standings.py         how runs stand, and what they are at
backend.py           what carries runs out: a Protocol, with conformance.py a suite for your own
registry.py          which there are: dvc/ for this machine, and cluster/ for many, by the engines slurm/ and ray/
"""
