"""What can be asked of the API: all operations, in the order in which they are shown.

A test fails for an address that has no row, and for a row whose parameters or refusals are not
those of the code.
"""

from __future__ import annotations

from seenby.api.descriptions.of_backend import BACKEND
from seenby.api.descriptions.of_inspection import INSPECTION
from seenby.api.descriptions.of_operators import OPERATORS
from seenby.api.descriptions.of_users import USERS

OPERATIONS = (*USERS, *BACKEND, *INSPECTION, *OPERATORS)
