"""What all clusters share: a queue of refs in git, the unit of work on a node, and a backend that trusts git alone.

backend.py           the queue, and what has become of it: a `lab.execution.backend.Backend`
engine.py            what starts programs on nodes, a Protocol; slurm/ and ray/ beside this folder are two
queue_refs.py        what is queued: refs of the project's repository
tasks.py             a run in it: what its node is told, and what the node has noted
node/                that program; it knows git and DVC, and nothing else of lab; node_archive.py makes it one file
remote.py            the git remote, where results come in
settings.py          conf/cluster.yaml
"""
