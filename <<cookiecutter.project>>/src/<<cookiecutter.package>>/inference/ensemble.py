"""What every ensemble needs."""

from ..shared.errors import UserError

LEAST_MEMBERS = 3  # two can only agree or cancel each other out


def check_members(count: int) -> None:
    """Raises UserError below three members."""
    if count < LEAST_MEMBERS:
        raise UserError(
            f"infer.members names {count} model{'' if count == 1 else 's'}, but an ensemble needs at least "
            f"{LEAST_MEMBERS}: add more, or evaluate a single one by infer.model"
        )
