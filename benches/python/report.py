"""What a benchmark has to say."""

from dataclasses import dataclass


@dataclass
class Report:
    """`missed` names the bars that were measured and not reached."""

    text: str
    data: object
    missed: list[str]
