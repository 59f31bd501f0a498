"""What a tracking server is shown: of each design a parent run, and of each of its experiments a child.

Pure: it reads studies and records, and knows no server. The same records give the same runs on any clone and at any
time, so that a store that was lost can be made again. Two clones agree on what a run is by its key:

    a parent   `design.id`   the design's name
    a child    `dvc.exp.id`  <first 12 digits of the baseline>/<experiment's name>

An experiment that answers for a second design has a child there, too; its key ends in `@<design>`.
"""
