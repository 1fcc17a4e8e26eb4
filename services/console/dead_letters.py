"""Dead letters: look, hand back, drop."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, StringConstraints

from metriq_gym.bus.dead_letters import Letter

from .access import Operator
from .desk import Desk, desk
from .problems import RESPONSES

router = APIRouter(prefix="/dead-letters", tags=["operation"], responses=RESPONSES)
At = Annotated[Desk, Depends(desk)]
LetterPath = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=300)], Path(description="A letter's id.")
]


class Settled(BaseModel):
    """What was done."""

    letters: int = Field(description="How many copies of the letter there were.")


@router.get("")
async def list_letters(at: At, _: Operator) -> list[Letter]:
    """List messages that were given up, the oldest first."""
    return [each.shown() for each in await at.letters.list()]


@router.post("/{letter_id:path}/replay")
async def replay_letter(letter_id: LetterPath, at: At, _: Operator) -> Settled:
    """Hand a letter back to the service that gave it up, and let go of the job that was held for it."""
    return Settled(letters=await at.letters.replay(letter_id))


@router.delete("/{letter_id:path}")
async def drop_letter(letter_id: LetterPath, at: At, _: Operator) -> Settled:
    """Delete a letter for good. A job that it was about stays as it is."""
    return Settled(letters=await at.letters.drop(letter_id))
