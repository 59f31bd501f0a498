"""One run on a node of a cluster, from an empty folder to its experiment's ref on the git remote.

    python node.pyz FOLDER ARRAY INDEX    the task that a line of FOLDER/arrays/ARRAY names; what happens is noted there
    python node.pyz < TASK                a task in JSON; what happens is printed, a line of JSON each

A program of its own: it needs Python, git and an environment with DVC, and of lab these files alone. The ref is the
only record of success. It is pushed last, after the data, and never over another: so a run may be started twice, or
killed at any line, and its experiment still arrives once. Signals leave no trace; whoever started the program finds out
that it is gone.
"""
