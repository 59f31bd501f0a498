"""Slurm: runs as job arrays, by sbatch, squeue and scancel."""
