"""One thing about a scan that a person should look at before it enters a study."""

from typing import NamedTuple


class Finding(NamedTuple):
    """What looks wrong, and where.

    Attributes:
        patient_id: whose scan it is.
        scan: the CT's stem.
        level: the vertebra, or empty where the whole scan is meant.
        kind: a short fixed name, such as ``cut by the field of view``.
        detail: one sentence with the figure that shows it, and what to do.
    """

    patient_id: str
    scan: str
    level: str
    kind: str
    detail: str
