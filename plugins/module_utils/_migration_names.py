# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the migration's objects are called on either side (private to the collection); named only here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass

FENCE_TRIGGER = "crossover_fence"
SCHEMA = "crossover"


def _short(text: str, limit: int = 40) -> str:
    """[a-z0-9_] only, as slots demand; a name that loses something on the way gets a hash of the whole."""
    plain = re.sub(r"[^a-z0-9_]", "_", text.lower())
    if plain == text and len(plain) <= limit:
        return plain
    return f"{plain[: limit - 9]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Names:
    """Publications, slots and subscriptions of one migration and one landing node."""

    publication: str
    slot: str
    subscription: str
    back_publication: str
    back_slot: str
    back_subscription: str

    @classmethod
    def of(cls, migration: str, node: str = "n1") -> Names:
        """``migration`` is the migration's name (by default the database's), ``node`` the node's."""
        base, place = f"crossover_{_short(migration, 30)}", _short(node, 20)
        return cls(
            publication=base,
            slot=f"{base}_{place}",
            subscription=f"{base}_{place}",
            back_publication=f"{base}_back",
            back_slot=f"{base}_back",
            back_subscription=f"{base}_back",
        )

    def as_dict(self) -> dict[str, str]:
        """For module results."""
        return asdict(self)
